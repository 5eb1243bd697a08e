//! The conversation with a client (docs/protocol.md, section 1).
//!
//! Every accepted connection starts as one. If its first line that is not blank is a HELLO, the connection is
//! a peer's, and an [`InboundPeer`](super::InboundPeer) takes over.

mod commands;
mod following;
pub(super) mod near;
mod pacing;
mod replying;

use std::time::Duration;

use self::following::Following;
use self::pacing::{Pace, Timing};
use super::idle_times::{Due, IdleTimes};
use super::lines::Lines;
use super::refusals::NotLogged;
use super::replies::Replies;
use super::telnet::Telnet;
use super::{Context, Server, prefetch, receipt_time};
use crate::clock::Moment;
use crate::config::{ClientsSection, Limits};
use crate::places::answer::Answer;
use crate::protocol::{Lost, Protocol};
use crate::text::peer_line::is_hello;
use crate::text::request_line::RequestLine;
use crate::text::telnet::IAC;

/// A client, or a peer that has not sent its HELLO yet.
#[derive(Debug)]
pub struct Client {
    standing: Standing,
    port: Port,
    /// When the line began that has not ended; [`Moment::NEVER`]: there is none.
    line_since: Moment,
    /// The over-long line whose rest is discarded; `None`: there is none.
    discarding: Option<RequestLine>,
    telnet: Telnet,
    /// `None`: no setting needs it so far.
    timing: Option<Box<Timing>>,
    /// The line at the front is carried out although its LF is missing, if it is a whole valid command.
    line_is_due: bool,
    /// Bytes that were offered and not consumed. They are offered again, with or without new ones.
    unread: u32,
    /// No byte was read: a byte order mark may follow.
    at_start: bool,
    replies: Replies,
    /// The FOLLOW whose stream is pending or running.
    following: Option<Box<Following>>,
}

/// The purpose of the port on which a connection was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    All,
    Clients,
    Neighbours,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Standing {
    /// The connection has sent no line.
    Unidentified,
    /// The connection has sent no line, and the server is full: only a peer may stay.
    PeersOnly,
    /// The connection is a client's.
    Client,
    /// The connection is a peer's: the line that has begun is a HELLO.
    Peer,
    /// The connection is a client's, and the next line ends its stream.
    Following,
    /// Further input is ignored. The connection closes after the last pending reply.
    Finished,
}

impl Client {
    /// A connection that was accepted.
    pub fn unidentified() -> Client {
        Client::new(Standing::Unidentified, Port::All)
    }

    /// A connection that was accepted on the port of clients, while neighbours have one of their own.
    pub fn on_port_of_clients() -> Client {
        Client::new(Standing::Unidentified, Port::Clients)
    }

    /// A connection that was accepted on the port of neighbours. It is closed as soon as it proves to be a client's.
    pub fn on_port_of_neighbours() -> Client {
        Client::new(Standing::PeersOnly, Port::Neighbours)
    }

    /// A connection that was accepted although the server is full, because it may be a neighbour's. It is
    /// closed as soon as it proves not to be.
    pub fn peers_only() -> Client {
        Client::new(Standing::PeersOnly, Port::All)
    }

    fn new(standing: Standing, port: Port) -> Client {
        Client {
            standing,
            port,
            line_since: Moment::NEVER,
            discarding: None,
            telnet: Telnet::default(),
            timing: None,
            line_is_due: false,
            unread: 0,
            at_start: true,
            replies: Replies::default(),
            following: None,
        }
    }

    /// When the HELLO of a peer began; `None`: the connection is not a peer's. The HELLO is not consumed.
    pub(super) fn hello_since(&self) -> Option<Moment> {
        (self.standing == Standing::Peer).then_some(self.line_since)
    }

    /// Whether the connection is on the port of clients, while neighbours have one of their own.
    pub(super) fn is_on_port_of_clients(&self) -> bool {
        self.port == Port::Clients
    }

    /// Limits the time in which a connection that may only be a neighbour's sends the next part of its greeting.
    fn await_greeting(&self, context: &mut Context<'_>) {
        let grace = if self.port == Port::Neighbours { GREETING_MAX } else { PEER_GRACE };
        context.transport.set_deadline(context.now + grace);
    }

    /// Places has answered, or cannot answer, the question with this ticket.
    pub fn answered(&mut self, context: &mut Context<'_>, ticket: u32, answer: &Answer) {
        self.note_activity(context.now);
        self.replies.answer(ticket, answer, &mut context.shared.unread_answer_bytes);
        self.send_replies(context);
    }

    fn lines_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let max_line = context.shared.limits.max_line;
        let mut lines = Lines::new(data);
        if self.telnet.was_used() {
            lines.end_at_cr_nul();
        }
        if self.at_start {
            if BYTE_ORDER_MARK.len() > data.len() && BYTE_ORDER_MARK.starts_with(data) {
                return 0;
            }
            self.at_start = false;
            if data.starts_with(BYTE_ORDER_MARK) {
                lines.skip(BYTE_ORDER_MARK.len());
            }
        }
        while let Some(mut line) = lines.peek() {
            if self.standing >= Standing::Following {
                if self.standing == Standing::Finished {
                    return data.len();
                }
                if self.line_after_stream(context, &mut lines) {
                    continue;
                }
                break;
            }
            if !context.transport.has_room() || !self.replies.has_room() {
                context.transport.pause_reading();
                break;
            }
            if let Some(batch) = lines.new_batch() {
                prefetch(context, batch, ID_FIELD);
            }
            if let Some(begun) = &mut self.discarding {
                line = lines.discardable(line);
                begun.push(line.text);
                if line.ended
                    && let Some(whole) = self.discarding.take()
                {
                    self.over_long_line_ended(&whole);
                }
            } else if self.telnet.is_negotiating() || lines.rest().first() == Some(&IAC) {
                if self.telnet_received(context, &mut lines) {
                    continue;
                }
                break;
            } else if self.may_be_a_peer() && is_hello(&line.text[..line.text.len().min(max_line)]) {
                // A HELLO that is the first line began when the first byte arrived.
                let is_first = lines.used() == 0;
                self.line_since = if is_first { self.line_since.min(context.now) } else { context.now };
                self.standing = Standing::Peer;
                break;
            } else if line.text.len() > max_line {
                self.over_long_line_received(context, line.text);
                line = lines.discardable(line);
                let begun = RequestLine::of(line.text);
                if line.ended {
                    self.over_long_line_ended(&begun);
                } else {
                    self.discarding = Some(begun);
                }
            } else if line.ended {
                let received = receipt_time(context);
                self.line_received(context, line.text, received);
            } else if !self.line_is_due || !self.whole_command_received(context, line.text) {
                break;
            }
            lines.consume(line);
            if line.ended {
                self.line_since = Moment::NEVER;
            } else {
                break;
            }
        }
        lines.used()
    }

    /// Reads the telnet commands before a line. Returns whether a line may follow; false: a command is not
    /// complete.
    fn telnet_received(&mut self, context: &mut Context<'_>, lines: &mut Lines<'_>) -> bool {
        if self.standing == Standing::PeersOnly {
            self.reject(context);
            return false;
        }
        let output = self.replies.output(context.transport);
        let start = output.len();
        let before = self.telnet;
        let (used, is_complete) = self.telnet.read(lines.rest(), output);
        if output.len() > start {
            context.shared.log.sent_to_client(&output[start..]);
        }
        // A command that has ended does not count as a line that has begun.
        if used > 0 && (is_complete || !before.is_negotiating()) {
            self.line_since = Moment::NEVER;
        }
        lines.skip(used);
        lines.end_at_cr_nul();
        is_complete
    }

    /// Whether a line, or a subnegotiation, has begun whose bytes are not kept.
    fn is_discarding(&self) -> bool {
        self.discarding.is_some() || self.telnet.is_negotiating()
    }

    fn note_activity(&mut self, now: Moment) {
        if let Some(idle) = self.timing.as_mut().and_then(|timing| timing.idle.as_mut()) {
            idle.note_activity(now);
        }
    }

    fn may_be_a_peer(&self) -> bool {
        matches!(self.standing, Standing::Unidentified | Standing::PeersOnly)
    }

    /// Acts on what was received, of which so many bytes are left.
    fn lines_were_received(&mut self, context: &mut Context<'_>, left: usize) {
        self.unread = left as u32;
        match self.standing {
            Standing::Finished => self.send_replies(context),
            Standing::PeersOnly | Standing::Peer => {}
            Standing::Unidentified | Standing::Client | Standing::Following => {
                self.set_deadline(context, left > 0 || self.is_discarding());
            }
        }
    }

    /// Whether a line has begun whose time runs, and whether no reply is pending.
    fn progress(&self) -> (bool, bool) {
        (self.line_since != Moment::NEVER, self.replies.is_empty())
    }

    /// Sets the deadline, and starts or clears the time limit of a line that has begun. The time in which this
    /// side does not read does not count.
    fn set_deadline(&mut self, context: &mut Context<'_>, has_begun: bool) {
        if !has_begun || context.transport.reading_is_paused() {
            self.line_since = Moment::NEVER;
        } else if self.line_since == Moment::NEVER {
            self.line_since = context.now;
        }
        let limits = &context.shared.limits;
        let mut deadline = (self.line_since + limits.line_timeout).min(self.mark_at());
        if limits.clients != ClientsSection::default() {
            let (has_begun, is_answered) = self.progress();
            let (clocks, is_unsent) = (context.clocks(), context.transport.pending() > 0);
            let idle = &mut self.timing.get_or_insert_default().idle;
            let idle = idle.get_or_insert_with(|| IdleTimes::new(clocks));
            let idle_at = idle.deadline(&limits.clients, clocks.now, has_begun, is_answered, is_unsent);
            deadline = deadline.min(idle_at);
        }
        context.transport.set_deadline(deadline);
    }
}

/// Whether the peer has shown the certificate of a neighbour.
fn is_of_a_neighbour(context: &Context<'_>) -> bool {
    context.tls.is_some_and(|peer| context.shared.neighbours.has_one_of(peer))
}

impl Protocol for Client {
    type Shared = Server;

    fn connection_made(&mut self, context: &mut Context<'_>) {
        let (host, port) = (context.address.ip(), context.address.port());
        context.shared.log.event(format_args!("New connection from ({host}, {port}) was made"));
        if context.shared.limits.max_lines_per_second > 0
            && !context.address.ip().to_canonical().is_loopback()
        {
            self.timing.get_or_insert_default().pace = Some(Pace::new(context.now));
        }
        if self.standing == Standing::PeersOnly {
            self.await_greeting(context);
        } else {
            self.set_deadline(context, false);
        }
    }

    fn secured(&mut self, context: &mut Context<'_>) {
        match (self.standing, is_of_a_neighbour(context)) {
            (Standing::PeersOnly, true) => self.await_greeting(context),
            (Standing::PeersOnly, false) => self.reject(context),
            // A neighbour sends HELLO at once. Nothing else would end the connection of one that has lost its power.
            (_, true) => context.transport.set_deadline(context.now + GREETING_MAX),
            (_, false) => {}
        }
    }

    fn data_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let offered = match self.timing {
            None => data.len(),
            Some(_) => self.allowed_by_pace(context, data),
        };
        // The only call, so that it is inlined.
        let used = self.lines_received(context, &data[..offered]);
        match self.timing {
            None => self.lines_were_received(context, data.len() - used),
            Some(_) => return self.timed_lines_were_received(context, data, offered, used),
        }
        used
    }

    fn eof_received(&mut self, context: &mut Context<'_>, rest: &[u8]) {
        // A telnet command that is not complete is no line.
        let is_line = !self.telnet.is_negotiating() && !rest.is_empty() && rest[0] != IAC;
        if is_line && self.standing != Standing::Finished && !self.last_line_after_stream(context, rest) {
            let received = receipt_time(context);
            self.line_received(context, rest, received);
        }
        self.standing = Standing::Finished;
        context.transport.set_deadline(self.mark_at());
        self.send_replies(context);
    }

    fn pause_writing(&mut self, context: &mut Context<'_>) {
        context.transport.pause_reading();
        self.line_since = Moment::NEVER;
        context.transport.set_deadline(Moment::NEVER);
    }

    fn resume_writing(&mut self, context: &mut Context<'_>) {
        self.note_activity(context.now);
        self.send_replies(context);
    }

    fn timed_out(&mut self, context: &mut Context<'_>) {
        if self.standing == Standing::PeersOnly {
            return self.reject(context);
        }
        self.mark_stream(context);
        if self.standing == Standing::Finished {
            return self.renew_deadline(context);
        }
        let Limits { line_timeout, clients, .. } = context.shared.limits;
        let (host, port) = (context.address.ip(), context.address.port());
        let is_silent = self.standing == Standing::Unidentified && self.line_since == Moment::NEVER;
        if is_silent && is_of_a_neighbour(context) {
            self.standing = Standing::Finished;
            context.shared.log.event(format_args!(
                "Connection from ({host}, {port}) showed the certificate of a neighbour, and sent no HELLO within \
                 {GREETING_MAX:?}"
            ));
            return context.transport.abort();
        }
        if context.now >= self.line_since + line_timeout {
            context
                .shared
                .log
                .event(format_args!("A line from ({host}, {port}) did not end within {line_timeout:?}"));
            return self.finish(context);
        }
        let (has_begun, is_answered) = self.progress();
        let is_unsent = context.transport.pending() > 0;
        self.resume_at_pace(context);
        let due = self
            .timing
            .as_mut()
            .and_then(|timing| timing.idle.as_mut())
            .and_then(|idle| idle.due(&clients, context.now, has_begun, is_answered, is_unsent));
        match due {
            Some(Due::Line) => {
                self.line_is_due = true;
                context.transport.offer_again();
            }
            Some(Due::Close) => {
                let time = clients.close_after;
                context.shared.log.event(format_args!(
                    "Connection from ({host}, {port}) is closed: silent for {time:?} (clients.close_after_ms)"
                ));
                return self.finish(context);
            }
            None => {}
        }
        self.set_deadline(context, has_begun);
        self.await_pace(context);
    }

    fn shut_down(&mut self, context: &mut Context<'_>) {
        self.finish(context);
    }

    fn connection_lost(&mut self, context: &mut Context<'_>, why: Lost) {
        let (host, port) = (context.address.ip(), context.address.port());
        if let Lost::NotSecured(error) = why
            && let Some(not_logged) = context.shared.handshakes_failed.admit(context.now)
        {
            context.shared.log.event(format_args!(
                "The TLS handshake of ({host}, {port}) failed: {error}{}",
                NotLogged(not_logged)
            ));
        }
        context.shared.log.event(format_args!("Connection from ({host}, {port}) was dropped"));
        self.withdraw(context);
        self.leave_stream(context);
        self.replies.clear(&mut context.shared.unread_answer_bytes);
    }
}

/// The field of the client ID in IAMAT and WHATSAT.
const ID_FIELD: usize = 1;
/// The byte order mark of UTF-8. Some programs send it first.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// How long a connection to a full server may take to send HELLO: a neighbour sends it in its first packet.
const PEER_GRACE: Duration = Duration::from_millis(200);
/// How long a connection on the port of neighbours may take to begin, and after TLS to send HELLO.
const GREETING_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
