//! The conversation as Places: the responses of the local Places server.

use std::rc::Rc;
use std::time::Duration;

use crate::http::server::{RequestHead, read_bodiless_request, write_response};
use crate::places::gazetteer::Gazetteer;
use crate::places::google_legacy::PATH;
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
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        let (status, reason, body) = if path != PATH {
            (404, "Not Found", format!("There is nothing here. Ask {PATH}?location=LAT,LNG&radius=METRES\n"))
        } else if request.method != "GET" {
            (405, "Method Not Allowed", "Ask with GET.\n".to_owned())
        } else {
            (200, "OK", self.gazetteer.answer(query))
        };
        let content_type = if status == 200 { JSON } else { TEXT };
        // A response to HEAD has no body (RFC 9110, section 9.3.2).
        let body = if request.method == "HEAD" { "" } else { &body };
        let output = context.transport.output();
        write_response(output, status, reason, content_type, body.as_bytes(), request.keep_alive);
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
                    let (status, reason) = error.status();
                    let body = format!("{error}\n");
                    let output = context.transport.output();
                    write_response(output, status, reason, TEXT, body.as_bytes(), false);
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

const JSON: &str = "application/json; charset=UTF-8";
const TEXT: &str = "text/plain; charset=UTF-8";
/// How long a connection may have no request: longer than a server of a herd keeps an idle one.
const IDLE_MAX: Duration = Duration::from_secs(75);
