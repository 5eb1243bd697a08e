//! What Places answered, and what a client gets of it.
//!
//! The answer is kept as the text it came as. Nothing of it is read but where its results end, so
//! number texts, escapes, key order and spacing reach the client as they were sent.

use std::fmt;

use memchr::memchr;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

/// A JSON object with an array `results`: the shape of Google's Nearby Search (legacy).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    text: String,
    /// Just behind the `[` of `results`.
    results_start: usize,
    /// Where each of `results` ends, in order.
    results_ends: Vec<usize>,
}

impl Answer {
    /// The answer in an HTTP response.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and for every status but 200, whatever the body.
    pub fn from_response(status: u16, body: Vec<u8>) -> Result<Self, Unusable> {
        if status == 200 { Self::parse(body) } else { Err(Unusable::Status(status)) }
    }

    /// Takes a body as an answer if it is a JSON text (RFC 8259) in UTF-8 that is an object with an
    /// array `results`. Nesting may have any depth.
    ///
    /// # Errors
    ///
    /// When it is not, or has several `results`, of which nobody knows which one is meant.
    pub fn parse(body: Vec<u8>) -> Result<Self, Unusable> {
        let text = String::from_utf8(body).map_err(|_| Unusable::NotUtf8)?;
        let results = results_of(&text)?;
        let mut elements = serde_json::Deserializer::from_str(results.get());
        let results_ends = elements.deserialize_seq(Ends { text: &text }).map_err(|_| Unusable::NoResults)?;
        let results_start = offset(&text, results.get()) + 1;
        Ok(Answer { results_start, results_ends, text })
    }

    /// What stands for an answer that did not come: no results, and `message` for people, which must
    /// not hold the key.
    pub fn unknown_error(message: &str) -> Self {
        Self::without_results("UNKNOWN_ERROR", message)
    }

    /// What Google answers to a question without a key.
    pub fn request_denied(message: &str) -> Self {
        Self::without_results("REQUEST_DENIED", message)
    }

    fn without_results(status: &str, message: &str) -> Self {
        let start = r#"{"html_attributions":[],"results":["#;
        let message = Value::from(message);
        let text = format!(r#"{start}],"status":"{status}","error_message":{message}}}"#);
        Answer { text, results_start: start.len(), results_ends: Vec::new() }
    }

    /// All of it, as it came.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Appends to `output` what a client gets that wants at most `bound` results: everything from the
    /// end of the last result kept to the end of the last result is left out, every run of newlines
    /// becomes one, and white space around the object is left out.
    pub fn cut(&self, bound: usize, output: &mut Vec<u8>) {
        let last = self.results_ends.last().copied().unwrap_or(self.results_start);
        let kept = match bound {
            0 => self.results_start,
            _ => self.results_ends.get(bound - 1).copied().unwrap_or(last),
        };
        output.reserve(self.text.len() - (last - kept));
        // The cut runs from a visible byte to behind a visible byte, so no run of newlines spans it.
        append_with_single_newlines(self.text[..kept].trim_start().as_bytes(), output);
        append_with_single_newlines(self.text[last..].trim_end().as_bytes(), output);
    }
}

/// The value of the only `results` of the object that `text` is.
fn results_of(text: &str) -> Result<&RawValue, Unusable> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = deserializer.deserialize_map(Results).and_then(|found| deserializer.end().map(|()| found));
    match found {
        Ok(Found::One(results)) => Ok(results),
        Ok(Found::None) => Err(Unusable::NoResults),
        Ok(Found::Several) => Err(Unusable::SeveralResults),
        // Its words would quote the body.
        Err(why) if why.classify() == Category::Data => Err(Unusable::NotAnObject),
        Err(why) => Err(Unusable::NotJson(why.to_string())),
    }
}

/// Finds `results` among the members of an object.
struct Results;

enum Found<'a> {
    None,
    One(&'a RawValue),
    Several,
}

impl<'de> Visitor<'de> for Results {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = Found::None;
        // Raw, because a key may hold an escape that is no character (`\ud800`), and is passed on.
        while let Some(key) = members.next_key::<&RawValue>()? {
            if serde_json::from_str::<String>(key.get()).is_ok_and(|key| key == "results") {
                let value = members.next_value()?;
                found = if let Found::None = found { Found::One(value) } else { Found::Several };
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Finds where each element of an array ends in `text`, of which the array is a part.
struct Ends<'a> {
    text: &'a str,
}

impl<'de> Visitor<'de> for Ends<'de> {
    type Value = Vec<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut ends = Vec::new();
        while let Some(element) = elements.next_element::<&RawValue>()? {
            ends.push(offset(self.text, element.get()) + element.get().len());
        }
        Ok(ends)
    }
}

/// Where `part` begins in `text`, from which it was borrowed.
fn offset(text: &str, part: &str) -> usize {
    let offset = part.as_ptr() as usize - text.as_ptr() as usize;
    debug_assert!(text[offset..].starts_with(part));
    offset
}

fn append_with_single_newlines(mut text: &[u8], output: &mut Vec<u8>) {
    while let Some(newline) = memchr(b'\n', text) {
        let (line, rest) = text.split_at(newline + 1);
        output.extend_from_slice(line);
        let run = rest.iter().take_while(|&&byte| byte == b'\n').count();
        text = &rest[run..];
    }
    output.extend_from_slice(text);
}

/// Why there is no answer in a response, in words that a person can act on. They hold nothing of the
/// body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// An HTTP status other than 200.
    Status(u16),
    /// Bytes that are not UTF-8, which JSON must be.
    NotUtf8,
    /// Not a JSON text; why and where.
    NotJson(String),
    /// JSON, but not an object.
    NotAnObject,
    /// No `results`, or `results` that are not an array.
    NoResults,
    /// More than one `results`.
    SeveralResults,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Status(status) => {
                write!(f, "Places answered with HTTP status {status}{}", advice(*status))
            }
            Unusable::NotUtf8 => f.write_str("Places' answer is not JSON: it is not UTF-8"),
            Unusable::NotJson(why) => write!(f, "Places' answer is not JSON: {why}"),
            Unusable::NotAnObject => f.write_str("Places' answer is not a JSON object"),
            Unusable::NoResults => f.write_str("Places' answer has no array \"results\""),
            Unusable::SeveralResults => f.write_str("Places' answer has more than one \"results\""),
        }
    }
}

impl std::error::Error for Unusable {}

/// What usually helps against an HTTP status (RFC 9110, section 15).
fn advice(status: u16) -> &'static str {
    match status {
        301 | 302 | 303 | 307 | 308 => {
            ": it is elsewhere, and redirects are not followed; correct places.url"
        }
        400 | 401 | 403 => ": check the key and what it is allowed to",
        404 | 410 => ": check places.url",
        429 => ": too many questions, or the key's quota is used up; try again later",
        500..=599 => ": try again later",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
