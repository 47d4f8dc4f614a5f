//! The fields of responses as h2 takes them, kept for those that come next.
//!
//! A landing answers a crowd with one and the same response. Its fields are put into a map once, and copied from
//! there: what was printed is shared.

use std::cell::RefCell;
use std::collections::VecDeque;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http::{HttpDate, Response, Version, write_head};
use crate::limits::HTTP2_RECENT_FIELDS_MAX;

/// The fields of the responses that were sent lately on a shard.
#[derive(Default)]
pub struct RecentFields(RefCell<VecDeque<Recent>>);

struct Recent {
    /// The response's head as HTTP/1.1 would send it: what tells it from others.
    head: Vec<u8>,
    fields: HeaderMap,
}

impl RecentFields {
    /// The fields of a response, and none of HTTP/1.1's own. `scratch` is room for a head.
    pub fn of(&self, response: &Response, date: &HttpDate, scratch: &mut Vec<u8>) -> HeaderMap {
        scratch.clear();
        write_head(scratch, response, Version::Http11, date, true);
        let mut recent = self.0.borrow_mut();
        if let Some(known) = recent.iter().rev().find(|known| known.head == *scratch) {
            return known.fields.clone();
        }
        let fields = fields_of(response, date);
        if recent.len() == HTTP2_RECENT_FIELDS_MAX {
            recent.pop_front();
        }
        recent.push_back(Recent { head: scratch.clone(), fields: fields.clone() });
        fields
    }
}

fn fields_of(response: &Response, date: &HttpDate) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(16);
    response.each_field(date, |name, value| {
        // Our own fields: tokens, and values of visible ASCII.
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            fields.append(name, value);
        }
    });
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Status;

    #[test]
    fn each_response_has_its_own_fields_and_few_are_kept() {
        let (recent, mut scratch) = (RecentFields::default(), Vec::new());
        for second in 0..3 * HTTP2_RECENT_FIELDS_MAX as u64 {
            let date = HttpDate::from_unix_s(second);
            for _ in 0..2 {
                for response in
                    [Response::error(Status::NotFound, "none\n"), Response::unavailable(5, "later\n")]
                {
                    assert_eq!(recent.of(&response, &date, &mut scratch), fields_of(&response, &date));
                }
            }
        }
        assert_eq!(recent.0.borrow().len(), HTTP2_RECENT_FIELDS_MAX);
    }
}
