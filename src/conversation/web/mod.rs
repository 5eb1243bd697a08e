//! The conversation with a program, a browser or a monitor over HTTP (docs/protocol.md, section 8).
//!
//! The requests of a connection are carried out one after the other. One whose response waits, for the disk, for
//! Places, for a search or for room, holds back those after it: they stay in the input, which is not read further.
//! A response leaves whole, except a list and a stream of events, which are written in portions while there is room.

mod access;
mod changes;
mod client;
mod list;
mod log;
mod operators;
mod page;
mod phones;
mod places;
mod query;
mod receiving;
mod representation;
mod response;
mod routes;
mod searches;
mod shared;
mod statement;

use std::time::Duration;

use self::changes::Stream;
use self::list::List;
use self::phones::Batch;
pub use self::phones::PhoneCounts;
use self::representation::Format;
use self::response::{Exchange, Response};
pub use self::shared::WebShared;
use super::unread::Held;
use super::{Context, Conversation, Handle, Server, Waiter};
use crate::clock::Moment;
use crate::http::server::{IncomingBody, RequestHead};
use crate::protocol::{Lost, Protocol};

/// A connection to the HTTP port.
#[derive(Debug)]
pub struct Web {
    state: State,
    /// The request whose head was read and whose body was not.
    incoming: Option<IncomingBody>,
    /// When the request began that was not received whole; [`Moment::NEVER`]: there is none.
    since: Moment,
    /// The requests after the one that is carried out have begun to arrive.
    has_more: bool,
    tickets: u32,
    held: Held,
}

#[derive(Debug)]
enum State {
    /// The next request can be carried out.
    Reading,
    /// The response to a request is pending.
    Waiting(Exchange, Pending),
    /// The response is a list, written in portions.
    Listing(Exchange, Box<List>),
    /// The points of a phone are stored in portions; the response follows.
    Reporting(Exchange, Box<Batch>),
    /// The response is a stream of events.
    Streaming(Box<Stream>),
    /// Further input is ignored. The connection closes when its output is sent.
    Finished,
}

/// A response that is pending.
#[derive(Debug)]
enum Pending {
    /// It waits until the disk has this change.
    Disk { sequence: u64, response: Response },
    /// It waits for an answer of Places, of which it gets so many results at most.
    Places { ticket: u32, bound: usize },
    /// It waits for a search.
    Search { ticket: u32, format: Format },
}

/// What has become of a request.
#[derive(Debug)]
enum Outcome {
    Response(Response),
    Waits(Pending),
    Lists(Box<List>),
    Reports(Box<Batch>),
    Streams(Box<Stream>),
}

impl Web {
    /// A connection that was accepted.
    pub fn new() -> Web {
        Web {
            state: State::Reading,
            incoming: None,
            since: Moment::NEVER,
            has_more: false,
            tickets: 0,
            held: Held::default(),
        }
    }

    /// Carries out the requests at the front of `data`. Returns how many bytes they have.
    fn requests_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let mut used = 0;
        while used < data.len() {
            match self.state {
                State::Finished | State::Streaming(_) => return data.len(),
                State::Reading if context.transport.has_room() => {}
                State::Reading | State::Waiting(..) | State::Listing(..) | State::Reporting(..) => {
                    context.transport.pause_reading();
                    break;
                }
            }
            let rest = &data[used..];
            let step = match self.incoming {
                Some(_) => self.body_received(context, rest),
                None => self.head_received(context, rest),
            };
            if step == 0 {
                break;
            }
            used += step;
        }
        used
    }

    /// Carries out a request.
    fn request_received(&mut self, context: &mut Context<'_>, head: &RequestHead<'_>, body: &[u8]) {
        log::received(context, head, body);
        self.since = Moment::NEVER;
        let exchange = Exchange::of(head);
        let outcome = match routes::admit(context.shared, head) {
            Ok(request) => request.carry_out(self, context, head, body),
            Err(refusal) => Outcome::Response(refusal),
        };
        match outcome {
            Outcome::Response(response) => self.respond(context, exchange, &response),
            Outcome::Waits(pending) => self.state = State::Waiting(exchange, pending),
            Outcome::Lists(list) => self.begin_list(context, exchange, list),
            Outcome::Reports(batch) => self.begin_batch(context, exchange, batch),
            Outcome::Streams(stream) => self.begin_stream(context, exchange, stream),
        }
        context.shared.web.end_request();
    }

    /// Writes a response. The next request can be carried out after it, unless it was the last one.
    fn respond(&mut self, context: &mut Context<'_>, exchange: Exchange, response: &Response) {
        let keep_alive = exchange.keep_alive && (self.has_more || !context.shared.is_ending);
        response.write(context, exchange, keep_alive);
        self.held.note_output(context.transport, &mut context.shared.unread_answer_bytes);
        self.end_exchange(context, keep_alive);
    }

    fn end_exchange(&mut self, context: &mut Context<'_>, keep_alive: bool) {
        if keep_alive {
            self.state = State::Reading;
        } else {
            self.finish(context);
        }
    }

    /// Writes the response to a request that was pending, and goes on with the requests after it.
    fn respond_later(&mut self, context: &mut Context<'_>, exchange: Exchange, response: &Response) {
        self.respond(context, exchange, response);
        self.resume(context);
    }

    /// Refuses what was received, and ends the connection: where the next request begins is not known.
    fn refuse(&mut self, context: &mut Context<'_>, response: Response) {
        self.incoming = None;
        self.respond(context, Exchange::LAST, &response);
    }

    /// Refuses a request whose body is not read, and ends the connection.
    fn refuse_request(&mut self, context: &mut Context<'_>, head: &RequestHead<'_>, response: Response) {
        self.respond(context, Exchange { keep_alive: false, ..Exchange::of(head) }, &response);
    }

    /// Takes no further request. The connection closes when its output is sent.
    fn finish(&mut self, context: &mut Context<'_>) {
        self.state = State::Finished;
        context.transport.close();
    }

    /// Reads again, if a request can be carried out and there is room for its response.
    fn resume(&mut self, context: &mut Context<'_>) {
        if let State::Reading = self.state
            && context.transport.has_room()
        {
            context.transport.resume_reading();
            self.set_deadline(context, self.incoming.is_some());
        }
    }

    /// The number of the next question to Places, or of the next search.
    fn next_ticket(&mut self) -> u32 {
        self.tickets = self.tickets.wrapping_add(1);
        self.tickets
    }

    fn waiter(&self, context: &Context<'_>, ticket: u32) -> Waiter {
        Waiter { conversation: Handle::<Conversation>::new(context.id), ticket }
    }

    /// Sets the deadline. `has_begun`: a part of a request was received. The time in which this side does not read
    /// does not count.
    fn set_deadline(&mut self, context: &mut Context<'_>, has_begun: bool) {
        if !has_begun || context.transport.reading_is_paused() {
            self.since = Moment::NEVER;
        } else if self.since == Moment::NEVER {
            self.since = context.now;
        }
        let deadline = match &self.state {
            State::Reading if context.transport.reading_is_paused() => Moment::NEVER,
            State::Reading if has_begun => self.since + REQUEST_MAX,
            State::Reading => context.now + IDLE_MAX,
            State::Streaming(stream) => stream.comment_at(),
            State::Listing(_, list) => list.deadline(),
            State::Waiting(..) | State::Reporting(..) | State::Finished => Moment::NEVER,
        };
        if context.transport.close_requested().is_none() {
            context.transport.set_deadline(deadline);
        }
    }

    /// Withdraws what the pending response waits for.
    fn withdraw(&mut self, context: &mut Context<'_>) {
        let own = Handle::new(context.id);
        let state = std::mem::replace(&mut self.state, State::Finished);
        let Server { desk, searches, store, durability, .. } = &mut *context.shared;
        match state {
            State::Waiting(_, Pending::Disk { sequence, .. }) => durability.withdraw(sequence, own),
            State::Waiting(_, Pending::Places { ticket, .. }) => {
                desk.withdraw(&Waiter { conversation: own, ticket });
            }
            State::Waiting(_, Pending::Search { ticket, .. }) => {
                searches.withdraw(store, &Waiter { conversation: own, ticket });
            }
            State::Listing(_, list) => list.end(context.shared),
            State::Reporting(_, batch) => batch.end(context.shared),
            State::Streaming(stream) => stream.end(context),
            State::Reading | State::Finished => {}
        }
    }
}

impl Default for Web {
    fn default() -> Web {
        Web::new()
    }
}

impl Protocol for Web {
    type Shared = Server;

    fn connection_made(&mut self, context: &mut Context<'_>) {
        let (host, port) = (context.address.ip(), context.address.port());
        context.shared.log.event(format_args!("New connection from ({host}, {port}) was made, for HTTP"));
        self.set_deadline(context, false);
    }

    fn data_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let used = self.requests_received(context, data);
        self.set_deadline(context, used < data.len() || self.incoming.is_some());
        used
    }

    fn eof_received(&mut self, context: &mut Context<'_>, rest: &[u8]) {
        match self.state {
            State::Reading if !rest.is_empty() || self.incoming.is_some() => {
                self.forget_body(context);
                self.refuse(
                    context,
                    Response::bad("the request is not complete, and no more of it can arrive"),
                );
            }
            State::Reading => self.finish(context),
            State::Streaming(_) => self.end_stream_soon(context),
            State::Waiting(ref mut exchange, _)
            | State::Listing(ref mut exchange, _)
            | State::Reporting(ref mut exchange, _) => {
                exchange.keep_alive = false;
            }
            State::Finished => {}
        }
    }

    fn pause_writing(&mut self, context: &mut Context<'_>) {
        if !matches!(self.state, State::Streaming(_)) {
            context.transport.pause_reading();
        }
        self.set_deadline(context, false);
    }

    fn resume_writing(&mut self, context: &mut Context<'_>) {
        self.held.note_output(context.transport, &mut context.shared.unread_answer_bytes);
        self.list_on(context);
        self.resume_stream(context);
        self.resume(context);
    }

    fn timed_out(&mut self, context: &mut Context<'_>) {
        match self.state {
            State::Reading if self.since == Moment::NEVER => self.finish(context),
            State::Reading => {
                self.forget_body(context);
                let text = format!("the request was not complete after {} s", REQUEST_MAX.as_secs());
                self.refuse(context, Response::error((408, "Request Timeout"), &text));
            }
            State::Streaming(_) => self.comment(context),
            State::Listing(..) => context.transport.abort(),
            State::Waiting(..) | State::Reporting(..) | State::Finished => {}
        }
    }

    fn shut_down(&mut self, context: &mut Context<'_>) {
        match &mut self.state {
            State::Reading => self.finish(context),
            State::Waiting(exchange, _) | State::Listing(exchange, _) | State::Reporting(exchange, _) => {
                exchange.keep_alive = false;
                self.has_more = false;
            }
            State::Streaming(_) => self.end_stream_soon(context),
            State::Finished => {}
        }
    }

    fn connection_lost(&mut self, context: &mut Context<'_>, why: Lost) {
        let (host, port) = (context.address.ip(), context.address.port());
        log::handshake_failed(context, &why);
        context.shared.log.event(format_args!("Connection from ({host}, {port}) was dropped"));
        self.withdraw(context);
        self.forget_body(context);
        self.held.release(&mut context.shared.unread_answer_bytes);
    }
}

/// The time limit of a request, from its first byte to its last (docs/protocol.md, section 8).
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// How long a connection may have no request. Longer than the common 60 s of proxies, so that the proxy closes first, and
/// no request crosses the close.
const IDLE_MAX: Duration = Duration::from_secs(75);

#[cfg(test)]
mod tests;
