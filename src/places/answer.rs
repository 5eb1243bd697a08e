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
    /// Its `status` is `OK` or `ZERO_RESULTS`.
    succeeded: bool,
}

/// The `status` of an answer in place of one that Places did not give, as Google names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The service does not accept the question.
    InvalidRequest,
    /// The key is missing, wrong, or not allowed to ask.
    RequestDenied,
    /// Too many questions.
    OverQueryLimit,
    /// Every other failure.
    UnknownError,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::InvalidRequest => "INVALID_REQUEST",
            Status::RequestDenied => "REQUEST_DENIED",
            Status::OverQueryLimit => "OVER_QUERY_LIMIT",
            Status::UnknownError => "UNKNOWN_ERROR",
        }
    }
}

impl Answer {
    /// Parses a body: a JSON text (RFC 8259) in UTF-8 that is an object with an array `results`. Nesting may
    /// have any depth.
    ///
    /// # Errors
    ///
    /// Every other body, and an object with more than one `results`, which is ambiguous.
    pub fn parse(body: Vec<u8>) -> Result<Self, Unusable> {
        Answer::of_text(json_text(body)?)
    }

    /// Parses a text without a byte order mark; see [`parse`](Self::parse).
    pub(super) fn of_text(text: String) -> Result<Self, Unusable> {
        let (results, succeeded) = results_of(&text)?;
        let mut elements = serde_json::Deserializer::from_str(results.get());
        let results_ends = elements
            .deserialize_seq(EndsVisitor { text: &text })
            .map_err(|_| Unusable::NoArray("results"))?;
        let results_start = offset(&text, results.get()) + 1;
        Ok(Answer { results_start, results_ends, succeeded, text })
    }

    /// The answer with these results, which are JSON texts, on one line without white space outside strings.
    pub(super) fn of_results(html_attributions: &[String], results: &[String]) -> Self {
        let attributions: Vec<String> =
            html_attributions.iter().map(|text| Value::from(text.as_str()).to_string()).collect();
        let mut text = format!(r#"{{"html_attributions":[{}],"results":["#, attributions.join(","));
        let results_start = text.len();
        let mut results_ends = Vec::with_capacity(results.len());
        for result in results {
            if !results_ends.is_empty() {
                text.push(',');
            }
            text.push_str(result);
            results_ends.push(text.len());
        }
        let status = if results.is_empty() { "ZERO_RESULTS" } else { "OK" };
        text.push_str(&format!(r#"],"status":"{status}"}}"#));
        Answer { text, results_start, results_ends, succeeded: true }
    }

    /// The answer in place of one that Places did not give: no results, and a `message` for people, which
    /// must not contain the key.
    pub fn failure(status: Status, message: &str) -> Self {
        let start = r#"{"html_attributions":[],"results":["#;
        let (status, message) = (status.name(), Value::from(message));
        let text = format!(r#"{start}],"status":"{status}","error_message":{message}}}"#);
        Answer { text, results_start: start.len(), results_ends: Vec::new(), succeeded: false }
    }

    /// The answer in place of one that Places did not give, for no reason that has a status of its own.
    pub fn unknown_error(message: &str) -> Self {
        Answer::failure(Status::UnknownError, message)
    }

    /// Whether the service has found what there is: the `status` is `OK` or `ZERO_RESULTS`.
    pub fn succeeded(&self) -> bool {
        self.succeeded
    }

    /// The message of a failure.
    pub fn error_message(&self) -> Option<String> {
        let value: Value = serde_json::from_str(&self.text).ok()?;
        value["error_message"].as_str().map(str::to_owned)
    }

    /// The whole text.
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

/// The text of a body of JSON in UTF-8. A byte order mark, which some programs write, is removed.
pub(super) fn json_text(body: Vec<u8>) -> Result<String, Unusable> {
    let mut text = String::from_utf8(body).map_err(|_| Unusable::NotUtf8)?;
    if let Some(json) = text.trim_start_matches(JSON_WHITE_SPACE).strip_prefix('\u{feff}') {
        let before = text.len() - json.len();
        text.drain(..before);
    }
    Ok(text)
}

/// The value of `results` in the object `text`, and whether its `status` is that of a success.
fn results_of(text: &str) -> Result<(&RawValue, bool), Unusable> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let results =
        deserializer.deserialize_map(ResultsVisitor).and_then(|found| deserializer.end().map(|()| found));
    match results {
        Ok((ResultsMember::One(results), succeeded)) => Ok((results, succeeded)),
        Ok((ResultsMember::None, _)) => Err(Unusable::NoArray("results")),
        Ok((ResultsMember::Several, _)) => Err(Unusable::SeveralResults),
        // The message of a data error would quote the body.
        Err(why) if why.classify() == Category::Data => Err(Unusable::NotAnObject),
        Err(why) => Err(Unusable::NotJson(why.to_string())),
    }
}

/// Finds `results` and `status` among the members of an object.
struct ResultsVisitor;

/// The `results` of an object.
enum ResultsMember<'a> {
    None,
    One(&'a RawValue),
    Several,
}

impl<'de> Visitor<'de> for ResultsVisitor {
    type Value = (ResultsMember<'de>, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut succeeded) = (ResultsMember::None, false);
        // The key is raw: an escape that is no character (`\ud800`) is not an error, and is passed on.
        while let Some(key) = members.next_key::<&RawValue>()? {
            match serde_json::from_str::<String>(key.get()).as_deref() {
                Ok("results") => {
                    let value = members.next_value()?;
                    found = match found {
                        ResultsMember::None => ResultsMember::One(value),
                        _ => ResultsMember::Several,
                    };
                }
                Ok("status") => {
                    let status = members.next_value::<&RawValue>()?;
                    let status = serde_json::from_str::<String>(status.get());
                    succeeded = matches!(status.as_deref(), Ok("OK" | "ZERO_RESULTS"));
                }
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok((found, succeeded))
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
    /// The body is not UTF-8, as JSON must be.
    NotUtf8,
    /// The body is not a JSON text, for this reason.
    NotJson(String),
    /// The body is JSON, but not an object.
    NotAnObject,
    /// The object has no member of this name, or it is not an array.
    NoArray(&'static str),
    /// The object has more than one `results`.
    SeveralResults,
    /// A string has half of a surrogate pair, which is no character.
    HalfAPair,
    /// The object has a member `error` that does not say what failed.
    BareError,
    /// The key is in the answer.
    RepeatsKey,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::NotUtf8 => f.write_str("Places' answer is not JSON: it is not UTF-8"),
            Unusable::NotJson(why) => write!(f, "Places' answer is not JSON: {why}"),
            Unusable::NotAnObject => f.write_str("Places' answer is not a JSON object"),
            Unusable::NoArray(name) => write!(f, "Places' answer has no array \"{name}\""),
            Unusable::SeveralResults => f.write_str("Places' answer has more than one \"results\""),
            Unusable::HalfAPair => {
                f.write_str("Places' answer has an escape that is no character: half of a surrogate pair")
            }
            Unusable::BareError => f.write_str("Places' answer has an \"error\" that says nothing"),
            Unusable::RepeatsKey => f.write_str("Places' answer repeats the key, and is withheld"),
        }
    }
}

impl std::error::Error for Unusable {}

#[cfg(test)]
mod tests;
