//! The conversation with a neighbour that dialled this server: it sends its changes
//! (docs/protocol.md, section 2).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::acknowledgements::Acknowledgements;
use super::counts::Rejection;
use super::lines::{Line, Lines};
use super::refusals::NotLogged;
use super::{Context, NeighbourId, PEER_LINE_EXTRA, Server, Signal, prefetch};
use crate::clock::Moment;
use crate::protocol::{Lost, Protocol};
use crate::store::Origin;
use crate::text::peer_line::{Epoch, HELLO_MAX, Hello, parse_mark, write_ack, write_refused, write_welcome};
use crate::text::record::Statement;

/// A neighbour that dialled.
#[derive(Debug)]
pub struct InboundPeer {
    state: State,
    /// The neighbour, once it was welcomed.
    neighbour: Option<NeighbourId>,
    /// Neighbours have a port of their own, and this is not it.
    is_on_port_of_clients: bool,
}

#[derive(Debug)]
enum State {
    /// Its HELLO, which began at this moment, is not complete.
    Greeting(Moment),
    /// It was welcomed.
    Linked(InboundLink),
    /// The link ends; further input is discarded.
    Over,
}

#[derive(Clone, Copy, Debug)]
struct InboundLink {
    neighbour: NeighbourId,
    epoch: Epoch,
    origin: Origin,
    /// When input arrived last.
    received_at: Moment,
    acknowledgements: Acknowledgements,
    /// The bytes so far of a statement that is too long, and is passed over; 0: there is none.
    passed_over: usize,
    /// Bytes of statements since the last MARK, or WELCOME.
    unmarked: usize,
}

impl InboundPeer {
    /// A peer whose HELLO began at `since`.
    pub fn new(since: Moment) -> InboundPeer {
        InboundPeer { state: State::Greeting(since), neighbour: None, is_on_port_of_clients: false }
    }

    /// Refuses the HELLO: this port is that of clients.
    pub(super) fn refuse_on_port_of_clients(&mut self) {
        self.is_on_port_of_clients = true;
    }

    /// Ends the link, because the certificate of its peer is no longer accepted.
    pub(super) fn distrust(&mut self, context: &mut Context<'_>, reason: &str) {
        if let State::Linked(link) = &self.state {
            link.end(context, reason);
        }
    }

    fn hello_received(&mut self, context: &mut Context<'_>, since: Moment, line: &[u8]) {
        context.shared.log.received(line, context.address);
        if context.now > since + HELLO_TIMEOUT {
            return self.refuse(context, TOO_SLOW);
        }
        match self.may_link(context, line) {
            Ok((neighbour, epoch)) => self.welcome(context, neighbour, epoch),
            Err(reason) => self.refuse(context, &reason),
        }
    }

    fn welcome(&mut self, context: &mut Context<'_>, neighbour: NeighbourId, epoch: Epoch) {
        let server = &mut *context.shared;
        let known = server.neighbours.get_mut(neighbour);
        let since = known.received(epoch);
        known.note_received(epoch, since);
        if known.inbound.is_none() {
            known.inbound_since = context.now;
        }
        if let Some(older) = known.inbound.replace(context.id) {
            server.signals.push_back(Signal::LinkReplaced(older));
        }
        server.signals.push_back(Signal::NeighbourAlive(neighbour, epoch));
        let how = if context.tls.is_some() { OVER_TLS } else { "" };
        server.log.event(format_args!("New connection from server {} was made{how}", known.name));
        let output = context.transport.output();
        let start = output.len();
        write_welcome(server.identity.name.as_bytes(), server.identity.epoch, since, output);
        server.log.sent_to_server(&known.name, &output[start..]);
        // A link takes no place from clients, and clients that fill the server keep no neighbour out.
        context.transport.leave_quota();
        self.neighbour = Some(neighbour);
        self.state = State::Linked(InboundLink {
            neighbour,
            epoch,
            origin: server.neighbours.origin(neighbour, epoch),
            received_at: context.now,
            acknowledgements: Acknowledgements::new(context.now),
            passed_over: 0,
            unmarked: 0,
        });
    }

    fn refuse(&mut self, context: &mut Context<'_>, reason: &str) {
        let output = context.transport.output();
        let start = output.len();
        write_refused(reason, output);
        let server = &mut *context.shared;
        server.log.sent_to_client(&output[start..]);
        server.counts.rejected[Rejection::Hello as usize] += 1;
        if let Some(not_logged) = server.connections_refused.admit(context.now) {
            let (host, port, not_logged) =
                (context.address.ip(), context.address.port(), NotLogged(not_logged));
            server.log.event(format_args!("A HELLO from ({host}, {port}) is refused: {reason}{not_logged}"));
        }
        self.state = State::Over;
        context.transport.close();
    }

    fn greet(&mut self, context: &mut Context<'_>, since: Moment, line: Line<'_>) {
        if line.text.len() > HELLO_MAX {
            self.refuse(context, "a HELLO has at most 1024 bytes");
        } else if line.ended {
            self.hello_received(context, since, line.text);
        }
    }
}

impl InboundLink {
    /// Carries out a line, given without and with its LF. The error is the reason to end the link.
    fn line_received(&mut self, context: &mut Context<'_>, line: &[u8], whole: &[u8]) -> Result<(), String> {
        let server = &mut *context.shared;
        if let Some(statement) = Statement::parse(line) {
            server.log.received(line, context.address);
            server.learn(&statement, whole, self.origin);
            self.unmarked += whole.len();
            return Ok(());
        }
        let Some(sequence) = parse_mark(line) else {
            let shown = line[..line.len().min(SHOWN_MAX)].escape_ascii();
            return Err(format!("'{shown}' was not understood"));
        };
        let known = server.neighbours.get_mut(self.neighbour);
        // A MARK that repeats its number is a heartbeat, and is not logged.
        if known.received(self.epoch) != sequence {
            server.log.received(line, context.address);
        }
        known.note_received(self.epoch, sequence);
        known.was_caught_up |= std::mem::take(&mut self.unmarked) < CAUGHT_UP_MAX;
        if self.acknowledgements.mark_received(context.now) {
            self.acknowledge(context);
        }
        Ok(())
    }

    /// Discards the bytes of a statement that is too long. The limits of two servers may differ while one is
    /// changed, and one long statement must not hold up the others.
    fn pass_over(&mut self, context: &mut Context<'_>, line: Line<'_>) {
        let server = &mut *context.shared;
        if self.passed_over == 0
            && let Some(not_logged) = server.passed_over.admit(context.now)
        {
            let (name, max_line) = (&server.neighbours.get(self.neighbour).name, server.limits.max_line);
            let shown = line.text[..SHOWN_MAX.min(line.text.len())].escape_ascii();
            server.log.event(format_args!(
                "A statement from server {name} is too long for limits.max_line ({max_line} and {PEER_LINE_EXTRA} \
                 bytes), and is passed over: '{shown}...'{}",
                NotLogged(not_logged)
            ));
        }
        self.passed_over = if line.ended { 0 } else { self.passed_over + line.text.len() };
    }

    fn acknowledge(&mut self, context: &mut Context<'_>) {
        let server = &mut *context.shared;
        let known = server.neighbours.get(self.neighbour);
        let sequence = known.received(self.epoch);
        let output = context.transport.output();
        let start = output.len();
        write_ack(sequence, output);
        if self.acknowledgements.sent(context.now, sequence) {
            server.log.sent_to_server(&known.name, &output[start..]);
        }
    }

    /// Sends the ACK that is due, and sets the deadline. Input does not postpone an ACK: a neighbour that sends
    /// without a pause must not take this side for dead.
    fn acknowledge_in_time(&mut self, context: &mut Context<'_>) {
        let heartbeat = context.shared.heartbeat();
        if context.now >= self.acknowledgements.due_at(heartbeat) {
            if context.transport.has_room() {
                self.acknowledge(context);
            } else {
                self.acknowledgements.postpone(context.now);
            }
        }
        let silent_at = self.received_at + context.shared.silence;
        context.transport.set_deadline(silent_at.min(self.acknowledgements.due_at(heartbeat)));
    }

    fn end(&self, context: &mut Context<'_>, reason: &str) {
        let name = &context.shared.neighbours.get(self.neighbour).name;
        context.shared.log.event(format_args!("Connection from server {name} is ended: {reason}"));
        context.transport.abort();
    }
}

/// Whether a line is the beginning of a statement that is too long.
fn is_long_statement(line: &[u8], line_max: usize) -> bool {
    line.len() > line_max && (line.starts_with(b"AT ") || line.starts_with(b"GONE "))
}

/// Whether a connection can be that of a neighbour, whichever it is. The error is the reason to refuse it.
fn may_be_neighbour(context: &Context<'_>) -> Result<(), &'static str> {
    match (&context.shared.keys, context.tls) {
        (None, _) if context.address.ip().to_canonical().is_loopback() => Ok(()),
        (None, _) => Err("links in plain text are allowed from loopback addresses only"),
        (Some(_), None) => Err("links of this herd are TLS; is peers.tls the same in both herd files?"),
        (Some(_), Some(peer)) if peer.certificates.is_empty() => Err("no certificate was shown"),
        (Some(_), Some(_)) => Ok(()),
    }
}

impl InboundPeer {
    /// The neighbour that says HELLO, and its epoch; or the reason to refuse it. A peer that has not proved its
    /// name learns nothing about the herd.
    fn may_link(
        &self,
        context: &Context<'_>,
        line: &[u8],
    ) -> Result<(NeighbourId, Epoch), Cow<'static, str>> {
        let hello = Hello::parse(line)?;
        if self.is_on_port_of_clients {
            return Err(
                "neighbours have a port of their own, servers.NAME.peers; this is that of clients".into()
            );
        }
        may_be_neighbour(context)?;
        if hello.herd != context.shared.identity.herd.as_bytes() {
            return Err("this server is of another herd".into());
        }
        let neighbour =
            context.shared.neighbours.find(hello.name).ok_or("no neighbour of this server has that name")?;
        if let (Some(keys), Some(peer)) = (&context.shared.keys, context.tls) {
            if !peer.has_name(&context.shared.neighbours.get(neighbour).name) {
                return Err(format!("the certificate is that of {}", Names(&peer.names)).into());
            }
            // The session may be older than the keys, or resumed after its certificate has expired.
            keys.verify(peer).map_err(|error| error.to_string())?;
        }
        if context.shared.course.store_read.is_some() {
            // It dials as soon as it has.
            return Err("this server has not read its store to the end yet".into());
        }
        Ok((neighbour, hello.epoch))
    }
}

/// The names in a certificate, as they may stand in a line.
pub(super) struct Names<'a>(pub(super) &'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.join(", ");
        let shown = &all.as_bytes()[..all.len().min(SHOWN_MAX)];
        if all.is_empty() { f.write_str("no server") } else { write!(f, "{}", shown.escape_ascii()) }
    }
}

impl Protocol for InboundPeer {
    type Shared = Server;

    fn connection_made(&mut self, context: &mut Context<'_>) {
        if let State::Greeting(since) = self.state {
            context.transport.set_deadline(since + HELLO_TIMEOUT);
        }
    }

    fn data_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        if let State::Linked(link) = &mut self.state {
            link.received_at = context.now;
        }
        let line_max = context.shared.limits.max_line + PEER_LINE_EXTRA;
        let mut lines = Lines::new(data);
        while let Some(line) = lines.peek() {
            match &mut self.state {
                State::Greeting(since) => {
                    let since = *since;
                    self.greet(context, since, line);
                }
                State::Linked(link) => {
                    if let Some(batch) = lines.new_batch() {
                        prefetch(context, batch, ID_FIELD);
                    }
                    let whole = &lines.rest()[..line.length()];
                    let result = if link.passed_over > 0 || is_long_statement(line.text, line_max) {
                        link.pass_over(context, line);
                        Ok(())
                    } else if line.text.len() > line_max {
                        Err(format!("a line has more than {line_max} bytes"))
                    } else if !line.ended {
                        break;
                    } else if !context.transport.has_room() {
                        context.transport.pause_reading();
                        break;
                    } else {
                        link.line_received(context, line.text, whole)
                    };
                    if let Err(reason) = result {
                        link.end(context, &reason);
                        self.state = State::Over;
                    }
                }
                State::Over => return data.len(),
            }
            if let State::Greeting(_) = self.state {
                // The HELLO has not ended.
                break;
            }
            lines.consume(line);
        }
        if let State::Linked(link) = &mut self.state {
            link.acknowledge_in_time(context);
        }
        lines.used()
    }

    fn eof_received(&mut self, context: &mut Context<'_>, _rest: &[u8]) {
        context.transport.close();
    }

    fn resume_writing(&mut self, context: &mut Context<'_>) {
        context.transport.resume_reading();
    }

    fn timed_out(&mut self, context: &mut Context<'_>) {
        match &mut self.state {
            State::Greeting(_) => self.refuse(context, TOO_SLOW),
            State::Linked(link) => {
                let silence = context.shared.silence;
                if context.now >= link.received_at + silence {
                    link.end(context, &format!("nothing arrived for {silence:?}"));
                } else {
                    link.acknowledge_in_time(context);
                }
            }
            State::Over => {}
        }
    }

    fn shut_down(&mut self, context: &mut Context<'_>) {
        context.transport.close();
    }

    fn connection_lost(&mut self, context: &mut Context<'_>, _why: Lost) {
        let Some(id) = self.neighbour else {
            let (host, port) = (context.address.ip(), context.address.port());
            context.shared.log.event(format_args!("Connection from ({host}, {port}) was dropped"));
            return;
        };
        let known = context.shared.neighbours.get_mut(id);
        // Unless a newer link has taken its place.
        if known.inbound == Some(context.id) {
            (known.inbound, known.inbound_since) = (None, context.now);
        }
        context.shared.log.event(format_args!("Connection from server {} was dropped", known.name));
    }
}

/// The words in the event of a new link, if it is TLS.
pub(super) const OVER_TLS: &str = ", over TLS";
/// Bytes of statements between two MARKs of a neighbour that may have more: it fills its transport, from the low-water
/// mark to the high-water mark, before it sends one. A MARK after fewer is at the end of its changes.
const CAUGHT_UP_MAX: usize = 16 * 1024;
/// The field of the client ID in AT.
const ID_FIELD: usize = 3;
/// The reason for refusing a HELLO that took too long.
const TOO_SLOW: &str = "a HELLO must be complete within 2 s";
/// The time limit of a HELLO from its first byte: a neighbour sends it in one packet.
const HELLO_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes quoted in the log from a line that was not understood.
const SHOWN_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::conversation::acknowledgements::COALESCED_FOR;
    use crate::conversation::testing::Bench;
    use crate::conversation::{Client, Conversation};
    use crate::protocol::Close;

    const HELLO: &str = "HELLO herd/1 bruins Jaquez 0123456789abcdef\n";
    const AT: &str = "AT Campbell +0.100000000 kiwi +1-1 5\n";

    fn dialled() -> Bench {
        Bench::new(Conversation::Client(Client::unidentified()))
    }

    fn linked() -> Bench {
        let mut bench = dialled();
        bench.receive(HELLO.as_bytes());
        assert_eq!(bench.sent(), "WELCOME Riley 00000000000000ee 0\n");
        bench
    }

    #[test]
    fn a_neighbour_is_welcomed_and_dialled_back() {
        let mut bench = linked();
        assert_eq!(bench.signals(), [Signal::NeighbourAlive(NeighbourId(0), Epoch(0x0123_4567_89ab_cdef))]);
        assert_eq!(bench.server.neighbours.get(NeighbourId(0)).inbound, Some(bench.id));
        assert!(bench.leaves_quota());
    }

    #[test]
    fn statements_are_stored_and_marks_acknowledged() {
        let mut bench = linked();
        bench.receive(format!("{AT}MARK 7\n").as_bytes());
        assert_eq!(bench.sent(), "ACK 7\n");
        assert_eq!(bench.server.store.get(b"kiwi").unwrap(), AT.as_bytes());
        let mut again = dialled();
        again.server = bench.into_server();
        again.receive(HELLO.as_bytes());
        assert_eq!(again.sent(), "WELCOME Riley 00000000000000ee 7\n");
        let mut restarted = dialled();
        restarted.server = again.into_server();
        restarted.receive(b"HELLO herd/1 bruins Jaquez ffffffffffffffff\n");
        assert_eq!(restarted.sent(), "WELCOME Riley 00000000000000ee 0\n");
    }

    #[test]
    fn a_gone_is_stored_and_has_exactly_five_fields() {
        let gone = "GONE Campbell +0.100000000 kiwi 1621464829.000000000\n";
        let mut bench = linked();
        bench.receive(format!("{AT}{gone}MARK 8\n").as_bytes());
        assert_eq!(bench.sent(), "ACK 8\n");
        assert_eq!(
            (bench.server.store.get(b"kiwi"), bench.server.store.newest(b"kiwi")),
            (None, Some(gone.as_bytes()))
        );
        for line in [
            "GONE Campbell +0.100000000 kiwi 1621464829.000000000 more\n",
            "GONE Campbell +0.100000000 kiwi +34-118 1621464829.000000000\n",
            "GONE Campbell +0.100000000 kiwi\n",
            "GONE Campbell +0.100000000 kiwi 1621464829\n",
        ] {
            let mut bench = linked();
            bench.receive(line.as_bytes());
            assert_eq!(bench.closing(), Some(Close::Abort), "{line}");
            assert!(bench.log().contains("was not understood"), "{line}");
        }
    }

    #[test]
    fn statements_that_are_over_are_dropped_and_acknowledged() {
        let mut bench = linked();
        bench.server.set_limits(Limits { expire_s: 3, remember_gone_s: 5, ..bench.server.limits.clone() });
        // Server times 3.1, 2.9, 5.1 and 4.9 seconds ago.
        bench.receive(b"AT A +0.900000000 p +1-1 1621464826\nAT A +1.100000000 q +1-1 1621464826\n");
        bench.receive(
            b"GONE A -0.100000000 r 1621464825.000000000\nGONE A +0.100000000 s 1621464825.000000000\n",
        );
        bench.receive(b"MARK 4\n");
        assert_eq!((bench.sent().as_str(), bench.server.store.sequence()), ("ACK 4\n", 2));
        let known = [&b"p"[..], b"q", b"r", b"s"].map(|id| bench.server.store.newest(id).is_some());
        assert_eq!(known, [false, true, false, true]);
        assert_eq!(bench.server.statements_dropped, 0);
    }

    #[test]
    fn marks_in_quick_succession_are_acknowledged_together() {
        let mut bench = linked();
        let start = bench.now;
        bench.receive(b"MARK 1\nMARK 2\nMARK 3\n");
        assert_eq!(bench.sent(), "ACK 1\n");
        assert_eq!(bench.deadline(), start + COALESCED_FOR);
        bench.now = start + COALESCED_FOR / 2;
        bench.receive(b"MARK 4\n");
        bench.now = start + COALESCED_FOR;
        assert_eq!((bench.sent().as_str(), bench.deadline()), ("", bench.now));
        bench.time_out();
        assert_eq!(bench.sent(), "ACK 4\n");
        assert_eq!(bench.deadline(), bench.now + bench.server.heartbeat());
    }

    #[test]
    fn an_ack_does_not_wait_for_a_pause_in_the_input() {
        let mut bench = linked();
        bench.receive(b"MARK 1\nMARK 2\n");
        bench.sent();
        bench.now = bench.now + COALESCED_FOR;
        bench.receive(format!("{AT}MARK 3\nAT Camp").as_bytes());
        assert_eq!(bench.sent(), "ACK 3\n");
        bench.now = bench.now + bench.server.heartbeat();
        bench.receive(b"bell");
        assert_eq!(bench.sent(), "ACK 3\n", "the heartbeat");
    }

    #[test]
    fn an_ack_without_room_is_postponed() {
        let mut bench = linked();
        bench.receive(b"MARK 1\nMARK 2\n");
        let mut bench = bench.with_marks(1, 0);
        bench.now = bench.deadline();
        bench.time_out();
        assert_eq!(bench.deadline(), bench.now + COALESCED_FOR, "not at once");
        assert_eq!(bench.sent(), "ACK 1\n", "nothing is written without room");
        bench.now = bench.deadline();
        bench.time_out();
        assert_eq!(bench.sent(), "ACK 2\n");
    }

    #[test]
    fn statements_carry_the_origin_of_the_incarnation() {
        let mut bench = linked();
        bench.receive(AT.as_bytes());
        let cursor = bench.server.store.follow(0);
        let origin = bench.server.store.next_change(cursor).unwrap().origin;
        assert_eq!(origin, bench.server.neighbours.origin(NeighbourId(0), Epoch(0x0123_4567_89ab_cdef)));
        assert_ne!(origin, bench.server.neighbours.origin(NeighbourId(0), Epoch(1)));
    }

    #[test]
    fn a_bad_hello_is_refused_with_the_reason() {
        for (line, reason) in [
            ("HELLO herd/2 bruins Jaquez 0123456789abcdef\n", "herd/1"),
            ("HELLO herd/1 other Jaquez 0123456789abcdef\n", "another herd"),
            ("HELLO herd/1 bruins Riley 0123456789abcdef\n", "no neighbour"),
            ("HELLO herd/1 bruins Mallory 0123456789abcdef\n", "no neighbour"),
            ("HELLO herd/1 bruins Jaquez\n", "needs"),
            ("HELLO herd/1 bruins Jaquez xyz\n", "16"),
        ] {
            let mut bench = dialled();
            bench.receive([line, AT].concat().as_bytes());
            let sent = bench.sent();
            assert!(
                sent.starts_with("REFUSED ") && sent.contains(reason) && sent.lines().count() == 1,
                "{sent}"
            );
            assert_eq!(bench.closing(), Some(Close::Drain));
            assert!(bench.server.store.is_empty(), "nothing is learned");
        }
    }

    #[test]
    fn refused_hellos_in_the_log_are_limited() {
        let mut bench = dialled();
        for _ in 0..100 {
            let server = bench.into_server();
            bench = dialled();
            bench.server = server;
            bench.receive(b"HELLO herd/1 bruins Mallory 0123456789abcdef\n");
        }
        let reason =
            "A HELLO from (127.0.0.1, 40000) is refused: no neighbour of this server has that name\n";
        assert_eq!(bench.log().matches(reason).count(), 10, "{}", bench.log());
    }

    #[test]
    fn links_from_other_machines_are_refused() {
        let mut bench = dialled();
        bench.address = "192.0.2.1:5".parse().unwrap();
        bench.receive(HELLO.as_bytes());
        assert!(bench.sent().starts_with("REFUSED links in plain text"));
    }

    #[test]
    fn only_a_certificate_of_the_neighbour_may_say_hello() {
        let refused = |mut bench: Bench, reason: &str| {
            bench.receive([HELLO, AT].concat().as_bytes());
            let sent = bench.sent();
            assert!(sent.starts_with("REFUSED ") && sent.contains(reason), "{sent}");
            assert!(bench.server.store.is_empty() && bench.signals().is_empty(), "nothing is learned");
            assert_eq!(bench.closing(), Some(Close::Drain));
            assert!(bench.log().contains(" is refused: "));
        };
        refused(dialled().with_keys(), "links of this herd are TLS");
        refused(dialled().with_keys().over_tls(None), "no certificate was shown");
        refused(dialled().with_keys().over_tls(Some("Juzang")), "the certificate is that of Juzang");
        refused(dialled().with_keys().over_tls(Some("Riley")), "the certificate is that of Riley");
        refused(dialled().with_keys().over_tls(Some("Jaquez, bad")), "it has expired");
        for name in ["Jaquez", "jaquez"] {
            let mut bench = dialled().with_keys().over_tls(Some(name));
            bench.address = "192.0.2.1:5".parse().unwrap();
            bench.receive(HELLO.as_bytes());
            assert_eq!(bench.sent(), "WELCOME Riley 00000000000000ee 0\n");
            assert!(bench.log().contains("New connection from server Jaquez was made, over TLS"));
        }
    }

    #[test]
    fn a_peer_that_has_not_proved_its_name_learns_nothing_about_the_herd() {
        for line in
            ["HELLO herd/1 other Jaquez 0123456789abcdef\n", "HELLO herd/1 bruins Zoe 0123456789abcdef\n"]
        {
            let mut bench = dialled().with_keys();
            bench.receive(line.as_bytes());
            assert!(bench.sent().starts_with("REFUSED links of this herd are TLS"));
        }
    }

    #[test]
    fn neighbours_with_a_port_of_their_own_are_refused_at_the_other() {
        let client = || Conversation::Client(Client::on_port_of_clients());
        for mut bench in [Bench::new(client()), Bench::new(client()).with_keys().over_tls(Some("Jaquez"))] {
            bench.receive(HELLO.as_bytes());
            assert!(bench.sent().starts_with("REFUSED neighbours have a port of their own"));
        }
        let mut bench = Bench::new(client());
        bench.receive(b"FOO\n");
        assert_eq!(bench.sent(), "? FOO\n");
    }

    #[test]
    fn a_link_ends_when_new_keys_do_not_accept_its_certificate() {
        for (name, closing) in [("Jaquez", None), ("Jaquez, bad", Some(Close::Abort))] {
            let mut bench = dialled().with_keys().over_tls(Some("Jaquez"));
            bench.receive(HELLO.as_bytes());
            let mut bench = bench.over_tls(Some(name));
            bench.verify_peer();
            assert_eq!(bench.closing(), closing);
        }
    }

    #[test]
    fn refused_hellos_do_not_fill_the_log() {
        let mut bench = dialled().with_keys();
        for _ in 0..100 {
            bench.receive(HELLO.as_bytes());
            let server = bench.into_server();
            bench = dialled();
            bench.server = server;
        }
        assert_eq!(bench.log().matches(" is refused: ").count(), 10);
        assert_eq!(bench.server.connections_refused.all(), 100);
    }

    #[test]
    fn a_hello_must_be_short_and_quick() {
        let mut bench = dialled();
        let start = bench.now;
        bench.receive(b"H");
        bench.now = start + Duration::from_secs(1);
        bench.receive(b"ELLO herd/1");
        assert_eq!(bench.deadline(), start + HELLO_TIMEOUT);
        bench.time_out();
        assert_eq!(
            (bench.sent().as_str(), bench.closing()),
            ("REFUSED a HELLO must be complete within 2 s\n", Some(Close::Drain))
        );
        let mut bench = dialled();
        bench.receive(b"HELLO herd/");
        bench.now = bench.now + Duration::from_secs(3);
        bench.receive(HELLO.strip_prefix("HELLO herd/").unwrap().as_bytes());
        assert_eq!(bench.sent(), "REFUSED a HELLO must be complete within 2 s\n");
        let mut bench = dialled();
        bench.receive(format!("HELLO herd/1 {}", "x".repeat(HELLO_MAX)).as_bytes());
        assert!(bench.sent().starts_with("REFUSED a HELLO has at most"));
    }

    #[test]
    fn additional_fields_are_ignored_except_in_at_lines() {
        let mut bench = dialled();
        bench.receive(b"HELLO herd/1 bruins Jaquez 0123456789abcdef and more\nMARK 3 and more\n");
        assert_eq!(bench.sent(), "WELCOME Riley 00000000000000ee 0\nACK 3\n");
        bench.receive(b"AT Campbell +0.100000000 kiwi +1-1 5 more\n");
        assert_eq!(bench.closing(), Some(Close::Abort));
    }

    #[test]
    fn an_unknown_line_ends_the_link() {
        for line in [
            "FOO\n",
            "\n",
            "AT kiwi\n",
            "MARK\n",
            "IAMAT a +1-1 5\n",
            "ACK 1\n",
            "AT Campbell +0.1 kiwi +1-1 5\n",
        ] {
            let mut bench = linked();
            bench.receive(format!("{line}{AT}").as_bytes());
            assert_eq!(bench.closing(), Some(Close::Abort), "{line:?}");
            assert!(bench.server.store.is_empty());
        }
        let mut bench = linked();
        bench.receive(&[b'x'; 8192 + PEER_LINE_EXTRA + 1]);
        assert_eq!(bench.closing(), Some(Close::Abort));
    }

    #[test]
    fn a_statement_that_is_too_long_is_passed_over_and_acknowledged() {
        let at = |length: usize| format!("{:x<1$} +1-1 5\n", "AT Campbell +0.100000000 ", length - 7);
        let longest = 64 + PEER_LINE_EXTRA;
        let input = format!("{}{}{AT}MARK 3\n", at(longest), at(longest + 1));
        for pieces in [
            vec![input.as_bytes()],
            input.as_bytes().chunks(1).collect(),
            input.as_bytes().chunks(700).collect(),
        ] {
            let mut bench = linked();
            bench.server.limits.max_line = 64;
            pieces.into_iter().for_each(|piece| bench.receive(piece));
            assert_eq!((bench.sent().as_str(), bench.closing()), ("ACK 3\n", None));
            assert_eq!(bench.server.store.len(), 2, "the longest one, and the one after the long one");
            let log = bench.log();
            let events = log.matches(
                "A statement from server Jaquez is too long for limits.max_line (64 and 1024 bytes)",
            );
            assert_eq!(events.count(), 1);
        }
    }

    #[test]
    fn a_long_statement_is_not_kept_while_it_arrives() {
        let mut bench = linked();
        bench.receive(b"AT ");
        for _ in 0..100 {
            bench.receive(&[b'x'; 1000]);
        }
        assert!(bench.input_left() <= 8192 + PEER_LINE_EXTRA && bench.closing().is_none());
        bench.receive(b"\nMARK 7\n");
        assert_eq!(bench.sent(), "ACK 7\n");
    }

    #[test]
    fn silence_ends_the_link_and_a_slow_line_does_not() {
        let mut bench = linked();
        let start = bench.now;
        bench.now = start + Duration::from_secs(1);
        bench.receive(b"AT Camp");
        bench.time_out();
        assert_eq!((bench.sent().as_str(), bench.closing()), ("ACK 0\n", None), "the heartbeat");
        bench.now = start + Duration::from_secs(4);
        bench.time_out();
        assert_eq!(bench.closing(), Some(Close::Abort));
    }

    #[test]
    fn a_newer_link_replaces_the_older_one() {
        let mut older = linked();
        older.signals();
        let older_id = older.id;
        let mut newer = dialled();
        newer.id.generation += 1;
        newer.server = older.into_server();
        newer.receive(HELLO.as_bytes());
        assert!(newer.signals().contains(&Signal::LinkReplaced(older_id)));
    }

    #[test]
    fn replies_do_not_depend_on_how_the_input_is_split() {
        let mut bench = dialled();
        for byte in format!("{HELLO}{AT}MARK 7\n").bytes() {
            bench.receive(&[byte]);
        }
        assert_eq!(bench.sent(), "WELCOME Riley 00000000000000ee 0\nACK 7\n");
        assert_eq!(bench.server.store.get(b"kiwi").unwrap(), AT.as_bytes());
    }

    #[test]
    fn a_mark_after_few_statements_is_at_the_end_of_the_changes() {
        let mut bench = linked();
        let caught_up = |bench: &Bench| bench.server.neighbours.get(NeighbourId(0)).was_caught_up;
        let mut send = |id: &str, bytes: usize| {
            let mut sent = 0;
            while sent < bytes {
                let line = format!("AT Jaquez +0.100000000 {id}{sent} +1-1 1\n");
                sent += line.len();
                bench.receive(line.as_bytes());
            }
            bench.receive(b"MARK 7\n");
            caught_up(&bench)
        };
        assert!(!send("a", CAUGHT_UP_MAX));
        assert!(!send("b", CAUGHT_UP_MAX));
        assert!(send("c", CAUGHT_UP_MAX - 100));
        assert!(send("d", CAUGHT_UP_MAX), "it stays so");
    }
}
