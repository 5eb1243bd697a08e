//! The answer of Places, and the part of it that a client gets. No HTTP: the body of a response comes in.
//!
//! An answer is the text that Places sent, and the offsets of its results. Nothing else is parsed, so that
//! number texts, escapes, key order and spacing reach the client unchanged.

use std::fmt;

use memchr::{memchr, memrchr};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

/// A JSON object with an array `results`, the format of Google's Nearby Search (legacy).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    text: String,
    /// The offset after the `[` of `results`.
    results_start: usize,
    /// The offset of the end of each result, in order.
    results_ends: Vec<usize>,
}

impl Answer {
    /// Takes the answer from an HTTP response.
    ///
    /// # Errors
    ///
    /// Those of [`parse`](Self::parse), and every status other than 200, whatever the body.
    pub fn from_response(status: u16, body: Vec<u8>) -> Result<Self, Unusable> {
        if status == 200 { Self::parse(body) } else { Err(Unusable::Status(status)) }
    }

    /// Parses a body: a JSON text (RFC 8259) in UTF-8 that is an object with an array `results`. Nesting may
    /// have any depth.
    ///
    /// # Errors
    ///
    /// Every other body, and an object with more than one `results`, which is ambiguous.
    pub fn parse(body: Vec<u8>) -> Result<Self, Unusable> {
        let mut text = String::from_utf8(body).map_err(|_| Unusable::NotUtf8)?;
        // Some programs write a byte order mark, which is not JSON.
        if let Some(object) = text.trim_start_matches(JSON_WHITE_SPACE).strip_prefix('\u{feff}') {
            let before = text.len() - object.len();
            text.drain(..before);
        }
        let results = results_of(&text)?;
        let mut elements = serde_json::Deserializer::from_str(results.get());
        let results_ends =
            elements.deserialize_seq(EndsVisitor { text: &text }).map_err(|_| Unusable::NoResults)?;
        let results_start = offset(&text, results.get()) + 1;
        Ok(Answer { results_start, results_ends, text })
    }

    /// The answer in place of one that Places did not give: no results, and a `message` for people, which
    /// must not contain the key.
    pub fn unknown_error(message: &str) -> Self {
        Self::without_results("UNKNOWN_ERROR", message)
    }

    /// The answer to a question without a key, as Google gives it.
    pub fn request_denied(message: &str) -> Self {
        Self::without_results("REQUEST_DENIED", message)
    }

    fn without_results(status: &str, message: &str) -> Self {
        let start = r#"{"html_attributions":[],"results":["#;
        let message = Value::from(message);
        let text = format!(r#"{start}],"status":"{status}","error_message":{message}}}"#);
        Answer { text, results_start: start.len(), results_ends: Vec::new() }
    }

    /// The text that Places sent.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Appends the answer with at most `bound` results to `output` (docs/protocol.md, "WHATSAT"): without
    /// everything from the end of the last result kept to the end of the last result, without lines that look
    /// blank, and without white space around the object.
    pub fn cut(&self, bound: usize, output: &mut Vec<u8>) {
        let last = self.results_ends.last().copied().unwrap_or(self.results_start);
        let kept = match bound {
            0 => self.results_start,
            _ => self.results_ends.get(bound - 1).copied().unwrap_or(last),
        };
        output.reserve(self.text.len() - (last - kept));
        // No run of white space spans the cut, because the bytes before its start and before its end are
        // visible.
        append_without_blank_lines(self.text[..kept].trim_start().as_bytes(), output);
        append_without_blank_lines(self.text[last..].trim_end().as_bytes(), output);
    }
}

/// The value of `results` in the object `text`.
fn results_of(text: &str) -> Result<&RawValue, Unusable> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let results =
        deserializer.deserialize_map(ResultsVisitor).and_then(|found| deserializer.end().map(|()| found));
    match results {
        Ok(ResultsMember::One(results)) => Ok(results),
        Ok(ResultsMember::None) => Err(Unusable::NoResults),
        Ok(ResultsMember::Several) => Err(Unusable::SeveralResults),
        // The message of a data error would quote the body.
        Err(why) if why.classify() == Category::Data => Err(Unusable::NotAnObject),
        Err(why) => Err(Unusable::NotJson(why.to_string())),
    }
}

/// Finds `results` among the members of an object.
struct ResultsVisitor;

/// The `results` of an object.
enum ResultsMember<'a> {
    None,
    One(&'a RawValue),
    Several,
}

impl<'de> Visitor<'de> for ResultsVisitor {
    type Value = ResultsMember<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = ResultsMember::None;
        // The key is raw: an escape that is no character (`\ud800`) is not an error, and is passed on.
        while let Some(key) = members.next_key::<&RawValue>()? {
            if serde_json::from_str::<String>(key.get()).is_ok_and(|key| key == "results") {
                let value = members.next_value()?;
                found = match found {
                    ResultsMember::None => ResultsMember::One(value),
                    _ => ResultsMember::Several,
                };
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Collects the offset in `text` of the end of each element of an array. The array is borrowed from `text`.
struct EndsVisitor<'a> {
    text: &'a str,
}

impl<'de> Visitor<'de> for EndsVisitor<'de> {
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

/// The offset of `part` in `text`, from which it is borrowed.
fn offset(text: &str, part: &str) -> usize {
    let offset = part.as_ptr() as usize - text.as_ptr() as usize;
    debug_assert!(text[offset..].starts_with(part));
    offset
}

/// Appends `text`. A run of white space with several newlines keeps what is before the first of them and after
/// the last one, around one newline.
fn append_without_blank_lines(mut text: &[u8], output: &mut Vec<u8>) {
    while let Some(newline) = memchr(b'\n', text) {
        let (line, rest) = text.split_at(newline + 1);
        output.extend_from_slice(line);
        let run = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let last = memrchr(b'\n', &rest[..run]);
        text = last.map_or(rest, |last| &rest[last + 1..]);
    }
    output.extend_from_slice(text);
}

/// White space outside strings (RFC 8259, section 2).
const JSON_WHITE_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The reason that a response has no usable answer. Its text says what to do, and contains nothing of the
/// body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// An HTTP status other than 200.
    Status(u16),
    /// The body is not UTF-8, as JSON must be.
    NotUtf8,
    /// The body is not a JSON text, for this reason.
    NotJson(String),
    /// The body is JSON, but not an object.
    NotAnObject,
    /// The object has no `results`, or they are not an array.
    NoResults,
    /// The object has more than one `results`.
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

/// Advice for an HTTP status (RFC 9110, section 15).
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
