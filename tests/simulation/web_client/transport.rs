//! Sending requests and receiving responses on the connection of a client over HTTP.

use std::io;

use super::{Exchange, WebClient};
use crate::connection::Side;
use crate::oracle::Oracle;
use crate::scripts::Reading;
use crate::web_requests::Request;
use crate::web_responses::read_response;
use crate::world::{Happening, MILLISECOND, SECOND, Time, World, show};

impl WebClient {
    /// Begins to send a request. What follows the last one of a connection is not carried out.
    pub(super) fn begin(&mut self, request: Request) {
        let whole = request.bytes.len();
        self.begin_part(request, whole);
    }

    /// The same with a request of which the first bytes are there.
    pub(super) fn begin_part(&mut self, mut request: Request, whole: usize) {
        self.outgoing.extend(std::mem::take(&mut request.bytes));
        if self.is_over {
            return;
        }
        self.is_over = request.is_last;
        self.exchanges.push_back(Exchange { request, sent: None, unsent: whole, begun_at: Time::MAX });
    }

    /// Sends the pending output. Returns whether all of it was sent.
    pub(super) fn write(&mut self, world: &mut World, oracle: &mut Oracle) -> bool {
        while !self.outgoing.is_empty() && self.half_closed_at.is_none() {
            match world.write(self.witness.connection, Side::Dialler, self.outgoing.make_contiguous()) {
                Ok(length) => {
                    self.outgoing.drain(..length);
                    self.active_at = world.now;
                    self.note_sent(world, oracle, length);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // The next read returns the end, unless this client does not read.
                Err(_) => {
                    self.outgoing.clear();
                    self.is_excused = true;
                }
            }
        }
        true
    }

    fn note_sent(&mut self, world: &World, oracle: &mut Oracle, mut length: usize) {
        for exchange in self.exchanges.iter_mut().filter(|exchange| exchange.unsent > 0) {
            if length == 0 {
                return;
            }
            let taken = length.min(exchange.unsent);
            exchange.unsent -= taken;
            length -= taken;
            exchange.begun_at = exchange.begun_at.min(world.now);
            if exchange.unsent == 0 {
                exchange.sent = Some(exchange.request.sent(&self.witness, world, oracle));
                if exchange.request.is_last {
                    self.over_since = world.now;
                }
            }
        }
        self.sent_after_end |= length > 0;
    }

    pub(super) fn read(&mut self, world: &mut World, oracle: &mut Oracle) {
        let mut buffer = [0; 2048];
        let most = match self.reading {
            Reading::Nothing => return,
            Reading::Slowly(most) => most.min(buffer.len()),
            Reading::Everything => buffer.len(),
        };
        self.read_at = world.now;
        let connection = self.witness.connection;
        while !self.is_gone && self.comes_back_at.is_none() && self.witness.connection == connection {
            match world.read(connection, Side::Dialler, &mut buffer[..most]) {
                Ok(0) => {
                    self.take_responses(world, oracle, true);
                    return self.ended(world, oracle, "the connection ended");
                }
                Ok(length) => {
                    self.active_at = world.now;
                    self.received.extend_from_slice(&buffer[..length]);
                    self.take_responses(world, oracle, false);
                    if let Reading::Slowly(_) = self.reading {
                        world.schedule_in(SLOWNESS, Happening::WebActs { client: self.number });
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    return self.ended(world, oracle, &format!("the connection broke ({error})"));
                }
            }
        }
    }

    fn take_responses(&mut self, world: &mut World, oracle: &mut Oracle, has_ended: bool) {
        while !self.received.is_empty() {
            if let Some(stream) = self.stream.as_mut().filter(|stream| stream.has_begun) {
                if let Err(why) = stream.receive(&mut self.received, &self.witness, world, oracle) {
                    self.complain(world, &why);
                }
                return;
            }
            let Some(first) = self.exchanges.front() else {
                let is_408 = self.received.starts_with(b"HTTP/1.1 408 ") && self.is_excused;
                if !is_408 {
                    self.complain(world, "no response is pending");
                }
                self.received.clear();
                return;
            };
            let (response, length) = match read_response(&self.received, first.request.is_head, has_ended) {
                Ok(Some(read)) => read,
                Ok(None) => return,
                Err(why) => return self.complain(world, &why),
            };
            self.received.drain(..length);
            if response.status == 100 {
                if !first.request.expects_continue {
                    self.complain(world, "nothing has to continue");
                }
                continue;
            }
            let Some(exchange) = self.exchanges.pop_front() else { return };
            let number = self.number;
            world.print(|| {
                format!(
                    "web client {number}: {} for '{}' '{}'",
                    response.status,
                    exchange.request.title(),
                    response.body.escape_ascii()
                )
            });
            self.has_response = true;
            world.check_quota(self.witness.connection, self.limits.connections_max);
            if response.status == 408 && self.is_excused {
                continue;
            }
            if let Err(why) = self.check_response(world, oracle, &exchange, &response) {
                let (title, body) = (exchange.request.title(), response.body.escape_ascii());
                let since = exchange.sent.as_ref().map_or("no time".to_owned(), |sent| show(sent.since));
                let why = format!("{} '{body}' for '{title}' of {since}: {why}", response.status);
                return self.complain(world, &why);
            }
        }
    }

    /// Notes whether a time limit of the server may have passed.
    pub(super) fn excuse_if_too_slow(&mut self, now: Time) {
        let begun = self.exchanges.iter().filter(|exchange| exchange.unsent > 0 && exchange.begun_at < now);
        let is_late = begun.map(|exchange| now - exchange.begun_at).any(|late| late > REQUEST_MAX - SECOND);
        let reads_late = self.reading != Reading::Everything && now > self.read_at + STALLED_MAX;
        let reads_no_end =
            self.reading != Reading::Everything && self.is_over && self.half_closed_at.is_none();
        self.is_excused |= is_late || reads_late || reads_no_end;
    }
}

/// The longest time without a read after which a server still keeps a connection.
const STALLED_MAX: Time = 20 * SECOND;
/// The time between two reads of a slow client.
const SLOWNESS: Time = 30 * MILLISECOND;
/// The time limit of a request (docs/protocol.md, section 8).
const REQUEST_MAX: Time = 10 * SECOND;
