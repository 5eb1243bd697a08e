//! The conversation as Places: the responses of the local Places server, in each dialect by its path.

use std::rc::Rc;
use std::time::Duration;

use crate::http::Framing;
use crate::http::server::{RequestError, RequestHead, read_request_head, write_response_head};
use crate::places::dialect::{google, google_legacy, photon};
use crate::places::gazetteer::LocalPlaces;
use crate::protocol::{Context, Lost, Protocol};

/// A connection to the local Places server.
#[derive(Clone)]
pub struct PlacesServer {
    places: Rc<LocalPlaces>,
    /// The last response was written; further input is discarded.
    over: bool,
}

/// The status, its reason phrase and the body of a response.
type Reply = ((u16, &'static str), String);

impl PlacesServer {
    /// A connection that is answered from these places.
    pub fn new(places: Rc<LocalPlaces>) -> PlacesServer {
        PlacesServer { places, over: false }
    }

    /// The response to a request with this body.
    fn reply(&self, request: &RequestHead<'_>, body: &[u8]) -> Reply {
        let (path, query) = request.path_and_query();
        let allowed = methods(path);
        if allowed.is_empty() {
            return (NOT_FOUND, "There is nothing here. See herd places --help\n".to_owned());
        }
        if !allowed.contains(&request.method) {
            return (METHOD_NOT_ALLOWED, format!("Ask with {}.\n", allowed[0]));
        }
        let (status, text) = match path {
            google::PATH => {
                let has_mask = request.fields.get(google::MASK_FIELD).is_some_and(|mask| !mask.is_empty());
                self.places.google(has_mask, body)
            }
            photon::PATH => self.places.photon(query),
            _ => (200, self.places.google_legacy(query)),
        };
        (if status == 200 { OK } else { BAD_REQUEST }, text)
    }

    fn respond(&mut self, context: &mut Context<'_, ()>, request: &RequestHead<'_>, body: &[u8]) {
        let (status, text) = self.reply(request, body);
        let output = context.transport.output();
        write(output, status, &text, request, request.keep_alive);
        if request.keep_alive {
            context.transport.set_deadline(context.now + IDLE_MAX);
        } else {
            self.end(context);
        }
    }

    fn refuse(&mut self, context: &mut Context<'_, ()>, status: (u16, &'static str), text: &str) {
        let fields = [("Content-Type", TEXT)];
        let framing = Framing::Length(text.len() as u64);
        write_response_head(context.transport.output(), status.0, status.1, fields, framing, false);
        context.transport.write(text.as_bytes());
        self.end(context);
    }

    fn end(&mut self, context: &mut Context<'_, ()>) {
        self.over = true;
        context.transport.close();
    }
}

/// The methods that a resource has, the usual one first; empty: there is no such resource.
fn methods(path: &str) -> &'static [&'static str] {
    match path {
        google::PATH => &["POST"],
        google_legacy::PATH | photon::PATH => &["GET", "HEAD"],
        _ => &[],
    }
}

/// The length of the body of a request, or why it is refused.
fn body_length(request: &RequestHead<'_>) -> Result<usize, Reply> {
    let path = request.path_and_query().0;
    let refused = |error: RequestError| Err((error.status(), format!("{error}\n")));
    match request.framing {
        Framing::Length(0) => Ok(0),
        // The body of a refused request is not read.
        _ if !methods(path).is_empty() && !methods(path).contains(&request.method) => {
            Err((METHOD_NOT_ALLOWED, format!("Ask with {}.\n", methods(path)[0])))
        }
        Framing::Chunked => refused(RequestError::HasChunkedBody),
        Framing::Length(length) if path == google::PATH && length <= BODY_MAX => Ok(length as usize),
        Framing::Length(_) if path == google::PATH => {
            Err((TOO_LARGE, format!("The body is larger than {BODY_MAX} bytes.\n")))
        }
        Framing::Length(_) | Framing::UntilClose => refused(RequestError::HasBody),
    }
}

impl Protocol for PlacesServer {
    type Shared = ();

    fn connection_made(&mut self, context: &mut Context<'_, ()>) {
        context.transport.set_deadline(context.now + IDLE_MAX);
    }

    fn data_received(&mut self, context: &mut Context<'_, ()>, data: &[u8]) -> usize {
        let mut used = 0;
        while used < data.len() {
            if self.over {
                return data.len();
            }
            if !context.transport.has_room() {
                context.transport.pause_reading();
                return used;
            }
            let (request, head_length) = match read_request_head(&data[used..]) {
                Ok(Some(request)) => request,
                Ok(None) => return used,
                Err(error) => {
                    self.refuse(context, error.status(), &format!("{error}\n"));
                    continue;
                }
            };
            match body_length(&request) {
                Ok(length) => {
                    let start = used + head_length;
                    let Some(body) = data.get(start..start + length) else { return used };
                    self.respond(context, &request, body);
                    used = start + length;
                }
                Err((status, text)) => {
                    write(context.transport.output(), status, &text, &request, false);
                    self.end(context);
                }
            }
        }
        used
    }

    fn eof_received(&mut self, context: &mut Context<'_, ()>, _rest: &[u8]) {
        self.end(context);
    }

    fn resume_writing(&mut self, context: &mut Context<'_, ()>) {
        context.transport.resume_reading();
    }

    fn timed_out(&mut self, context: &mut Context<'_, ()>) {
        self.end(context);
    }

    fn shut_down(&mut self, context: &mut Context<'_, ()>) {
        self.end(context);
    }

    fn connection_lost(&mut self, _context: &mut Context<'_, ()>, _why: Lost) {}
}

/// Appends the response to a request.
fn write(
    output: &mut Vec<u8>,
    status: (u16, &'static str),
    body: &str,
    request: &RequestHead<'_>,
    keep_alive: bool,
) {
    let is_json = status == OK || status == BAD_REQUEST && body.starts_with('{');
    let mut fields = vec![("Content-Type", if is_json { JSON } else { TEXT })];
    let allowed = methods(request.path_and_query().0).join(", ");
    if status == METHOD_NOT_ALLOWED {
        // RFC 9110, section 15.5.6.
        fields.push(("Allow", &allowed));
    }
    let framing = Framing::Length(body.len() as u64);
    write_response_head(output, status.0, status.1, fields.iter().copied(), framing, keep_alive);
    // A response to HEAD has the length of the body that it leaves out (RFC 9110, section 9.3.2).
    if request.method != "HEAD" {
        output.extend_from_slice(body.as_bytes());
    }
}

const OK: (u16, &str) = (200, "OK");
const BAD_REQUEST: (u16, &str) = (400, "Bad Request");
const NOT_FOUND: (u16, &str) = (404, "Not Found");
const METHOD_NOT_ALLOWED: (u16, &str) = (405, "Method Not Allowed");
const TOO_LARGE: (u16, &str) = (413, "Content Too Large");
/// Bytes of the body of a question: many times what one has.
const BODY_MAX: u64 = 16 * 1024;
const JSON: &str = "application/json; charset=UTF-8";
const TEXT: &str = "text/plain; charset=UTF-8";
/// How long a connection may have no request: longer than a server of a herd keeps an idle one.
const IDLE_MAX: Duration = Duration::from_secs(75);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::places::gazetteer::Gazetteer;
    use crate::protocol::{Close, ConnectionId, Transport, WaterMarks};

    /// The output for this input, and how the connection ends.
    fn answer(input: &str) -> (String, Option<Close>) {
        let mut server = PlacesServer::new(PLACES.with(Rc::clone));
        let mut transport = Transport::new(WaterMarks::default());
        let id = ConnectionId { slot: 1, generation: 1 };
        let address = ([127, 0, 0, 1], 40_000).into();
        let transport_in = &mut transport;
        let (now, wall) = (Moment::START, 0);
        let context =
            &mut Context { id, address, tls: None, now, wall, transport: transport_in, shared: &mut () };
        assert_eq!(server.data_received(context, input.as_bytes()), input.len());
        (String::from_utf8(transport.unsent().to_vec()).unwrap(), transport.close_requested())
    }

    fn ask(method: &str, target: &str, fields: &str) -> String {
        answer(&format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")).0
    }

    thread_local! {
        static PLACES: Rc<LocalPlaces> =
            Rc::new(LocalPlaces::Embedded(Gazetteer::embedded().expect("the places are valid")));
    }

    const TARGET: &str = "/maps/api/place/nearbysearch/json?location=34.07,-118.45&radius=100000";

    #[test]
    fn head_has_the_length_of_the_body_that_it_leaves_out() {
        let get = ask("GET", TARGET, "");
        let (head, body) = get.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && body.contains("\"OK\""), "{get}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert_eq!(ask("HEAD", TARGET, ""), format!("{head}\r\n\r\n"));
        let (two, _) = answer(&format!("HEAD {TARGET} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").repeat(2));
        assert_eq!(two.matches("HTTP/1.1 200 OK").count(), 2, "{two}");
        assert_eq!(ask("HEAD", "/", "").split_once("\r\n\r\n").unwrap().1, "");
    }

    #[test]
    fn other_methods_are_answered_with_the_allowed_ones() {
        for fields in ["", "Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n"] {
            for method in ["PUT", "POST", "get", "OPTIONS"] {
                let reply = ask(method, TARGET, fields);
                assert!(reply.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{reply}");
                assert!(reply.contains("\r\nAllow: GET, HEAD\r\n"), "{reply}");
            }
        }
        assert!(ask("GET", TARGET, "Content-Length: 2\r\n").starts_with("HTTP/1.1 400 "));
        assert!(ask("GET", "/", "").starts_with("HTTP/1.1 404 "));
    }

    #[test]
    fn each_dialect_has_its_path() {
        let body = r#"{"locationRestriction":{"circle":{"center":{"latitude":34.07,"longitude":-118.45},"radius":9e3}}}"#;
        let fields = format!("X-Goog-FieldMask: places.id\r\nContent-Length: {}\r\n", body.len());
        let post = |fields: &str, body: &str| {
            answer(&format!("POST /v1/places:searchNearby HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}"))
                .0
        };
        let found = post(&fields, body);
        assert!(found.starts_with("HTTP/1.1 200 OK\r\n") && found.contains("\"displayName\""), "{found}");
        let two = answer(
            &format!("POST /v1/places:searchNearby HTTP/1.1\r\nHost: x\r\n{fields}\r\n{body}").repeat(2),
        )
        .0;
        assert_eq!(two.matches("HTTP/1.1 200 OK").count(), 2, "{two}");
        for (fields, body, status) in [
            ("Content-Length: 2\r\n", "{}", "400 "),
            ("X-Goog-FieldMask: *\r\nContent-Length: 2\r\n", "{}", "400 "),
            ("X-Goog-FieldMask: *\r\n", "", "400 "),
            ("Content-Length: 16385\r\n", "", "413 "),
            ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", "411 "),
        ] {
            let reply = post(fields, body);
            assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{reply}");
        }
        assert!(ask("GET", "/v1/places:searchNearby", "").contains("\r\nAllow: POST\r\n"));
        let photon = ask("GET", "/reverse?lat=34.07&lon=-118.45&radius=9&limit=20", "");
        assert!(
            photon.contains("\"FeatureCollection\"") && photon.contains("\r\nContent-Type: application/json")
        );
        assert!(ask("GET", "/reverse", "").starts_with("HTTP/1.1 400 "));
        // A body that arrives in pieces.
        let whole = format!("POST /v1/places:searchNearby HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}");
        let mut server = PlacesServer::new(PLACES.with(Rc::clone));
        let mut transport = Transport::new(WaterMarks::default());
        for end in 1..=whole.len() {
            let (id, address) = (ConnectionId { slot: 1, generation: 1 }, ([127, 0, 0, 1], 40_000).into());
            let (now, wall, transport) = (Moment::START, 0, &mut transport);
            let context = &mut Context { id, address, tls: None, now, wall, transport, shared: &mut () };
            let used = server.data_received(context, &whole.as_bytes()[..end]);
            assert_eq!(used, if end == whole.len() { end } else { 0 });
        }
        assert_eq!(String::from_utf8(transport.unsent().to_vec()).unwrap(), found);
    }

    #[test]
    fn the_absolute_form_of_a_target_is_the_same_resource() {
        let expected = ask("GET", TARGET, "");
        for origin in ["https://localhost:21491", "HTTP://x"] {
            assert_eq!(ask("GET", &format!("{origin}{TARGET}"), ""), expected);
        }
    }
}
