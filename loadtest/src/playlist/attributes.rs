//! Attribute lists: `NAME=value,NAME="quoted"` (8216bis, 4.2).

use std::sync::Arc;
use std::time::Duration;

use super::PlaylistError;
use super::text::{Reading, split_at_byte};

const BLANK: [char; 2] = [' ', '\t'];
const BLANK_OR_COMMA: [char; 3] = [' ', '\t', ','];

/// One attribute of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    /// Its name, as it stands there.
    pub name: &'a str,
    /// Its value without the quotes.
    pub value: &'a str,
    /// Whether it stood in quotes.
    pub is_quoted: bool,
}

/// The attributes of one tag, one after the other.
#[derive(Debug)]
pub(super) struct Attributes<'a> {
    rest: &'a str,
}

impl<'a> Attributes<'a> {
    /// Of the text after a tag's colon.
    pub fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// The next attribute, or `None` at the end of the list.
    ///
    /// Blanks around `=` and `,`, a comma too many and odd names are read, and noted as breaches.
    pub fn next(&mut self, reading: &mut Reading) -> Result<Option<Attribute<'a>>, PlaylistError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let whole = self.rest;
        let Some((raw_name, after_name)) = split_at_byte(whole, b'=') else {
            // A comma or blanks at the end of a list hold no attribute; anything else must have a value.
            if whole.bytes().all(|byte| matches!(byte, b',' | b' ' | b'\t')) {
                reading.breach(whole, "nothing after the last attribute");
                self.rest = "";
                return Ok(None);
            }
            return Err(reading.syntax(whole, "NAME=value"));
        };
        let name = if is_name(raw_name) { raw_name } else { raw_name.trim_matches(BLANK_OR_COMMA) };
        if name.is_empty() {
            return Err(reading.syntax(whole, "NAME=value"));
        }
        let value_text =
            if after_name.starts_with(BLANK) { after_name.trim_start_matches(BLANK) } else { after_name };
        let (attribute, rest) = match value_text.strip_prefix('"') {
            Some(quoted) => {
                let Some((value, rest)) = split_at_byte(quoted, b'"') else {
                    return Err(reading.syntax(value_text, "a quoted string that ends"));
                };
                (Attribute { name, value, is_quoted: true }, rest)
            }
            None => {
                let end = value_text.bytes().position(|byte| byte == b',').unwrap_or(value_text.len());
                let (value, rest) = value_text.split_at(end);
                (Attribute { name, value: value.trim_end_matches(BLANK), is_quoted: false }, rest)
            }
        };
        let quotes_bytes = if attribute.is_quoted { 2 } else { 0 };
        let is_tight = name.len() + 1 + attribute.value.len() + quotes_bytes == whole.len() - rest.len();
        let (rest, is_ended_well) = match rest.strip_prefix(',') {
            Some(rest) => (rest, !rest.is_empty()),
            None => (rest.trim_start_matches(BLANK_OR_COMMA), rest.is_empty()),
        };
        self.rest = rest;
        if !is_tight || !is_ended_well || !is_name(name) {
            reading.breach(whole, "NAME=value joined by commas, without blanks");
        }
        Ok(Some(attribute))
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-')
}

impl<'a> Attribute<'a> {
    /// Puts a value where there is none yet; the first of two stands (4.2: a name MUST NOT occur twice).
    fn put<T>(self, slot: &mut Option<T>, value: T, reading: &mut Reading) {
        if slot.is_some() {
            reading.breach(self.name, "each attribute once");
            return;
        }
        *slot = Some(value);
    }

    /// Notes a value that is quoted and should not be, or the other way round.
    fn expect_quoted(self, should_be: bool, reading: &mut Reading) {
        if self.is_quoted != should_be {
            let allowed = if should_be { "a value in quotes" } else { "a value without quotes" };
            reading.breach(self.name, allowed);
        }
    }

    /// Reads a quoted text.
    pub fn text(self, slot: &mut Option<Arc<str>>, reading: &mut Reading) {
        self.expect_quoted(true, reading);
        self.put(slot, Arc::from(self.value), reading);
    }

    /// Reads a quoted text that need not be kept.
    pub fn quoted(self, slot: &mut Option<&'a str>, reading: &mut Reading) {
        self.expect_quoted(true, reading);
        self.put(slot, self.value, reading);
    }

    /// Reads a duration in seconds.
    pub fn duration(self, slot: &mut Option<Duration>, reading: &mut Reading) -> Result<(), PlaylistError> {
        self.expect_quoted(false, reading);
        let value = reading.duration(self.value)?;
        self.put(slot, value, reading);
        Ok(())
    }

    /// Reads a whole number.
    pub fn integer(self, slot: &mut Option<u64>, reading: &mut Reading) -> Result<(), PlaylistError> {
        self.expect_quoted(false, reading);
        let value = reading.integer(self.value)?;
        self.put(slot, value, reading);
        Ok(())
    }

    /// Reads YES or NO; draft tags know only YES.
    pub fn yes(self, slot: &mut Option<bool>, reading: &mut Reading) {
        self.expect_quoted(false, reading);
        if !matches!(self.value, "YES" | "NO") {
            reading.breach(self.value, "YES");
        }
        self.put(slot, self.value == "YES", reading);
    }

    /// Reads a word without quotes.
    pub fn word(self, slot: &mut Option<&'a str>, reading: &mut Reading) {
        self.expect_quoted(false, reading);
        self.put(slot, self.value, reading);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names and values, and how many breaches there were; `None` for an error.
    fn read(text: &str) -> Option<(Vec<(String, String)>, usize)> {
        let mut reading = Reading::default();
        let mut attributes = Attributes::new(text);
        let mut found = Vec::new();
        while let Some(attribute) = attributes.next(&mut reading).ok()? {
            found.push((attribute.name.to_owned(), attribute.value.to_owned()));
        }
        Some((found, reading.breaches.len()))
    }

    #[test]
    fn reads_lists_and_notes_what_the_grammar_forbids() {
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        for (text, expected, expected_breaches) in [
            ("", pairs(&[]), 0),
            ("A=1", pairs(&[("A", "1")]), 0),
            (r#"A=1,B="x,y=z",C=YES"#, pairs(&[("A", "1"), ("B", "x,y=z"), ("C", "YES")]), 0),
            (r#"A="""#, pairs(&[("A", "")]), 0),
            ("A=,B=2", pairs(&[("A", ""), ("B", "2")]), 0),
            (r#"A="k=v?x=1""#, pairs(&[("A", "k=v?x=1")]), 0),
            ("A=1, B=2", pairs(&[("A", "1"), ("B", "2")]), 1),
            ("A = 1 , B=2", pairs(&[("A", "1"), ("B", "2")]), 2),
            ("A=1,", pairs(&[("A", "1")]), 1),
            (r#"A="1" B=2"#, pairs(&[("A", "1"), ("B", "2")]), 1),
            (r#"A="1""B=2"#, pairs(&[("A", "1"), ("\"B", "2")]), 2),
            ("name=1", pairs(&[("name", "1")]), 1),
            ("A=1,,B=2", pairs(&[("A", "1"), ("B", "2")]), 1),
        ] {
            assert_eq!(read(text), Some((expected, expected_breaches)), "{text:?}");
        }
        for text in ["A", "=1", r#"A="1"#, "A=1,B", ",=", "\u{e9}"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn keeps_the_first_of_two_and_notes_wrong_quotes() {
        let mut reading = Reading::default();
        let mut slot = None;
        let attribute = |value| Attribute { name: "URI", value, is_quoted: true };
        attribute("a").text(&mut slot, &mut reading);
        attribute("b").text(&mut slot, &mut reading);
        assert_eq!((slot.as_deref(), reading.breaches.len()), (Some("a"), 1));
        Attribute { name: "GAP", value: "YES", is_quoted: true }.yes(&mut None, &mut reading);
        assert_eq!(reading.breaches.len(), 2);
    }

    proptest! {
        #[test]
        fn no_list_panics_and_every_list_ends(text in r#"[A-C =,"é1.]{0,40}"#) {
            let mut reading = Reading::default();
            let mut attributes = Attributes::new(&text);
            let mut count = 0;
            while let Ok(Some(_)) = attributes.next(&mut reading) {
                count += 1;
                prop_assert!(count <= text.len());
            }
        }
    }
}
