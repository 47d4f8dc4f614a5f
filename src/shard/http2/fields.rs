//! The fields of responses as h2 takes them, kept for those that come next.
//!
//! A landing answers a crowd with one and the same response. Its fields are put into a map once, and copied from
//! there: what was printed is shared.

use std::cell::RefCell;
use std::collections::VecDeque;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::http::{Cache, ETag, Encoding, Extra, HttpDate, Response, Status};
use crate::limits::HTTP2_RECENT_FIELDS_MAX;

/// The fields of the responses that were sent lately on a shard.
#[derive(Default)]
pub struct RecentFields(RefCell<VecDeque<Recent>>);

struct Recent {
    told: Told,
    fields: HeaderMap,
}

/// All of a response that its fields tell; the body itself is not kept.
#[derive(PartialEq)]
struct Told {
    status: Status,
    content_type: &'static str,
    cache: Cache,
    etag: Option<ETag>,
    encoding: Encoding,
    varies: bool,
    urgency: Option<u8>,
    extra: Extra,
    body_bytes: u64,
    date: HttpDate,
}

impl RecentFields {
    /// The fields of a response, and none of HTTP/1.1's own.
    pub fn of(&self, response: &Response, date: &HttpDate) -> HeaderMap {
        let told = Told::by(response, date);
        let mut recent = self.0.borrow_mut();
        if let Some(known) = recent.iter().rev().find(|known| known.told == told) {
            return known.fields.clone();
        }
        let fields = fields_of(response, date);
        if recent.len() == HTTP2_RECENT_FIELDS_MAX {
            recent.pop_front();
        }
        recent.push_back(Recent { told, fields: fields.clone() });
        fields
    }
}

impl Told {
    fn by(response: &Response, date: &HttpDate) -> Self {
        let &Response { status, content_type, cache, etag, encoding, varies, urgency, extra, ref body } =
            response;
        let (body_bytes, date) = (body.len(), *date);
        Self { status, content_type, cache, etag, encoding, varies, urgency, extra, body_bytes, date }
    }
}

fn fields_of(response: &Response, date: &HttpDate) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(16);
    response.each_field(date, |name, value| {
        // Our own fields: tokens, and values of visible ASCII.
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_bytes(value)) {
            // Not a secret, but h2 then keeps it out of HPACK's table, which would fill with the dates of the
            // last minute: each response would be compared with them all, oldest first.
            value.set_sensitive(name == header::DATE);
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
        let recent = RecentFields::default();
        for second in 0..3 * HTTP2_RECENT_FIELDS_MAX as u64 {
            let date = HttpDate::from_unix_s(second);
            for _ in 0..2 {
                for response in
                    [Response::error(Status::NotFound, "none\n"), Response::unavailable(5, "later\n")]
                {
                    assert_eq!(recent.of(&response, &date), fields_of(&response, &date));
                }
            }
        }
        assert_eq!(recent.0.borrow().len(), HTTP2_RECENT_FIELDS_MAX);
    }
}
