//! The fuzz target `web_stream`, and the model of a connection of HTTP. The model reads all requests at once with a
//! naive grammar, and computes all responses and the content of the store.

use std::collections::BTreeMap;

use herd::config::Limits;
use herd::conversation::Conversation;
use herd::protocol::Close;
use herd::text::time::Time;
use serde_json::Value;

use super::conversation::{self, EPOCH, Harness, NAME, PLACES, START};
use super::grammar;
use super::pieces::Pieces;

/// A client of HTTP gets exactly the responses of the model, and the store has exactly the winning statements, however
/// the input is split and whenever output is sent. The first two bytes choose limits and pieces, the rest is the input of
/// the client.
pub fn web_stream(data: &[u8]) {
    let [settings, options, stream @ ..] = data else { return };
    let (limits, water_marks) = conversation::settings(*settings);
    let eof = options & 1 == 1;
    let mut model = Model::new(&limits);
    model.receive(stream, eof);
    for pieces in Pieces::all(options >> 1) {
        let server = conversation::server(limits.clone());
        let web = Conversation::Web(Box::default());
        let mut harness = Harness::new(server, web, water_marks, pieces.seed());
        harness.input_max = HEAD_MAX;
        harness.receive(stream, pieces);
        if eof {
            harness.eof();
        }
        harness.settle();
        model.check(&harness, pieces);
    }
}

/// A response of the model.
struct Expected {
    status: u16,
    is_head: bool,
    body: Body,
    closes: bool,
}

enum Body {
    /// Exactly this text.
    Text(Vec<u8>),
    /// An object with an error in words.
    Error,
    /// Events; with the last response, until the end of the connection.
    Events(Vec<u8>),
}

/// The expected state of a server with one connection.
struct Model<'a> {
    limits: &'a Limits,
    /// The time of the next statement, in nanoseconds since 1970.
    clock: u64,
    responses: Vec<Expected>,
    /// The stored lines without LF, by ID.
    stored: BTreeMap<Vec<u8>, String>,
    /// The numbers of the stored changes, and their clients.
    changes: BTreeMap<u64, Vec<u8>>,
    sequence: u64,
    /// The input asks for something that the model does not compute: resumed streams, areas, NEAR, GeoJSON, phones, exponents, IDs
    /// that are not UTF-8. The bounds of the harness hold all the same.
    is_beyond: bool,
    /// The last response is a stream that goes on.
    is_streaming: bool,
    closing: Option<Close>,
}

/// A request as the naive grammar reads it.
struct Request {
    method: String,
    target: String,
    is_http_1_1: bool,
    fields: Vec<(String, Vec<u8>)>,
    /// `None`: chunked.
    length: Option<u64>,
    head_length: usize,
}

enum Read<T> {
    Incomplete,
    Refused(u16),
    Whole(T),
}

impl<'a> Model<'a> {
    fn new(limits: &'a Limits) -> Model<'a> {
        Model {
            limits,
            clock: START,
            responses: Vec::new(),
            stored: BTreeMap::new(),
            changes: BTreeMap::new(),
            sequence: 0,
            is_beyond: false,
            is_streaming: false,
            closing: None,
        }
    }

    fn receive(&mut self, stream: &[u8], eof: bool) {
        let mut rest = stream;
        while self.closing.is_none() && !self.is_streaming && !self.is_beyond {
            let request = match head(rest) {
                Read::Incomplete => break,
                Read::Refused(status) => return self.refuse(status),
                Read::Whole(request) => request,
            };
            if request.is_beyond_the_model() {
                self.is_beyond = true;
                break;
            }
            let has_body = request.length != Some(0);
            let after_head = &rest[request.head_length..];
            if has_body {
                let is_too_large = request.length.is_some_and(|length| length > BODY_MAX);
                let refused = if is_too_large { Some(413) } else { self.admit(&request).err() };
                if let Some(status) = refused {
                    self.respond(&request, status, Body::Error);
                    self.end();
                    break;
                }
            }
            let (body, used) = match body(&request, after_head) {
                Read::Incomplete => {
                    if eof {
                        self.refuse(400);
                    }
                    return;
                }
                Read::Refused(status) => return self.refuse(status),
                Read::Whole(read) => read,
            };
            rest = &after_head[used..];
            self.request(&request, &body, eof);
        }
        if eof && self.closing.is_none() && !self.is_streaming {
            if rest.is_empty() { self.closing = Some(Close::Drain) } else { self.refuse(400) }
        }
    }

    /// The last response, to what is no request.
    fn refuse(&mut self, status: u16) {
        self.responses.push(Expected { status, is_head: false, body: Body::Error, closes: true });
        self.closing = Some(Close::Drain);
    }

    fn respond(&mut self, request: &Request, status: u16, body: Body) {
        let closes = !request.keeps_alive();
        self.responses.push(Expected { status, is_head: request.method == "HEAD", body, closes });
        if closes {
            self.closing = Some(Close::Drain);
        }
    }

    fn end(&mut self) {
        if let Some(last) = self.responses.last_mut() {
            last.closes = true;
        }
        self.closing = Some(Close::Drain);
    }

    /// The resource of a request that is carried out; or the status of its refusal.
    fn admit(&self, request: &Request) -> Result<Resource, u16> {
        let authority = match request.authority() {
            Some(authority) => authority,
            None => String::from_utf8(request.field("host").unwrap_or_default()).map_err(|_| 400u16)?,
        };
        if !authority.is_empty() && !is_this_machine(&authority) {
            return Err(421);
        }
        let (path, query) = request.path_and_query();
        let path = match path.strip_prefix("/t/") {
            Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]).to_owned(),
            None => path,
        };
        let may_change = match &*request.method {
            "HEAD" | "OPTIONS" => false,
            "GET" => match path.strip_suffix('/').unwrap_or(&path) {
                "" => !query.is_empty(),
                path => ["/osmand", "/traccar", "/gpslogger"].contains(&path),
            },
            _ => true,
        };
        let is_own = |origin: &[u8]| {
            let origin = String::from_utf8_lossy(origin).into_owned();
            let own = origin.strip_prefix("http://").or(origin.strip_prefix("https://"));
            own.is_some_and(|own| own.eq_ignore_ascii_case(&authority))
        };
        let is_cross = request.values("sec-fetch-site").any(|site| site.eq_ignore_ascii_case(b"cross-site"));
        if may_change && (is_cross || !request.values("origin").all(is_own)) {
            return Err(403);
        }
        let resource = Resource::of(&path)?;
        let methods: &[&str] = match resource {
            Resource::Client(_) => &["GET", "HEAD", "PUT", "DELETE"],
            _ => &["GET", "HEAD"],
        };
        if !methods.contains(&&*request.method) {
            return Err(405);
        }
        let expects = request.members("expect");
        if request.is_http_1_1 && expects.iter().any(|member| !member.eq_ignore_ascii_case(b"100-continue")) {
            return Err(417);
        }
        let formats: Vec<&str> = parameters(&query, "format");
        match formats[..] {
            [] | ["json"] => Ok(resource),
            _ => Err(400),
        }
    }

    fn request(&mut self, request: &Request, body: &[u8], eof: bool) {
        let resource = match self.admit(request) {
            Ok(resource) => resource,
            Err(status) => return self.respond(request, status, Body::Error),
        };
        let (_, query) = request.path_and_query();
        let result = match (&resource, &*request.method) {
            (Resource::Client(id), "PUT") => self.put(id, body),
            (Resource::Client(id), "DELETE") => self.delete(id),
            (Resource::Client(id), _) => self.known(id).map(|line| client(line, "") + "\n").ok_or(404),
            (Resource::Places(id), _) => self.places(id, &query),
            (Resource::Clients, _) => self.list(&query),
            (Resource::Changes, _) => return self.changes(request, &query, eof),
        };
        match result {
            Ok(text) => self.respond(request, 200, Body::Text(text.into_bytes())),
            Err(status) => return self.respond(request, status, Body::Error),
        }
        // A list of unknown length ends with the connection in HTTP/1.0.
        if let Resource::Clients = resource
            && !request.is_http_1_1
        {
            self.end();
        }
    }

    fn known(&self, id: &[u8]) -> Option<&str> {
        let line = self.stored.get(id)?;
        line.starts_with("AT ").then_some(line)
    }

    /// Stores a line if it wins. `None`: there is no room.
    fn report(&mut self, id: &[u8], line: &str) -> Option<bool> {
        let statement = grammar::statement(line.as_bytes()).expect("a statement");
        let received = statement.time + statement.skew;
        let expire = i128::from(self.limits.expire_s) * SECOND;
        if statement.location.is_some() && expire > 0 && received < i128::from(self.clock) - expire {
            return Some(false);
        }
        match self.stored.get(id) {
            Some(known) => {
                let known = grammar::statement(known.as_bytes()).expect("a stored statement");
                if known.rank() <= statement.rank() {
                    return Some(false);
                }
            }
            None if self.stored.len() >= self.limits.max_clients => return None,
            None => {}
        }
        self.sequence += 1;
        self.changes.retain(|_, changed| changed != id);
        self.changes.insert(self.sequence, id.to_vec());
        self.stored.insert(id.to_vec(), line.to_owned());
        Some(true)
    }

    fn put(&mut self, id: &[u8], body: &[u8]) -> Result<String, u16> {
        let received = self.clock;
        self.clock += 1;
        self.is_beyond |= has_exponent(body);
        let value: Value = serde_json::from_slice(body).map_err(|_| 400u16)?;
        let Value::Object(members) = &value else { return Err(400) };
        // Numbers as they were written.
        let text = String::from_utf8_lossy(body).into_owned();
        let number = |name: &str| -> Option<String> {
            members.get(name)?.as_number()?;
            let (_, after) = text.split_once(&format!("\"{name}\":"))?;
            Some(after.chars().take_while(|c| "-0123456789.".contains(*c)).collect())
        };
        let signed = |text: String| if text.starts_with('-') { text } else { format!("+{text}") };
        let has = |name: &str| members.contains_key(name);
        let location = match (has("location"), has("latitude"), has("longitude")) {
            (true, false, false) => members["location"].as_str().ok_or(400u16)?.to_owned(),
            (false, true, true) => {
                let degrees = |name| number(name).map(signed).ok_or(400u16);
                degrees("latitude")? + &degrees("longitude")?
            }
            _ => return Err(400),
        };
        let time = match members.get("time") {
            Some(Value::String(time)) => time.clone(),
            Some(_) => number("time").ok_or(400u16)?,
            None => exact(Time::from_nanoseconds(received)),
        };
        let command = [b"IAMAT ", id, b" ", location.as_bytes(), b" ", time.as_bytes()].concat();
        let grammar::ClientLine::IamAt { id: own, time: time_ns, .. } = grammar::client_line(&command) else {
            return Err(400);
        };
        let ahead_max = i128::from(self.limits.max_future_s) * SECOND;
        let is_too_far = ahead_max > 0 && time_ns > i128::from(received) + ahead_max;
        if own != id || location.contains(' ') || command.len() > self.limits.max_line || is_too_far {
            return Err(400);
        }
        let skew = grammar::skew_text(i128::from(received) - time_ns);
        let id_text = String::from_utf8_lossy(id);
        let line = format!("AT {NAME} {skew} {id_text} {location} {time}");
        let stored = self.report(id, &line).ok_or(503u16)?;
        Ok(client(&line, &format!(",\"stored\":{stored}")) + "\n")
    }

    fn delete(&mut self, id: &[u8]) -> Result<String, u16> {
        let received = i128::from(self.clock);
        self.clock += 1;
        let known = self.known(id).ok_or(404u16)?;
        let replaced = grammar::statement(known.as_bytes()).expect("a stored statement").time;
        let time = received.max(replaced);
        let (skew, time) = (grammar::skew_text(received - time), grammar::exact_time_text(time));
        let text = String::from_utf8_lossy(id).into_owned();
        let line = format!("GONE {NAME} {skew} {text} {time}");
        assert_eq!(self.report(id, &line), Some(true), "a GONE wins");
        Ok(format!("{{\"id\":{},\"line\":{}}}\n", Value::from(text), Value::from(line)))
    }

    fn list(&self, query: &str) -> Result<String, u16> {
        let number = |name: &str, least: u64, most: u64, or: u64| match parameters(query, name)[..] {
            [] => Ok(or),
            [text] if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok().filter(|number| (least..=most).contains(number)).ok_or(400u16)
            }
            _ => Err(400),
        };
        let prefix = match parameters(query, "prefix")[..] {
            [] => Vec::new(),
            [text] => decode(text)?,
            _ => return Err(400),
        };
        if prefix.iter().any(grammar::is_white) {
            return Err(400);
        }
        let (since, limit) = (number("since", 0, u64::MAX, 0)?, number("limit", 1, 10_000, 1000)? as usize);
        let after = if since >= self.sequence { self.sequence } else { since };
        let all: Vec<(u64, &str)> = self
            .changes
            .range(after + 1..)
            .filter(|(_, id)| id.starts_with(&prefix))
            .filter_map(|(&number, id)| Some((number, self.known(id)?)))
            .collect();
        let clients: Vec<String> = all.iter().take(limit).map(|(_, line)| client(line, "")).collect();
        let next = if all.len() > limit { all[limit - 1].0.to_string() } else { "null".to_owned() };
        let (sequence, clients) = (self.sequence, clients.join(","));
        Ok(format!(
            "{{\"epoch\":\"{EPOCH:016x}\",\"sequence\":{sequence},\"clients\":[{clients}],\"next\":{next}}}\n"
        ))
    }

    fn places(&self, id: &[u8], query: &str) -> Result<String, u16> {
        let km = match parameters(query, "km")[..] {
            [km] => km.to_owned(),
            _ => return Err(400),
        };
        let limit = match parameters(query, "limit")[..] {
            [] => "20",
            [limit] => limit,
            _ => return Err(400),
        };
        let command = format!("WHATSAT a {km} {limit}");
        let is_one = |text: &str| !text.is_empty() && !text.bytes().any(|byte| grammar::is_white(&byte));
        let grammar::ClientLine::WhatsAt { bound, .. } = grammar::client_line(command.as_bytes()) else {
            return Err(400);
        };
        if !is_one(&km) || !is_one(limit) {
            return Err(400);
        }
        self.known(id).ok_or(404u16)?;
        let results: Vec<&str> =
            PLACES.trim_matches(|c| "{}\"results:[]".contains(c)).split(',').take(bound).collect();
        Ok(format!("{{\"results\":[{}]}}\n", results.join(",")))
    }

    /// The stream is the last response.
    fn changes(&mut self, request: &Request, query: &str, eof: bool) {
        if ["from", "id", "latitude", "longitude"].iter().any(|name| !parameters(query, name).is_empty())
            || request.field("last-event-id").is_some()
        {
            return self.is_beyond = true;
        }
        let prefix = match parameters(query, "prefix")[..] {
            [] => Ok(Vec::new()),
            [prefix] => decode(prefix),
            _ => Err(400),
        };
        let prefix = match prefix {
            Ok(prefix) if !prefix.iter().any(grammar::is_white) => prefix,
            _ => return self.respond(request, 400, Body::Error),
        };
        let mut events = "retry: 1000\n\n".to_owned();
        for id in self.changes.values().filter(|id| id.starts_with(&prefix)) {
            if let Some(line) = self.known(id) {
                events += &format!("event: at\ndata: {}\n\n", client(line, ""));
            }
        }
        let (epoch, sequence) = (format!("{EPOCH:016x}"), self.sequence);
        let mark = format!(
            "id: {epoch}-{sequence}\nevent: mark\ndata: {{\"epoch\":\"{epoch}\",\"sequence\":{sequence}}}\n\n"
        );
        events += &mark;
        self.respond(request, 200, Body::Events(events.into_bytes()));
        self.end();
        if !eof && request.method != "HEAD" {
            (self.is_streaming, self.closing) = (true, None);
        }
    }

    fn check(&self, harness: &Harness, pieces: Pieces) {
        if self.is_beyond {
            return;
        }
        let written = harness.written();
        let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let mut rest = &written[..];
        for (number, expected) in self.responses.iter().enumerate() {
            while let Some(after) = rest.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n") {
                rest = after;
            }
            let end = rest.windows(4).position(|window| window == b"\r\n\r\n");
            let end =
                end.unwrap_or_else(|| panic!("{pieces:?} response {number} in {}", shown(&written))) + 4;
            let head = String::from_utf8(rest[..end].to_vec()).expect("a head");
            rest = &rest[end..];
            assert_eq!(
                head.split(' ').nth(1),
                Some(&*expected.status.to_string()),
                "{pieces:?} {number} {head}"
            );
            for field in ["X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer", "Date: "] {
                assert!(head.contains(&format!("\r\n{field}")), "{pieces:?} {number} {head}");
            }
            let connection = if expected.closes { "close" } else { "keep-alive" };
            assert!(
                head.contains(&format!("\r\nConnection: {connection}\r\n")),
                "{pieces:?} {number} {head}"
            );
            if expected.is_head {
                continue;
            }
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let body = if let Some(length) = length {
                let (body, after) = rest.split_at(length.parse().expect("a length"));
                rest = after;
                body.to_vec()
            } else if head.contains("\r\nTransfer-Encoding: chunked\r\n") {
                let (body, used) = match chunks(rest) {
                    Read::Whole(read) => read,
                    _ => panic!("{pieces:?} {number} {}", shown(rest)),
                };
                rest = &rest[used..];
                body
            } else {
                std::mem::take(&mut rest).to_vec()
            };
            match &expected.body {
                Body::Text(text) => assert_eq!(shown(&body), shown(text), "{pieces:?} {number}"),
                Body::Error => {
                    let value: Value = serde_json::from_slice(&body).expect("an error is JSON");
                    assert!(value["error"].as_str().is_some_and(|error| error.len() > 3), "{value}");
                }
                // A slow reader gets a mark after each batch; the last one may stand there twice.
                Body::Events(events) => {
                    let ends = body.starts_with(events) && is_marks(&body[events.len()..], events);
                    assert!(ends, "{pieces:?} {number}\n{}\n{}", shown(&body), shown(events));
                }
            }
        }
        while let Some(after) = rest.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n") {
            rest = after;
        }
        assert!(rest.is_empty(), "{pieces:?} {}", shown(rest));
        assert_eq!(harness.closing(), self.closing, "{pieces:?}");
        let store = &harness.server.store;
        assert_eq!(store.records(), self.stored.len(), "{pieces:?}");
        for (id, line) in &self.stored {
            let newest = store.newest(id).map(|line| shown(&line[..line.len() - 1]));
            assert_eq!(newest, Some(shown(line.as_bytes())), "{pieces:?}");
        }
        assert!(self.is_streaming || store.cursors() == 0, "{pieces:?} {} cursors", store.cursors());
    }
}

/// Whether these are repetitions of the mark at the end of `events`.
fn is_marks(rest: &[u8], events: &[u8]) -> bool {
    let text = String::from_utf8_lossy(events);
    let mark = &text[text.rfind("id: ").unwrap_or(text.len())..];
    String::from_utf8_lossy(rest).replace(mark, "").is_empty()
}

/// Whether a request may be one of a phone.
fn is_of_a_phone(method: &str, path: &str, query: &str) -> bool {
    let path = match path.strip_prefix("/t/") {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => path,
    };
    let apps = ["/owntracks", "/pub", "/osmand", "/traccar", "/gpslogger", "/overland"];
    apps.iter().any(|app| path.starts_with(app)) || path == "/" && (method == "POST" || !query.is_empty())
}

enum Resource {
    Client(Vec<u8>),
    Places(Vec<u8>),
    Clients,
    Changes,
}

impl Resource {
    fn of(path: &str) -> Result<Resource, u16> {
        let segments: Vec<&str> = path.split('/').collect();
        let id = |segment: &str| {
            let id = decode(segment)?;
            if id.is_empty() || id.iter().any(grammar::is_white) { Err(400) } else { Ok(id) }
        };
        match segments[..] {
            ["", "v1", "clients"] => Ok(Resource::Clients),
            ["", "v1", "changes"] => Ok(Resource::Changes),
            ["", "v1", "clients", segment] if !segment.is_empty() => id(segment).map(Resource::Client),
            ["", "v1", "clients", segment, "places"] if !segment.is_empty() => {
                id(segment).map(Resource::Places)
            }
            _ => Err(404),
        }
    }
}

impl Request {
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |field| field.0 == name).map(|field| &field.1[..])
    }

    fn field(&self, name: &str) -> Option<Vec<u8>> {
        self.values(name).next().map(<[u8]>::to_vec)
    }

    fn is_beyond_the_model(&self) -> bool {
        let (path, query) = self.path_and_query();
        let geojson = b"geo+json";
        let has_geojson =
            |value: &[u8]| value.to_ascii_lowercase().windows(geojson.len()).any(|part| part == geojson);
        path.ends_with("/near")
            || is_of_a_phone(&self.method, &path, &query)
            || query.contains("geojson")
            || self.values("accept").any(has_geojson)
            || decode(&path).is_ok_and(|path| String::from_utf8(path).is_err())
    }

    fn members(&self, name: &str) -> Vec<Vec<u8>> {
        let trimmed = |part: &[u8]| part.trim_ascii().to_vec();
        self.values(name).flat_map(|value| value.split(|&byte| byte == b',').map(trimmed)).collect()
    }

    fn keeps_alive(&self) -> bool {
        let has =
            |option: &[u8]| self.members("connection").iter().any(|own| own.eq_ignore_ascii_case(option));
        !has(b"close") && (self.is_http_1_1 || has(b"keep-alive"))
    }

    /// What follows the scheme of a target that is a whole URL.
    fn after_scheme(&self) -> Option<&str> {
        let lower = self.target.to_ascii_lowercase();
        ["http://", "https://"]
            .iter()
            .find(|scheme| lower.starts_with(**scheme))
            .map(|scheme| &self.target[scheme.len()..])
    }

    fn authority(&self) -> Option<String> {
        self.after_scheme().map(|rest| rest.split(['/', '?']).next().unwrap_or_default().to_owned())
    }

    fn path_and_query(&self) -> (String, String) {
        let target = match (self.after_scheme(), self.authority()) {
            (Some(rest), Some(authority)) => &rest[authority.len()..],
            _ => &self.target,
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        (path.to_owned(), query.to_owned())
    }
}

/// The head at the front of the input.
fn head(input: &[u8]) -> Read<Request> {
    let window = &input[..input.len().min(HEAD_MAX)];
    let nothing = || if window.len() == HEAD_MAX { Read::Refused(431) } else { Read::Incomplete };
    let mut start = 0;
    while window[start..].starts_with(b"\r\n") {
        start += 2;
    }
    let text = &window[start..];
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let method: Vec<u8> = text.iter().copied().take_while(is_token).collect();
    match &text[method.len()..] {
        [] => return nothing(),
        [b'\r'] if method.is_empty() => return nothing(),
        [b' ', ..] if !method.is_empty() => {}
        _ => return Read::Refused(400),
    }
    let Some(line_end) = text.iter().position(|&byte| byte == b'\n') else { return nothing() };
    let first = String::from_utf8_lossy(&text[..line_end]).into_owned();
    let Some(first) = first.strip_suffix('\r') else { return Read::Refused(400) };
    let version = first.rsplit(' ').next().unwrap_or_default();
    if !["HTTP/1.0", "HTTP/1.1"].contains(&version) {
        let number = version.strip_prefix("HTTP/").unwrap_or_default();
        let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.');
        return Read::Refused(if is_number { 505 } else { 400 });
    }
    // The first empty line, however it ends.
    let is_end = |at: usize| {
        text[at] == b'\n' && (text[at + 1..].starts_with(b"\n") || text[at + 1..].starts_with(b"\r\n"))
    };
    let Some(end) = (0..text.len()).find(|&at| is_end(at)) else { return nothing() };
    if !text[end + 1..].starts_with(b"\r\n") {
        return Read::Refused(400);
    }
    let mut lines =
        text[..=end].split_inclusive(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r\n"));
    if lines.clone().any(|line| line.is_none_or(|line| line.contains(&b'\r') || line.contains(&b'\n'))) {
        return Read::Refused(400);
    }
    let Some(Ok(line)) = lines.next().flatten().map(|line| String::from_utf8(line.to_vec())) else {
        return Read::Refused(400);
    };
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, _] = words[..] else { return Read::Refused(400) };
    let lower = target.to_ascii_lowercase();
    let is_target = target.starts_with('/')
        || target == "*"
        || lower.starts_with("http://")
        || lower.starts_with("https://");
    if !is_target || target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Read::Refused(400);
    }
    let mut fields = Vec::new();
    for line in lines.flatten() {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return Read::Refused(400) };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let is_value = |&byte: &u8| byte == b'\t' || byte >= b' ' && byte != 0x7f;
        if name.is_empty() || !name.iter().all(is_token) || !value.iter().all(is_value) {
            return Read::Refused(400);
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        fields.push((name, value.trim_ascii().to_vec()));
    }
    if fields.len() > 100 {
        return Read::Refused(431);
    }
    let is_http_1_1 = version == "HTTP/1.1";
    let all = |name: &str| -> Vec<&Vec<u8>> {
        fields.iter().filter(|field: &&(String, Vec<u8>)| field.0 == name).map(|field| &field.1).collect()
    };
    let (hosts, lengths, codings) = (all("host"), all("content-length"), all("transfer-encoding"));
    let length = match (&lengths[..], &codings[..]) {
        ([], []) => Some(0),
        ([length], []) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
            Some(String::from_utf8_lossy(length).parse().unwrap_or(u64::MAX))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && is_http_1_1 => None,
        _ => return Read::Refused(400),
    };
    if hosts.len() > 1 || hosts.is_empty() && is_http_1_1 {
        return Read::Refused(400);
    }
    Read::Whole(Request {
        method: method.to_owned(),
        target: target.to_owned(),
        is_http_1_1,
        fields,
        length,
        head_length: start + end + 3,
    })
}

/// The body of a request, and its length in the input.
fn body(request: &Request, input: &[u8]) -> Read<(Vec<u8>, usize)> {
    let Some(length) = request.length else { return chunks(input) };
    match input.get(..length as usize) {
        Some(body) => Read::Whole((body.to_vec(), length as usize)),
        None => Read::Incomplete,
    }
}

/// A chunked body, and its length in the input.
fn chunks(input: &[u8]) -> Read<(Vec<u8>, usize)> {
    let (mut body, mut used) = (Vec::new(), 0);
    // The line at this place without CR LF, and where the next one begins.
    let line = |used: usize, bound: usize| -> Read<(&[u8], usize)> {
        let window = &input[used..input.len().min(used + bound)];
        match window.iter().position(|&byte| byte == b'\n') {
            Some(at) => match window[..at].strip_suffix(b"\r") {
                Some(line) if !line.contains(&b'\r') => Read::Whole((line, used + at + 1)),
                _ => Read::Refused(400),
            },
            None if window.len() == bound => Read::Refused(400),
            None => Read::Incomplete,
        }
    };
    loop {
        let (size, next) = match line(used, CHUNK_LINE_MAX) {
            Read::Whole(line) => line,
            Read::Refused(status) => return Read::Refused(status),
            Read::Incomplete => return Read::Incomplete,
        };
        let digits = size.split(|&byte| byte == b';').next().unwrap_or_default();
        let digits = String::from_utf8_lossy(digits).trim_end_matches([' ', '\t']).to_owned();
        if digits.is_empty() || digits.len() > 16 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Read::Refused(400);
        }
        let size = u64::from_str_radix(&digits, 16).expect("sixteen digits");
        used = next;
        if size == 0 {
            break;
        }
        if size.saturating_add(body.len() as u64) > BODY_MAX {
            return Read::Refused(413);
        }
        let size = size as usize;
        let Some(data) = input.get(used..used + size) else { return Read::Incomplete };
        body.extend_from_slice(data);
        used += size;
        match &input[used..] {
            [b'\r', b'\n', ..] => used += 2,
            [] | [b'\r'] => return Read::Incomplete,
            _ => return Read::Refused(400),
        }
    }
    let start = used;
    loop {
        match line(used, HEAD_MAX - (used - start)) {
            Read::Whole((line, next)) => {
                used = next;
                if line.is_empty() {
                    return Read::Whole((body, used));
                }
            }
            Read::Refused(status) => return Read::Refused(status),
            Read::Incomplete => return Read::Incomplete,
        }
    }
}

/// The JSON of a client, with other members at its end.
fn client(line: &str, more: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let [_, server, skew, id, location, time] = words[..] else { panic!("no AT line: {line}") };
    let middle = location.rfind(['+', '-']).expect("a longitude");
    let number = |text: &str| {
        let (sign, digits) = text.split_at(1);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole: u32 = whole.parse().expect("degrees");
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{}{whole}{point}{fraction}", sign.trim_matches('+'))
    };
    let text = |text: &str| Value::from(text).to_string().replace('\u{7f}', "\\u007f");
    format!(
        "{{\"id\":{},\"latitude\":{},\"longitude\":{},\"time\":{},\"server\":{},\"skew\":{},\"line\":{}{more}}}",
        text(id),
        number(&location[..middle]),
        number(&location[middle..]),
        text(time),
        text(server),
        text(skew),
        text(line)
    )
}

/// Whether a body may have a number with an exponent, or a name that is written with escapes.
fn has_exponent(body: &[u8]) -> bool {
    body.windows(2).any(|pair| pair[0].is_ascii_digit() && pair[1].eq_ignore_ascii_case(&b'e'))
        || body.contains(&b'\\')
}

fn exact(time: Time) -> String {
    grammar::exact_time_text(time.nanoseconds())
}

fn parameters<'a>(query: &'a str, name: &str) -> Vec<&'a str> {
    let values = query.split('&').filter_map(|pair| {
        let (own, value) = pair.split_once('=').unwrap_or((pair, ""));
        (own == name).then_some(value)
    });
    values.collect()
}

fn decode(text: &str) -> Result<Vec<u8>, u16> {
    let (mut bytes, mut decoded) = (text.bytes(), Vec::new());
    while let Some(byte) = bytes.next() {
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(400u16);
        decoded.push(if byte == b'%' { (digit()? << 4 | digit()?) as u8 } else { byte });
    }
    Ok(decoded)
}

/// Whether an authority is a name or an address of this machine.
fn is_this_machine(authority: &str) -> bool {
    let lower = authority.to_ascii_lowercase();
    let host = match lower.rsplit_once(':') {
        Some((host, port))
            if !port.is_empty()
                && port.bytes().all(|byte| byte.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => &lower,
    };
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return matches!(address.parse::<std::net::Ipv6Addr>(), Ok(ip) if std::net::IpAddr::from(ip).to_canonical().is_loopback());
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.octets()[0] == 127)
}

const SECOND: i128 = 1_000_000_000;
/// Bounds of docs/protocol.md, section 6.
const HEAD_MAX: usize = 16 * 1024;
const BODY_MAX: u64 = 1024 * 1024;
const CHUNK_LINE_MAX: usize = 1024;
