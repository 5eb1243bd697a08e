//! Phones: the messages of apps that exist (docs/phones.md), each read into what an IAMAT says. Nothing that is not known
//! is an error, and nothing is refused that the phone would send again for ever.
//!
//! The files of the apps are pure functions from the parts of a request to points; [`Batch`] carries them out.

mod batch;
mod friends;
mod overland;
mod owntracks;
mod parameters;
mod point;
mod sender;
#[cfg(test)]
mod tests;
mod time;
mod traccar;

pub use self::batch::PhoneCounts;
pub(super) use self::batch::{Batch, report};
use self::parameters::Parameters;
use self::point::Point;
use self::sender::{Sender, pair, pair_of_path};
use super::access::basic_user;
use super::response::{JSON, Response};
use crate::access::Grant;
use crate::http::server::RequestHead;

/// The protocol of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum App {
    /// OwnTracks.
    OwnTracks,
    /// OsmAnd, GPSLogger, Traccar Client: parameters or JSON.
    Parameters,
    /// Overland.
    Overland,
}

impl App {
    /// The app of a path without the token; `None`: it is of none. `/` is with a query or POST only.
    pub(super) fn of(path: &str, method: &str, query: &str) -> Option<App> {
        match path.strip_suffix('/').unwrap_or(path) {
            "" if path == "/" && (method == "POST" || !query.is_empty()) => Some(App::Parameters),
            "/osmand" | "/traccar" | "/gpslogger" => Some(App::Parameters),
            "/overland" => Some(App::Overland),
            "/owntracks" | "/pub" => Some(App::OwnTracks),
            path if path.starts_with("/owntracks/") => Some(App::OwnTracks),
            _ => None,
        }
    }

    /// The methods that it uses, as the field Allow lists them.
    pub(super) fn methods(self) -> &'static str {
        match self {
            App::Parameters => "GET, HEAD, POST",
            App::OwnTracks | App::Overland => "POST",
        }
    }

    /// What the app takes as delivered. `user_agent`: some apps send the messages of another one.
    fn answer(self, user_agent: Option<&[u8]>) -> Response {
        let (content_type, body) = match self {
            App::OwnTracks if user_agent.is_some_and(|agent| agent.starts_with(b"Overland/")) => {
                (JSON, OVERLAND_OK)
            }
            App::OwnTracks => (JSON, "[]"),
            App::Parameters => ("text/plain", ""),
            App::Overland => (JSON, OVERLAND_OK),
        };
        Response { body: body.into(), ..Response::ok(content_type, Vec::new()) }
    }
}

/// What a request says about its phone besides the message. `path` is without the token.
fn sender_of(head: &RequestHead<'_>, path: &str, grant: &Grant) -> Sender {
    let field = |name| head.fields.get(name).unwrap_or_default();
    let rest = path.strip_prefix("/owntracks/").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    Sender {
        path: rest.and_then(pair_of_path),
        limit: pair(field("X-Limit-U"), field("X-Limit-D")),
        user: basic_user(head),
        token: grant.name().map(|name| name.as_bytes().to_vec()),
        query: Parameters::of_query(head.path_and_query().1),
    }
}

/// The body of a request, and its parts, each of which is read as a message.
#[derive(Debug, Default)]
struct Parts {
    /// JSON text, or the bytes of a form.
    body: Vec<u8>,
    is_json: bool,
    /// The bounds of each part.
    bounds: Vec<(usize, usize)>,
}

impl Parts {
    /// Divides a body. `content_type` is that of the request. The error is for what is no request of the app at all.
    fn of(app: App, content_type: Option<&[u8]>, body: &[u8]) -> Result<Parts, Response> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let is_declared = content_type
            .and_then(|content_type| content_type.get(..JSON.len()))
            .is_some_and(|begin| begin.eq_ignore_ascii_case(JSON.as_bytes()));
        let begins_as_json = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
        let is_json = app != App::Parameters || is_declared || begins_as_json;
        let text = if is_json { str::from_utf8(body).unwrap_or_default() } else { "" };
        let whole = || vec![(0, body.len())];
        let bounds = match app {
            App::Overland => {
                let parts = overland::parts(text).ok_or_else(|| {
                    Response::bad("the body: expected a JSON object with an array locations, got none")
                })?;
                bounds(text, &parts)
            }
            App::Parameters if begins_as_json && text.trim_ascii_start().starts_with('[') => {
                match serde_json::from_str::<Vec<&serde_json::value::RawValue>>(text) {
                    Ok(parts) if !parts.is_empty() => {
                        bounds(text, &parts.iter().map(|part| part.get()).collect::<Vec<_>>())
                    }
                    // The query may still say something.
                    _ => vec![(0, 0)],
                }
            }
            App::Parameters | App::OwnTracks => whole(),
        };
        Ok(Parts { body: body.to_vec(), is_json, bounds })
    }

    fn len(&self) -> usize {
        self.bounds.len()
    }

    /// Reads a part.
    fn read(&self, app: App, number: usize, sender: &Sender) -> Point {
        let (start, end) = self.bounds[number];
        let part = &self.body[start..end];
        let text = || str::from_utf8(part).unwrap_or_default();
        match app {
            App::OwnTracks => owntracks::read(text(), sender),
            App::Overland => overland::read(text(), sender),
            App::Parameters if self.is_json => {
                traccar::read(Parameters::of_json(text()).unwrap_or_default(), sender)
            }
            App::Parameters => traccar::read(Parameters::of_form(part), sender),
        }
    }
}

/// The bounds of parts of a text.
fn bounds(text: &str, parts: &[&str]) -> Vec<(usize, usize)> {
    let start = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
    parts.iter().map(|part| (start(part), start(part) + part.len())).collect()
}

const OVERLAND_OK: &str = "{\"result\":\"ok\"}";
