//! The conversation as Places: the responses of the local Places server.

use std::rc::Rc;
use std::time::Duration;

use crate::http::Framing;
use crate::http::server::{
    RequestError, RequestHead, read_bodiless_request, read_request_head, write_response_head,
};
use crate::places::dialect::google_legacy::PATH;
use crate::places::gazetteer::Gazetteer;
use crate::protocol::{Context, Lost, Protocol};

/// A connection to the local Places server.
#[derive(Clone)]
pub struct PlacesServer {
    gazetteer: Rc<Gazetteer>,
    /// The last response was written; further input is discarded.
    over: bool,
}

impl PlacesServer {
    /// A connection that is answered from this gazetteer.
    pub fn new(gazetteer: Rc<Gazetteer>) -> PlacesServer {
        PlacesServer { gazetteer, over: false }
    }

    fn respond(&mut self, context: &mut Context<'_, ()>, request: &RequestHead<'_>) {
        let (path, query) = path_and_query(request.target);
        let (status, reason, body) = if path != PATH {
            (404, "Not Found", format!("There is nothing here. Ask {PATH}?location=LAT,LNG&radius=METRES\n"))
        } else if !METHODS.contains(&request.method) {
            (METHOD_NOT_ALLOWED.0, METHOD_NOT_ALLOWED.1, ASK_WITH_GET.to_owned())
        } else {
            (200, "OK", self.gazetteer.answer(query))
        };
        let output = context.transport.output();
        write(output, (status, reason), &body, request.method, request.keep_alive);
        if request.keep_alive {
            context.transport.set_deadline(context.now + IDLE_MAX);
        } else {
            self.end(context);
        }
    }

    fn end(&mut self, context: &mut Context<'_, ()>) {
        self.over = true;
        context.transport.close();
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
            match read_bodiless_request(&data[used..]) {
                Ok(Some((request, length))) => {
                    used += length;
                    self.respond(context, &request);
                }
                Ok(None) => return used,
                Err(error) => {
                    let has_body = matches!(error, RequestError::HasBody | RequestError::HasChunkedBody);
                    let head = read_request_head(&data[used..]).ok().flatten();
                    let method = head.map_or("", |(request, _)| request.method);
                    let (status, body) = if has_body && !METHODS.contains(&method) {
                        (METHOD_NOT_ALLOWED, ASK_WITH_GET.to_owned())
                    } else {
                        (error.status(), format!("{error}\n"))
                    };
                    write(context.transport.output(), status, &body, method, false);
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

/// Appends the response to a request with this method.
fn write(output: &mut Vec<u8>, status: (u16, &'static str), body: &str, method: &str, keep_alive: bool) {
    let mut fields = vec![("Content-Type", if status.0 == 200 { JSON } else { TEXT })];
    if status == METHOD_NOT_ALLOWED {
        // RFC 9110, section 15.5.6.
        fields.push(("Allow", "GET, HEAD"));
    }
    let framing = Framing::Length(body.len() as u64);
    write_response_head(output, status.0, status.1, &fields, framing, keep_alive);
    // A response to HEAD has the length of the body that it leaves out (RFC 9110, section 9.3.2).
    if method != "HEAD" {
        output.extend_from_slice(body.as_bytes());
    }
}

/// The path and the query of a request target: origin-form, or absolute-form (RFC 9112, section 3.2.2), whose
/// authority is not compared.
fn path_and_query(target: &str) -> (&str, &str) {
    let scheme = ["http://", "https://"]
        .iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let target = match scheme {
        Some(scheme) => {
            let rest = &target[scheme.len()..];
            &rest[rest.find(['/', '?']).unwrap_or(rest.len())..]
        }
        None => target,
    };
    target.split_once('?').unwrap_or((target, ""))
}

const METHOD_NOT_ALLOWED: (u16, &str) = (405, "Method Not Allowed");
const ASK_WITH_GET: &str = "Ask with GET.\n";
const METHODS: [&str; 2] = ["GET", "HEAD"];
const JSON: &str = "application/json; charset=UTF-8";
const TEXT: &str = "text/plain; charset=UTF-8";
/// How long a connection may have no request: longer than a server of a herd keeps an idle one.
const IDLE_MAX: Duration = Duration::from_secs(75);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::protocol::{Close, ConnectionId, Transport, WaterMarks};

    /// The output for this input, and how the connection ends.
    fn answer(input: &str) -> (String, Option<Close>) {
        let mut server = PlacesServer::new(GAZETTEER.with(Rc::clone));
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
        static GAZETTEER: Rc<Gazetteer> = Rc::new(Gazetteer::embedded().expect("the places are valid"));
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
    fn the_absolute_form_of_a_target_is_the_same_resource() {
        let expected = ask("GET", TARGET, "");
        for origin in ["https://localhost:21491", "HTTP://x"] {
            assert_eq!(ask("GET", &format!("{origin}{TARGET}"), ""), expected);
        }
        for (target, parts) in [
            ("http://x", ("", "")),
            ("http://x?a", ("", "a")),
            ("https://x/b?a?c", ("/b", "a?c")),
            ("*", ("*", "")),
            ("http:/é/", ("http:/é/", "")),
        ] {
            assert_eq!(path_and_query(target), parts, "{target}");
        }
    }
}
