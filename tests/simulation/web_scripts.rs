//! The random scripts of clients over HTTP.

use std::collections::VecDeque;

use crate::chance::Chance;
use crate::followers::{Marked, whom};
use crate::oracle::Oracle;
use crate::phones::Point;
use crate::rules::{Lifetimes, Whom};
use crate::scripts::{NEAR_RADII, RADII, Reading, USUAL_RADII, Vocabulary};
use crate::web_lists::Pages;
use crate::web_requests::{Ask, Request, encoded, json_degrees, of_degrees};
use crate::world::{MILLISECOND, SECOND, Time};

/// One act of a client over HTTP.
#[derive(Clone, Debug)]
pub enum WebAct {
    Send(Box<Request>),
    /// Sends a request, with a pause after so many bytes of it.
    SendInParts(Box<Request>, usize, Time),
    /// The rest of a request.
    Bytes(Vec<u8>),
    Wait(Time),
    Read(Reading),
    /// Waits for all responses.
    Await,
    /// Begins to read a list.
    List(Box<Pages>),
    /// Reads the list to its end.
    NextPage,
    /// Reads what is new since the last list.
    News,
    /// A phone has another point.
    Point(Box<Point>),
    /// Closes the connection and makes another one.
    Again,
    HalfClose,
    Close,
}

/// The script of a client that is no phone.
pub fn script(
    vocabulary: &Vocabulary,
    oracle: &Oracle,
    server: usize,
    chance: &mut Chance,
) -> VecDeque<WebAct> {
    match chance.below(6) {
        0 => list_script(vocabulary, chance),
        1 | 2 => stream_script(vocabulary, oracle, server, chance),
        _ => program_script(vocabulary, chance),
    }
}

/// Requests of all kinds, with or without pipelining.
fn program_script(vocabulary: &Vocabulary, chance: &mut Chance) -> VecDeque<WebAct> {
    let mut acts = VecDeque::new();
    let patience = chance.magnitude(MILLISECOND, 2 * SECOND);
    let (pipelines, parts_one_in) = (chance.one_in(2), *chance.pick(&[0, 3, 15]));
    push_reading(&mut acts, chance);
    for _ in 0..chance.magnitude(1, 30) {
        let request = request(vocabulary, chance);
        let (is_last, length, head) = (request.is_last, request.bytes.len(), request.head);
        if chance.one_in(parts_one_in) {
            let at = if chance.one_in(3) { head.min(length - 1) } else { 1 + chance.index(length - 1) };
            acts.push_back(WebAct::SendInParts(Box::new(request), at, chance.below(patience)));
        } else {
            acts.push_back(WebAct::Send(Box::new(request)));
        }
        if !pipelines {
            acts.push_back(if chance.one_in(2) {
                WebAct::Await
            } else {
                WebAct::Wait(chance.below(patience))
            });
        }
        if chance.one_in(30) {
            acts.push_back(WebAct::Read(Reading::Everything));
        }
        if is_last && chance.one_in(2) {
            break;
        }
    }
    match chance.below(6) {
        0 => acts.push_back(WebAct::Close),
        1 => {
            // A request that is not sent whole.
            let request = request(vocabulary, chance);
            let at = 1 + chance.index(request.bytes.len() - 1);
            acts.push_back(WebAct::SendInParts(Box::new(request), at, 0));
            acts.push_back(WebAct::HalfClose);
        }
        2 => {
            acts.push_back(WebAct::Await);
            acts.push_back(WebAct::HalfClose);
        }
        // Responses may be pending when it half-closes.
        _ => acts.push_back(WebAct::HalfClose),
    }
    acts
}

fn push_reading(acts: &mut VecDeque<WebAct>, chance: &mut Chance) {
    if chance.one_in(6) {
        let slowly = Reading::Slowly(chance.magnitude(1, 500) as usize);
        acts.push_back(WebAct::Read(if chance.one_in(3) { Reading::Nothing } else { slowly }));
    }
}

/// Lists, each to its end, and what is new since.
fn list_script(vocabulary: &Vocabulary, chance: &mut Chance) -> VecDeque<WebAct> {
    let mut acts = VecDeque::new();
    let id = chance.pick(&vocabulary.ids);
    let prefix = if chance.one_in(4) { id[..1].to_vec() } else { Vec::new() };
    let limit = *chance.pick(&[1, 1, 2, 3, 50]);
    let pages = Pages::new(prefix, limit, Chance::new(chance.number()));
    acts.push_back(WebAct::List(Box::new(pages)));
    acts.extend([WebAct::Await, WebAct::NextPage]);
    for _ in 0..chance.between(0, 5) {
        acts.push_back(WebAct::Wait(chance.magnitude(MILLISECOND, 4 * SECOND)));
        acts.extend([WebAct::News, WebAct::NextPage]);
    }
    acts.push_back(WebAct::HalfClose);
    acts
}

/// A stream that is resumed on other connections, and goes on until all clients are asked to end.
fn stream_script(
    vocabulary: &Vocabulary,
    oracle: &Oracle,
    server: usize,
    chance: &mut Chance,
) -> VecDeque<WebAct> {
    let mut acts = VecDeque::new();
    push_reading(&mut acts, chance);
    let (whom, text) = whom(vocabulary, chance);
    // A tombstone that is dropped before the stream is resumed leaves no trace.
    let is_remembered = oracle.lifetimes.remember_gone_s == Lifetimes::default().remember_gone_s;
    let marks = oracle.marked(server, &text);
    let newest = marks.len().saturating_sub(1 + chance.magnitude(1, 20) as usize);
    let from = marks.get(newest).filter(|_| is_remembered && chance.one_in(2)).cloned();
    let method = if chance.one_in(12) { "HEAD" } else { "GET" };
    let request = changes_request(&whom, &text, from, method, chance);
    acts.push_back(WebAct::Send(Box::new(request)));
    for _ in 0..chance.below(4) {
        acts.push_back(WebAct::Wait(chance.magnitude(MILLISECOND, 5 * SECOND)));
        acts.push_back(WebAct::Read(Reading::Everything));
        acts.push_back(WebAct::Wait(chance.magnitude(MILLISECOND, SECOND)));
        acts.push_back(WebAct::Again);
    }
    match chance.below(4) {
        0 => acts.extend([WebAct::Wait(chance.magnitude(MILLISECOND, 5 * SECOND)), WebAct::HalfClose]),
        1 => acts.extend([
            WebAct::Wait(chance.magnitude(MILLISECOND, 5 * SECOND)),
            WebAct::Read(Reading::Everything),
        ]),
        _ => acts.push_back(WebAct::Read(Reading::Everything)),
    }
    acts
}

/// The request for a stream, or for the rest of one.
pub fn changes_request(
    whom: &Whom,
    text: &[u8],
    from: Option<Marked>,
    method: &str,
    chance: &mut Chance,
) -> Request {
    let words: Vec<&[u8]> = text.split(|&byte| byte == b' ').collect();
    let value = |bytes: &[u8], chance: &mut Chance| encoded(bytes, chance.one_in(3));
    let mut query = match (whom, &words[..]) {
        (Whom::Area { .. }, [location, km]) => {
            let (latitude, longitude) = split_location(&String::from_utf8_lossy(location));
            format!("latitude={latitude}&longitude={longitude}&km={}", String::from_utf8_lossy(km))
        }
        (Whom::Prefix(prefix), _) => format!("prefix={}", value(prefix, chance)),
        _ => format!("id={}", value(text, chance)),
    };
    let from = from.filter(|_| !matches!(whom, Whom::Area { .. }));
    let mut field = String::new();
    if let Some(from) = &from {
        let position = format!("{}-{}", String::from_utf8_lossy(&from.epoch), from.sequence);
        if chance.one_in(3) {
            query.push_str(&format!("&from={position}"));
        } else {
            // The field is newer than the parameter.
            field = format!("Last-Event-ID: {position}\r\n");
            if chance.one_in(2) {
                query.push_str("&from=0000000000000001-1");
            }
        }
    }
    let ask = Ask::Changes { whom: whom.clone(), text: text.to_vec(), from };
    Request::with_body(ask, (method, &format!("/v1/changes?{query}"), &field), None, chance)
}

/// Latitude and longitude with their signs, as values of parameters.
fn split_location(location: &str) -> (String, String) {
    let at = location[1..].find(['+', '-']).map_or(location.len(), |at| at + 1);
    let (latitude, longitude) = location.split_at(at);
    (latitude.to_owned(), longitude.to_owned())
}

/// A request that is no list and no stream.
fn request(vocabulary: &Vocabulary, chance: &mut Chance) -> Request {
    let id = chance.pick(&vocabulary.ids).clone();
    let path = format!("/v1/clients/{}", encoded(&id, chance.one_in(4)));
    let read = if chance.one_in(6) { "HEAD" } else { "GET" };
    match chance.below(20) {
        0..=7 => put(vocabulary, (id, &path), chance),
        // The first client of all is never forgotten: later checks ask about it.
        8 | 9 if id != vocabulary.ids[0] => Request::new(Ask::Delete { id }, "DELETE", &path, chance),
        8 => unknown(chance),
        10..=12 => {
            let is_geojson = chance.one_in(4);
            let query = if is_geojson { "?format=geojson" } else { "" };
            Request::new(Ask::Get { id, is_geojson }, read, &format!("{path}{query}"), chance)
        }
        13 | 14 => near(vocabulary, id, read, chance),
        15 if vocabulary.questions_one_in > 0 => {
            let radius = chance.pick(&RADII[..USUAL_RADII]).0;
            let bound = chance.below(21) as usize;
            let target = format!("{path}/places?km={radius}&limit={bound}");
            let ask = Ask::Places { id, radius: radius.as_bytes().to_vec(), bound };
            Request::new(ask, "GET", &target, chance)
        }
        16 => {
            let path = *chance.pick(&["/livez", "/readyz", "/healthz", "/v1/herd", "/metrics"]);
            Request::new(Ask::Page(path), "GET", path, chance)
        }
        17 | 18 if chance.one_in(2) => refused(&path, chance),
        _ => put(vocabulary, (id, &path), chance),
    }
}

/// A request about a client that no client has reported.
fn unknown(chance: &mut Chance) -> Request {
    let (id, path) = (b"nobody".to_vec(), "/v1/clients/nobody");
    match chance.below(4) {
        0 => Request::new(Ask::Delete { id }, "DELETE", path, chance),
        1 => {
            let ask = Ask::Near { centre: id, radius: b"5".to_vec(), bound: 9 };
            Request::new(ask, "GET", "/v1/near?id=nobody&km=5&limit=9", chance)
        }
        method => {
            let method = if method == 2 { "GET" } else { "HEAD" };
            Request::new(Ask::Get { id, is_geojson: false }, method, path, chance)
        }
    }
}

fn near(vocabulary: &Vocabulary, id: Vec<u8>, method: &str, chance: &mut Chance) -> Request {
    let radius = *chance.pick(&NEAR_RADII);
    let bound = chance.below(10) as usize;
    let (centre, text) = match chance.one_in(2) {
        true => (id.clone(), format!("id={}", encoded(&id, false))),
        false => {
            let location = chance.pick(&vocabulary.locations);
            let (latitude, longitude) = split_location(location);
            (location.as_bytes().to_vec(), format!("latitude={latitude}&longitude={longitude}"))
        }
    };
    let target = format!("/v1/near?{text}&km={radius}&limit={bound}");
    let ask = Ask::Near { centre, radius: radius.as_bytes().to_vec(), bound };
    Request::new(ask, method, &target, chance)
}

fn put(vocabulary: &Vocabulary, (id, path): (Vec<u8>, &str), chance: &mut Chance) -> Request {
    let location = *chance.pick(&vocabulary.locations);
    let time_text = match chance.below(8) {
        0 => Vec::new(),
        1 if chance.one_in(4) => b"99999999999".to_vec(),
        _ => vocabulary.time(chance),
    };
    let time = String::from_utf8_lossy(&time_text).into_owned();
    let time = match (time.is_empty(), chance.one_in(2)) {
        (true, _) => String::new(),
        (false, true) => format!(",\"time\":{time}"),
        (false, false) => format!(", \"x\":{{\"time\":5}}, \"time\":\"{time}\""),
    };
    let (location, place) = match chance.one_in(2) {
        true => (location.to_owned(), format!("\"location\":\"{location}\"")),
        false => {
            let (latitude, longitude) = json_degrees(location);
            let place = format!("\"longitude\": {longitude},\"latitude\":{latitude}");
            (of_degrees(&latitude, &longitude), place)
        }
    };
    let ask = Ask::Put { id, location: location.into_bytes(), time_text };
    Request::with_body(ask, ("PUT", path, ""), Some(&format!("{{{place}{time}}}")), chance)
}

/// A request that is refused.
fn refused(path: &str, chance: &mut Chance) -> Request {
    let host = "Host: localhost\r\n";
    let put = format!("PUT {path} HTTP/1.1\r\n{host}");
    let body = "Content-Length: 22\r\n\r\n{\"location\":\"+91-118\"}";
    let inner = format!("PUT {path} HTTP/1.1\r\n{host}Content-Length: 20\r\n\r\n{{\"location\":\"+1-1\"}}\n");
    let (status, bytes, is_last) = match chance.below(12) {
        0 => (404, format!("GET /nothing HTTP/1.1\r\n{host}\r\n"), false),
        1 => (405, format!("DELETE /v1/clients HTTP/1.1\r\n{host}\r\n"), false),
        2 => (400, format!("{put}{body}"), false),
        3 => (400, format!("GET /v1/clients/a%2 HTTP/1.1\r\n{host}\r\n"), false),
        4 => (417, format!("GET {path} HTTP/1.1\r\n{host}Expect: more\r\n\r\n"), false),
        5 => (421, format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n\r\n"), false),
        6 => (403, format!("DELETE {path} HTTP/1.1\r\n{host}Sec-Fetch-Site: cross-site\r\n\r\n"), false),
        7 => (505, format!("GET {path} HTTP/2.0\r\n{host}\r\n"), true),
        // What looks like a request in the rest must not be carried out.
        8 => (
            405,
            format!("POST {path} HTTP/1.1\r\n{host}Content-Length: {}\r\n\r\n{inner}", inner.len()),
            true,
        ),
        9 => (
            400,
            format!("{put}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
            true,
        ),
        10 => (413, format!("{put}Content-Length: 99999999\r\n\r\n{inner}"), true),
        // The body of a GET is no request.
        _ => (404, format!("HEAD /nothing HTTP/1.1\r\n{host}\r\n"), false),
    };
    Request::refused(status, bytes.as_bytes(), is_last)
}
