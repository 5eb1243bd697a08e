//! The dialects of Places: what a question becomes in the API of a service, and what an answer of the service
//! becomes for a client (docs/protocol.md, section 1). No sockets: requests and responses are bytes.

pub mod google;
pub mod google_legacy;
pub(super) mod json;
pub mod photon;
mod secret;

use std::fmt;
use std::rc::Rc;

use self::json::Object;
use super::answer::{Answer, Status, Unusable, json_text};
use super::question::Question;
use crate::http::client::{Response, write_request};

/// The API of a Places service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Nearby Search of Google in its format of 2010.
    GoogleLegacy,
    /// Nearby Search of Google's Places API (New).
    Google,
    /// The reverse search of Photon, in OpenStreetMap.
    Photon,
}

impl Dialect {
    /// All dialects.
    pub const ALL: [Dialect; 3] = [Dialect::GoogleLegacy, Dialect::Google, Dialect::Photon];

    /// Its name in a herd file.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::GoogleLegacy => "google-legacy",
            Dialect::Google => "google",
            Dialect::Photon => "photon",
        }
    }

    /// Whether the service may ask for a key. To others no key is sent.
    pub fn takes_key(self) -> bool {
        self != Dialect::Photon
    }
}

/// A service: where it is, and how it is asked.
#[derive(Clone, PartialEq)]
pub struct Service {
    /// Its API.
    pub dialect: Dialect,
    /// Its base URL, for messages.
    pub url: String,
    /// The `Host` field of a request.
    pub host: String,
    /// The path of the base URL, without a slash at its end.
    pub base_path: String,
    /// The environment variable that should hold the key; `None`: the service needs no key.
    pub key_env: Option<String>,
    /// The key; `None`: there is none.
    pub key: Option<Rc<str>>,
    /// The service is a local Places server (`herd places`).
    pub is_local: bool,
}

impl Default for Service {
    /// A service on this machine without a key.
    fn default() -> Service {
        Service {
            dialect: Dialect::GoogleLegacy,
            url: "http://localhost".to_owned(),
            host: "localhost".to_owned(),
            base_path: String::new(),
            key_env: None,
            key: None,
            is_local: false,
        }
    }
}

impl fmt::Debug for Service {
    /// Writes the service without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.key.is_some() { "a" } else { "no" };
        write!(f, "{} at {}, {key} key", self.dialect.name(), self.url)
    }
}

/// The bytes of a request. Questions with equal bytes have the same answer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request(Rc<[u8]>);

impl Request {
    /// The bytes, which can contain the key and must not be logged.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Request {
    /// Writes no byte of the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a request of {} bytes", self.0.len())
    }
}

impl Service {
    /// The answer to a question that is not asked; `None`: it is asked.
    pub fn refusal(&self, question: &Question) -> Option<Answer> {
        if question.is_a_point() && self.dialect != Dialect::GoogleLegacy {
            let reason = "a radius of 0 is not asked; ask with a greater one";
            return Some(self.failure(Status::InvalidRequest, reason));
        }
        let variable = self.key_env.as_ref().filter(|_| self.key.is_none() && self.dialect.takes_key())?;
        let message = format!("The environment variable {variable} of this server holds no key for Places.");
        Some(Answer::failure(Status::RequestDenied, &message))
    }

    /// The request for a question.
    pub fn request(&self, question: &Question) -> Request {
        let key = self.key.as_deref().filter(|_| self.dialect.takes_key());
        let mut bytes = Vec::new();
        match self.dialect {
            Dialect::GoogleLegacy => {
                let target = google_legacy::target(&self.base_path, question, key);
                write_request(&mut bytes, "GET", &self.host, &target, &[], b"");
            }
            Dialect::Photon => {
                let target = photon::target(&self.base_path, question);
                write_request(&mut bytes, "GET", &self.host, &target, &[], b"");
            }
            Dialect::Google => {
                let target = format!("{}{}", self.base_path, google::PATH);
                let mut fields =
                    vec![("Content-Type", "application/json"), (google::MASK_FIELD, google::MASK)];
                fields.extend(key.map(|key| (google::KEY_FIELD, key)));
                let body = google::body(question);
                write_request(&mut bytes, "POST", &self.host, &target, &fields, body.as_bytes());
            }
        }
        Request(bytes.into())
    }

    /// The answer to a question, whatever the service has sent.
    pub fn answer(&self, response: Response) -> Answer {
        self.read(response).unwrap_or_else(|refused| self.failure(refused.status, &refused.reason))
    }

    /// The answer to a question that the service has not answered, for a reason without the key.
    pub fn unreachable(&self, reason: &str) -> Answer {
        let advice = if self.is_local { " (is the local Places server, herd places, running?)" } else { "" };
        self.failure(Status::UnknownError, &format!("{reason}{advice}"))
    }

    /// The answer to a question that failed, for a reason without the key.
    pub fn failure(&self, status: Status, reason: &str) -> Answer {
        Answer::failure(status, &format!("Places at {}: {reason}", self.url))
    }

    fn read(&self, response: Response) -> Result<Answer, Refused> {
        let Response { status, body, .. } = response;
        if status != 200 {
            let text = json_text(body).unwrap_or_default();
            let said = Object::parse(&text).ok();
            return Err(self.refused(status, "Places answered with HTTP status", said.as_ref()));
        }
        let text = json_text(body)?;
        let object = match self.dialect {
            Dialect::GoogleLegacy => {
                self.withhold_key(&text)?;
                return Ok(Answer::of_text(text)?);
            }
            Dialect::Google | Dialect::Photon => Object::parse(&text)?,
        };
        if let Some(error) = object.object("error") {
            let Some(code) = error.number("code").and_then(|code| code.parse().ok()) else {
                let refused =
                    self.refused(200, "Places answered with an error and HTTP status", Some(&object));
                return Err(refused);
            };
            return Err(self.refused(
                code,
                "Places answered with HTTP status 200, but with error",
                Some(&object),
            ));
        }
        if object.member("error").is_some() {
            return Err(Unusable::BareError.into());
        }
        self.withhold_key(&text)?;
        Ok(if self.dialect == Dialect::Google { google::answer(&object) } else { photon::answer(&object) }?)
    }

    fn withhold_key(&self, text: &str) -> Result<(), Unusable> {
        let repeats = |key: &&str| key.len() >= KEY_MIN && secret::is_repeated(text, key);
        if self.key.as_deref().filter(repeats).is_some() { Err(Unusable::RepeatsKey) } else { Ok(()) }
    }

    /// The failure of an answer with this code, an HTTP status. `said`: the object in the body.
    fn refused(&self, code: u16, what: &str, said: Option<&Object<'_>>) -> Refused {
        let error = said.and_then(|said| said.object("error"));
        let status = match code {
            _ if self.dialect == Dialect::GoogleLegacy => Status::UnknownError,
            400 if error.as_ref().is_some_and(blames_key) => Status::RequestDenied,
            400 => Status::InvalidRequest,
            401 | 403 => Status::RequestDenied,
            429 => Status::OverQueryLimit,
            _ => Status::UnknownError,
        };
        let own_words = || said.filter(|_| self.dialect == Dialect::Photon)?.string("message");
        let words = error.and_then(|error| error.string("message")).or_else(own_words);
        let words = words.map(|words| format!("; it says: {}", self.shortened(&words))).unwrap_or_default();
        Refused { status, reason: format!("{what} {code}{}{words}", advice(code)) }
    }

    /// The beginning of a text of the service, without the key.
    fn shortened(&self, words: &str) -> String {
        let mut words = match &self.key {
            Some(key) => secret::removed(words, key),
            None => words.to_owned(),
        };
        let end = (0..=WORDS_MAX.min(words.len())).rev().find(|&end| words.is_char_boundary(end));
        words.truncate(end.unwrap_or_default());
        words
    }
}

/// A failure: its status for the client and its reason for people, without the key.
struct Refused {
    status: Status,
    reason: String,
}

impl From<Unusable> for Refused {
    fn from(unusable: Unusable) -> Refused {
        Refused { status: Status::UnknownError, reason: unusable.to_string() }
    }
}

/// Whether an error of Google's is about the key, which its HTTP status does not say.
fn blames_key(error: &Object<'_>) -> bool {
    let details = error.array("details").unwrap_or_default();
    let mut reasons = details.into_iter().filter_map(|detail| Object::of(detail)?.string("reason"));
    reasons.any(|reason| reason == "API_KEY_INVALID")
}

/// Advice for an HTTP status (RFC 9110, section 15).
fn advice(status: u16) -> &'static str {
    match status {
        301 | 302 | 303 | 307 | 308 => {
            ": it is elsewhere, and redirects are not followed; correct places.url"
        }
        400 | 401 | 403 => ": check the key and what it is allowed to",
        404 | 410 => ": check places.url and places.api",
        429 => ": too many questions, or the key's quota is used up; try again later",
        500..=599 => ": try again later",
        _ => "",
    }
}

/// The shortest key in bytes that is looked for in answers. A shorter text is no secret, and appears in answers by
/// chance.
const KEY_MIN: usize = 8;
/// Bytes of a message of the service that are passed on: more than two sentences.
const WORDS_MAX: usize = 200;

#[cfg(test)]
mod tests;
