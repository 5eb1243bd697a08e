//! The conversation with a neighbour that this server dialled: it receives the changes of this server
//! (docs/protocol.md, section 2).
//!
//! Nothing is queued for a neighbour. A cursor into the store's list of changes marks how far the neighbour
//! has got; the changes after it are sent while the transport has room. Flooding, catching up after a broken
//! link and the first transfer to a new server are the same act.

use super::inbound_peer::{Names, OVER_TLS};
use super::lines::Lines;
use super::refusals::NotLogged;
use super::{Context, NeighbourId, PEER_LINE_EXTRA, Server, Signal};
use crate::clock::Moment;
use crate::protocol::{Lost, Protocol};
use crate::store::{Cursor, Origin};
use crate::text::peer_line::{AcceptorLine, Epoch, Hello, write_mark};

/// A neighbour that was dialled.
#[derive(Debug)]
pub struct OutboundPeer {
    neighbour: NeighbourId,
    /// When input arrived last, or the connection was started.
    received_at: Moment,
    /// The connection was made, its TLS session included.
    is_made: bool,
    /// `None`: the neighbour has not sent WELCOME.
    link: Option<OutboundLink>,
    /// The link closes when everything is sent.
    shutting_down: bool,
    /// The beginning of an answer that is not WELCOME and has not ended.
    answer: Box<[u8]>,
    /// The reason why the link ends was logged, or is known.
    ended: bool,
}

#[derive(Debug)]
struct OutboundLink {
    cursor: Cursor,
    /// Statements of this origin came from the neighbour itself, and are not sent back.
    origin: Origin,
    /// The number of the last MARK; `None`: the first one is pending.
    marked: Option<u64>,
    /// When the last MARK was sent, or WELCOME arrived.
    marked_at: Moment,
    /// The number of the last ACK.
    acknowledged: Option<u64>,
    /// The MARK whose ACK is pending, for the round-trip time, and when it was sent.
    timed_mark: Option<(u64, Moment)>,
}

impl OutboundPeer {
    /// A neighbour that is being dialled.
    pub fn new(neighbour: NeighbourId, now: Moment) -> OutboundPeer {
        OutboundPeer {
            neighbour,
            received_at: now,
            is_made: false,
            link: None,
            shutting_down: false,
            answer: Box::default(),
            ended: false,
        }
    }

    /// Whether the connection was made, its TLS session included.
    pub(super) fn is_made(&self) -> bool {
        self.is_made
    }

    /// Carries out a line. The error is the reason to end the link.
    fn line_received(&mut self, context: &mut Context<'_>, line: &[u8]) -> Result<(), String> {
        match (AcceptorLine::parse(line), &mut self.link) {
            (Some(AcceptorLine::Welcome { name, epoch, since }), None) => {
                context.shared.log.received(line, context.address);
                self.welcomed(context, name, epoch, since)
            }
            (Some(AcceptorLine::Refused(reason)), None) => {
                context.shared.log.received(line, context.address);
                Err(format!("it refused: {}", shown(reason)))
            }
            // The number does not matter: the next WELCOME says how far the neighbour has got.
            (Some(AcceptorLine::Ack(sequence)), Some(link)) => {
                let known = context.shared.neighbours.get_mut(self.neighbour);
                known.acknowledged(sequence);
                if let Some((_, sent)) = link.timed_mark.take_if(|(mark, _)| *mark <= sequence) {
                    known.round_trip = Some(context.now - sent);
                }
                if link.acknowledged.is_none() {
                    // Not before: a neighbour that welcomes and hangs up at once must not be dialled without a
                    // pause.
                    context.shared.signals.push_back(Signal::LinkWorks(self.neighbour));
                }
                if link.acknowledged.replace(sequence) != Some(sequence) {
                    context.shared.log.received(line, context.address);
                }
                Ok(())
            }
            _ => Err(format!("'{}' was not understood", shown(line))),
        }
    }

    fn welcomed(
        &mut self,
        context: &mut Context<'_>,
        name: &[u8],
        epoch: Epoch,
        since: u64,
    ) -> Result<(), String> {
        let server = &mut *context.shared;
        let known = server.neighbours.get_mut(self.neighbour);
        if known.name.as_bytes() != name {
            return Err(format!("it calls itself '{}'", shown(name)));
        }
        if let (Some(keys), Some(peer)) = (&server.keys, context.tls) {
            // The session may be older than the keys, or resumed after its certificate has expired.
            keys.verify(peer).map_err(|error| error.to_string())?;
        }
        known.outbound = Some((context.id, epoch));
        (known.outbound_since, known.round_trip) = (context.now, None);
        // A number above that is of another time, and counts as 0.
        known.welcomed_with(if since > server.store.sequence() { 0 } else { since });
        known.forget_troubles();
        let how = if context.tls.is_some() { OVER_TLS } else { "" };
        server.log.event(format_args!("New connection to server {} was made{how}", known.name));
        self.link = Some(OutboundLink {
            cursor: server.store.follow(since),
            origin: server.neighbours.origin(self.neighbour, epoch),
            marked: None,
            marked_at: context.now,
            acknowledged: None,
            timed_mark: None,
        });
        context.transport.call_at_turn_end();
        Ok(())
    }

    fn mark(&mut self, context: &mut Context<'_>) {
        if let Some(link) = &mut self.link {
            let sequence = context.shared.store.seen(link.cursor);
            let output = context.transport.output();
            let start = output.len();
            write_mark(sequence, output);
            // A MARK that repeats its number is a heartbeat, and is not logged.
            if link.marked.replace(sequence) != Some(sequence) {
                link.timed_mark.get_or_insert((sequence, context.now));
                let name = &context.shared.neighbours.get(self.neighbour).name;
                context.shared.log.sent_to_server(name, &output[start..]);
            }
            link.marked_at = context.now;
        }
        self.set_deadline(context);
    }

    fn set_deadline(&self, context: &mut Context<'_>) {
        let silent_at = self.received_at + context.shared.silence;
        let heartbeat = context.shared.heartbeat();
        let mark_at = self.link.as_ref().map_or(Moment::NEVER, |link| link.marked_at + heartbeat);
        context.transport.set_deadline(silent_at.min(mark_at));
    }

    /// Ends the link, because the certificate of its peer is no longer accepted.
    pub(super) fn distrust(&mut self, context: &mut Context<'_>, reason: &str) {
        self.end(context, reason);
    }

    /// Logs why there is no link, once until the link is up.
    fn log_not_made(&self, context: &mut Context<'_>, reason: &str) {
        let known = context.shared.neighbours.get_mut(self.neighbour);
        if known.is_new_trouble(reason) {
            let name = &known.name;
            context.shared.log.event(format_args!("Connection to server {name} could not be made: {reason}"));
        }
    }

    fn end(&mut self, context: &mut Context<'_>, reason: &str) {
        self.ended = true;
        let known = context.shared.neighbours.get_mut(self.neighbour);
        if known.is_new_trouble(reason) {
            context.shared.log.event(format_args!("Connection to server {} is ended: {reason}", known.name));
        }
        context.transport.abort();
    }
}

impl OutboundLink {
    /// Sends changes while there is room. Returns whether a MARK is due: a change was sent, was passed over or was
    /// removed. One that came from the neighbour itself needs none.
    fn send_changes(&self, context: &mut Context<'_>, neighbour: NeighbourId) -> bool {
        let server = &mut *context.shared;
        let name = &server.neighbours.get(neighbour).name;
        // After limits.max_line was lowered, a neighbour would not take longer lines: they must not hold up
        // the others.
        let line_max = server.limits.max_line + PEER_LINE_EXTRA;
        let before = server.store.seen(self.cursor);
        let (mut sent, mut returned) = (false, false);
        for _ in 0..CHANGES_MAX {
            if !context.transport.has_room() {
                break;
            }
            let Some(change) = server.store.next_change(self.cursor) else {
                // The newest changes were removed.
                sent |= !returned && server.store.seen(self.cursor) != before;
                break;
            };
            returned = true;
            if change.origin == self.origin {
                continue;
            }
            sent = true;
            // The LF does not count.
            if change.line.len() > line_max + 1 {
                if let Some(not_logged) = server.passed_over.admit(context.now) {
                    let (shown, max_line) = (shown(change.line), server.limits.max_line);
                    server.log.event(format_args!(
                        "A statement is too long for limits.max_line ({max_line} and {PEER_LINE_EXTRA} bytes), and is not \
                         sent to server {name}: '{shown}...'{}",
                        NotLogged(not_logged)
                    ));
                }
                continue;
            }
            context.transport.write(change.line);
            server.log.sent_to_server(name, change.line);
        }
        sent
    }
}

impl Protocol for OutboundPeer {
    type Shared = Server;

    fn connection_made(&mut self, context: &mut Context<'_>) {
        self.is_made = true;
        if let Some(peer) = context.tls
            && !peer.has_name(&context.shared.neighbours.get(self.neighbour).name)
        {
            return self.end(context, &format!("its certificate is that of {}", Names(&peer.names)));
        }
        let identity = &context.shared.identity;
        let hello =
            Hello { herd: identity.herd.as_bytes(), name: identity.name.as_bytes(), epoch: identity.epoch };
        let output = context.transport.output();
        let start = output.len();
        hello.write(output);
        let name = &context.shared.neighbours.get(self.neighbour).name;
        context.shared.log.sent_to_server(name, &output[start..]);
        self.received_at = context.now;
        self.set_deadline(context);
    }

    fn data_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        self.received_at = context.now;
        let mut lines = Lines::new(data);
        while let Some(line) = lines.peek() {
            let result = if line.text.len() > LINE_MAX {
                Err("a line of its answer is too long".to_owned())
            } else if line.ended {
                self.line_received(context, line.text)
            } else {
                if self.link.is_none() {
                    self.answer = line.text[..line.text.len().min(SHOWN_MAX)].into();
                }
                break;
            };
            if let Err(reason) = result {
                self.end(context, &reason);
                return data.len();
            }
            lines.consume(line);
        }
        self.set_deadline(context);
        lines.used()
    }

    fn eof_received(&mut self, context: &mut Context<'_>, _rest: &[u8]) {
        if self.link.is_none() {
            if self.answer.is_empty() {
                self.log_not_made(context, "it hung up");
            } else {
                self.end(context, &format!("it answered '{}' and hung up", shown(&self.answer)));
            }
        }
        context.transport.abort();
    }

    fn timed_out(&mut self, context: &mut Context<'_>) {
        let silence = context.shared.silence;
        if context.now >= self.received_at + silence {
            let answered = match &*self.answer {
                b"" => String::new(),
                answer if self.link.is_none() => format!("it answered '{}', and ", shown(answer)),
                _ => String::new(),
            };
            self.end(context, &format!("{answered}nothing arrived for {silence:?}"));
        } else if self.link.is_none() {
            self.set_deadline(context);
        } else if context.transport.has_room() {
            self.mark(context);
        } else {
            // The output that is pending serves as the heartbeat.
            context.transport.set_deadline(self.received_at + silence);
        }
    }

    fn turn_ending(&mut self, context: &mut Context<'_>) -> bool {
        let Some(link) = &self.link else {
            return false;
        };
        let (cursor, is_first) = (link.cursor, link.marked.is_none());
        let sent = link.send_changes(context, self.neighbour);
        // The first MARK follows the changes that the neighbour lacks, once the cursor has found them.
        if sent || (is_first && !context.shared.store.is_searching(cursor)) {
            self.mark(context);
        } else if link.acknowledged.is_some() && link.acknowledged == link.marked {
            // The changes since the last MARK came from the neighbour itself.
            let seen = context.shared.store.seen(cursor);
            context.shared.neighbours.get_mut(self.neighbour).acknowledged(seen);
        }
        let store = &context.shared.store;
        let is_behind = store.seen(cursor) != store.sequence();
        if self.shutting_down && !is_behind {
            // Otherwise the neighbour could not tell that it has the changes that it sent itself, and they would be sent
            // to it after the next start.
            if self.link.as_ref().is_some_and(|link| link.marked != Some(context.shared.store.sequence())) {
                self.mark(context);
            }
            context.transport.close();
        }
        is_behind
    }

    fn shut_down(&mut self, context: &mut Context<'_>) {
        if self.link.is_none() {
            context.transport.close();
        }
        self.shutting_down = true;
    }

    fn connection_lost(&mut self, context: &mut Context<'_>, why: Lost) {
        let server = &mut *context.shared;
        if let Lost::NotSecured(_) = why {
            server.signals.push_back(Signal::NotTheNeighbour(self.neighbour));
        }
        let known = server.neighbours.get_mut(self.neighbour);
        known.outbound = known.outbound.filter(|outbound| outbound.0 != context.id);
        if let Some(link) = &self.link {
            known.outbound_since = context.now;
            server.store.unfollow(link.cursor);
            server.log.event(format_args!("Connection to server {} was dropped", known.name));
        } else if let Lost::NotMade(error) | Lost::NotSecured(error) | Lost::Failed(error) = why
            && !self.ended
        {
            self.log_not_made(context, &error.to_string());
        }
        // In all other cases this side has ended the attempt.
        context.shared.signals.push_back(Signal::LinkLost(self.neighbour));
    }
}

/// The beginning of a text that was not expected, for the log.
fn shown(text: &[u8]) -> std::slice::EscapeAscii<'_> {
    text[..text.len().min(SHOWN_MAX)].escape_ascii()
}

/// Changes that are looked at in one turn: skipping a million changes of the neighbour's own origin must not
/// delay other connections.
const CHANGES_MAX: u32 = 4096;
/// Bytes of a line of an acceptor: WELCOME and REFUSED are short.
const LINE_MAX: usize = 2048;
/// Bytes quoted in the log from a text that was not expected.
const SHOWN_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::conversation::Conversation;
    use crate::conversation::testing::Bench;
    use crate::protocol::Close;
    use crate::store::Retention;
    use crate::text::record::Statement;
    use std::time::Duration;

    const WELCOME: &[u8] = b"WELCOME Jaquez 0123456789abcdef 0\n";
    const EPOCH: Epoch = Epoch(0x0123_4567_89ab_cdef);

    fn dialled() -> Bench {
        let mut bench =
            Bench::new(Conversation::OutboundPeer(OutboundPeer::new(NeighbourId(0), Moment::START)));
        assert_eq!(bench.sent(), "HELLO herd/1 bruins Riley 00000000000000ee\n");
        bench
    }

    fn linked() -> Bench {
        let mut bench = dialled();
        bench.receive(WELCOME);
        bench
    }

    fn turn(bench: &mut Bench) -> String {
        bench.turn_ending();
        bench.sent()
    }

    fn line(id: &str, time: u32) -> String {
        format!("AT Riley +0.000000000 {id} +1-1 {time}\n")
    }

    #[test]
    fn a_neighbour_with_the_certificate_of_another_is_told_nothing() {
        for (name, reason) in [(Some("Juzang"), "that of Juzang"), (None, "that of no server")] {
            let mut bench = dialled().with_keys().over_tls(name);
            bench.connect();
            assert_eq!((bench.sent().as_str(), bench.closing()), ("", Some(Close::Abort)));
            assert!(
                bench
                    .log()
                    .contains(&format!("Connection to server Jaquez is ended: its certificate is {reason}"))
            );
        }
        let mut bench = dialled().with_keys().over_tls(Some("Jaquez, bad"));
        bench.report("a", 1, Origin::CLIENT);
        bench.receive(WELCOME);
        assert_eq!((turn(&mut bench).as_str(), bench.closing()), ("", Some(Close::Abort)));
    }

    #[test]
    fn a_link_ends_when_new_keys_do_not_accept_its_certificate() {
        for (name, closing) in [("Jaquez", None), ("Jaquez, bad", Some(Close::Abort))] {
            let mut bench = dialled().with_keys().over_tls(Some("Jaquez"));
            bench.receive(WELCOME);
            assert!(bench.log().contains("New connection to server Jaquez was made, over TLS"));
            let mut bench = bench.over_tls(Some(name));
            bench.verify_peer();
            assert_eq!(bench.closing(), closing);
        }
    }

    #[test]
    fn a_failed_handshake_is_reported_once_and_means_another_address() {
        let mut bench = dialled();
        let mut lose = || {
            bench.lose_because(Lost::NotSecured(std::io::Error::other("its certificate has another name")));
            bench.signals()
        };
        for _ in 0..2 {
            let expected = [Signal::NotTheNeighbour(NeighbourId(0)), Signal::LinkLost(NeighbourId(0))];
            assert_eq!(lose(), expected);
        }
        let event = "Connection to server Jaquez could not be made: its certificate has another name";
        assert_eq!(bench.log().matches(event).count(), 1);
        bench.lose();
        assert_eq!(bench.signals(), [Signal::LinkLost(NeighbourId(0))]);
    }

    #[test]
    fn changes_after_the_cursor_are_sent_with_a_mark() {
        let mut bench = linked();
        assert_eq!(turn(&mut bench), "MARK 0\n", "even if there is no change");
        assert_eq!(turn(&mut bench), "");
        bench.report("a", 1, Origin::CLIENT);
        bench.report("b", 1, Origin::CLIENT);
        bench.report("a", 2, Origin::CLIENT);
        assert_eq!(turn(&mut bench), format!("{}{}MARK 3\n", line("b", 1), line("a", 2)));
        assert_eq!(turn(&mut bench), "");
    }

    #[test]
    fn the_first_mark_follows_the_missed_changes() {
        let mut bench = dialled();
        let ids: Vec<String> = (0..50).map(|number| format!("client-{number}")).collect();
        ids.iter().for_each(|id| bench.report(id, 1, Origin::CLIENT));
        bench.receive(b"WELCOME Jaquez 0123456789abcdef 1\n");
        assert_eq!(turn(&mut bench), "", "the cursor searches its place");
        let sent: String = (0..50).map(|_| turn(&mut bench)).collect();
        let missed: String = ids[1..].iter().map(|id| line(id, 1)).collect();
        assert_eq!(sent, format!("{missed}MARK 50\n"));
    }

    #[test]
    fn after_a_broken_link_only_new_changes_are_sent() {
        let mut bench = dialled();
        bench.report("a", 1, Origin::CLIENT);
        bench.report("b", 1, Origin::CLIENT);
        bench.receive(b"WELCOME Jaquez 0123456789abcdef 1\n");
        assert_eq!(turn(&mut bench), format!("{}MARK 2\n", line("b", 1)));
        let mut bench = dialled();
        bench.report("a", 1, Origin::CLIENT);
        bench.receive(b"WELCOME Jaquez 0123456789abcdef 99\n");
        assert_eq!(
            turn(&mut bench),
            format!("{}MARK 1\n", line("a", 1)),
            "a number from the future counts as 0"
        );
    }

    #[test]
    fn statements_are_not_sent_back_to_their_incarnation() {
        let mut bench = linked();
        turn(&mut bench);
        let own = bench.server.neighbours.origin(NeighbourId(0), EPOCH);
        let earlier = bench.server.neighbours.origin(NeighbourId(0), Epoch(1));
        bench.report("a", 1, own);
        assert_eq!(turn(&mut bench), "");
        bench.report("b", 1, earlier);
        assert_eq!(turn(&mut bench), format!("{}MARK 2\n", line("b", 1)));
    }

    #[test]
    fn a_gone_is_sent_and_a_statement_that_is_over_is_not() {
        let mut bench = linked();
        bench.server.set_limits(Limits { expire_s: 3, ..bench.server.limits.clone() });
        turn(&mut bench);
        let lines = [
            "AT Riley +0.000000000 a +1-1 1621464829\n",
            "AT Riley +0.000000000 b +1-1 1621464827.5\n",
            "GONE Riley +0.000000000 c 1621464829.000000000\n",
        ];
        for line in lines {
            let statement = Statement::parse(line.trim_end().as_bytes()).unwrap();
            bench.server.store.report(&statement, line.as_bytes(), Origin::CLIENT);
        }
        bench.wall += 1_000_000_000;
        assert_eq!(turn(&mut bench), format!("{}{}MARK 3\n", lines[0], lines[2]));
        bench.wall += 10_000_000_000;
        let line = "AT Riley +0.000000000 d +1-1 1621464830\n";
        let statement = Statement::parse(line.trim_end().as_bytes()).unwrap();
        bench.server.set_time(1_621_464_830_000_000_000);
        bench.server.store.report(&statement, line.as_bytes(), Origin::CLIENT);
        assert_eq!(turn(&mut bench), "MARK 4\n", "what is over is acknowledged all the same");
    }

    #[test]
    fn a_removed_change_is_marked_at_once() {
        let mut bench = linked();
        turn(&mut bench);
        bench.report("a", 1, Origin::CLIENT);
        bench.server.store.set_retention(Retention { at_s: 1, gone_s: 0 });
        bench.server.store.set_time(u64::MAX);
        assert!(!bench.server.store.sweep(|removed| assert_eq!(removed.id, b"a")));
        bench.server.store.set_retention(Retention::default());
        assert_eq!(turn(&mut bench), "MARK 1\n");
        assert_eq!(turn(&mut bench), "");
        bench.server.limits.max_line = 64;
        bench.report(&"x".repeat(64 + PEER_LINE_EXTRA), 1, Origin::CLIENT);
        assert_eq!(turn(&mut bench), "MARK 2\n", "so is one that is too long");
        let own = bench.server.neighbours.origin(NeighbourId(0), EPOCH);
        bench.report("b", 1, own);
        assert_eq!(turn(&mut bench), "", "the heartbeat marks those of the neighbour itself");
    }

    #[test]
    fn a_slow_neighbour_receives_batch_by_batch() {
        let mut bench = linked().with_marks(100, 10);
        for i in 0..20 {
            bench.report(&format!("c{i}"), 1, Origin::CLIENT);
        }
        bench.turn_ending();
        let waiting = bench.pending();
        assert!(waiting > 100 && waiting < 200);
        bench.turn_ending();
        assert_eq!(bench.pending(), waiting, "nothing more before there is room");
        // Changes of one client meanwhile are coalesced.
        for time in 2..9 {
            bench.report("c19", time, Origin::CLIENT);
        }
        let mut received = bench.sent();
        while !received.ends_with("MARK 27\n") {
            received += &turn(&mut bench);
        }
        assert_eq!(received.matches("c19 ").count(), 1);
        assert_eq!(received.matches("AT ").count(), 20);
    }

    #[test]
    fn an_idle_link_has_heartbeats_and_a_silent_one_ends() {
        let mut bench = linked();
        turn(&mut bench);
        let start = bench.now;
        assert_eq!(bench.deadline(), start + Duration::from_secs(1));
        bench.now = start + Duration::from_secs(1);
        bench.time_out();
        assert_eq!(bench.sent(), "MARK 0\n");
        bench.now = start + Duration::from_secs(2);
        bench.receive(b"ACK 0 and more\n");
        assert_eq!(bench.deadline(), start + Duration::from_secs(2));
        bench.now = start + Duration::from_secs(5);
        bench.time_out();
        assert_eq!(bench.closing(), Some(Close::Abort));
    }

    #[test]
    fn a_raised_silence_counts_before_the_welcome_too() {
        let mut bench = dialled();
        let start = bench.now;
        bench.now = bench.deadline();
        bench.server.silence = Duration::from_secs(60);
        bench.time_out();
        assert_eq!((bench.closing(), bench.deadline()), (None, start + Duration::from_secs(60)));
    }

    #[test]
    fn an_answer_other_than_welcome_ends_the_link() {
        for answer in [
            "WELCOME Bernard 0123456789abcdef 0\n",
            "REFUSED no\n",
            "? HELLO\n",
            "ACK 0\n",
            "\n",
            "WELCOME Jaquez\n",
        ] {
            let mut bench = dialled();
            bench.report("a", 1, Origin::CLIENT);
            bench.receive(answer.as_bytes());
            assert_eq!(bench.closing(), Some(Close::Abort), "{answer:?}");
            assert_eq!(turn(&mut bench), "", "nothing is sent");
        }
        let mut bench = dialled();
        bench.now = bench.now + Duration::from_secs(3);
        bench.time_out();
        assert_eq!(bench.closing(), Some(Close::Abort));
    }

    #[test]
    fn an_answer_other_than_welcome_is_logged_with_why_the_link_ended() {
        let server = dialled().into_server();
        let attempt = |server: Server, act: &dyn Fn(&mut Bench)| {
            let mut bench = dialled();
            bench.server = server;
            act(&mut bench);
            bench.lose();
            (bench.log(), bench.into_server())
        };
        let refused = |bench: &mut Bench| bench.receive(b"? HELLO herd/1\n");
        // An earlier trouble of another kind does not hide it.
        let (_, server) = attempt(server, &|bench| bench.eof());
        let (_, server) = attempt(server, &refused);
        let (_, server) = attempt(server, &refused);
        let (_, server) = attempt(server, &|bench| {
            bench.receive(b"\x15\x03");
            bench.eof();
        });
        let (log, _) = attempt(server, &|bench| {
            bench.receive(b"220 mail");
            bench.now = bench.now + Duration::from_secs(3);
            bench.time_out();
        });
        let events: Vec<&str> = log.lines().filter(|line| line.contains(" to server Jaquez ")).collect();
        let events: Vec<&str> = events.into_iter().filter(|line| !line.contains("'HELLO")).collect();
        let reasons = [
            "could not be made: it hung up",
            "is ended: '? HELLO herd/1' was not understood",
            "is ended: it answered '\\x15\\x03' and hung up",
            "is ended: it answered '220 mail', and nothing arrived for 3s",
        ];
        assert_eq!(events.len(), reasons.len(), "{log}");
        events.iter().zip(reasons).for_each(|(event, reason)| assert!(event.ends_with(reason), "{event}"));
    }

    #[test]
    fn a_statement_that_is_too_long_is_not_sent_and_logged() {
        let mut bench = linked();
        bench.server.limits.max_line = 64;
        let long = "x".repeat(64 + PEER_LINE_EXTRA - line("", 1).len() + 1);
        bench.report(&long, 1, Origin::CLIENT);
        bench.report(&format!("{long}x"), 1, Origin::CLIENT);
        bench.report("b", 1, Origin::CLIENT);
        assert_eq!(turn(&mut bench), format!("{}{}MARK 3\n", line(&long, 1), line("b", 1)));
        let log = bench.log();
        assert_eq!(
            log.matches("too long for limits.max_line (64 and 1024 bytes), and is not sent to server Jaquez")
                .count(),
            1
        );
    }

    #[test]
    fn an_over_long_line_ends_the_link_however_it_is_split() {
        for (length, ending) in [(LINE_MAX, None), (LINE_MAX + 1, Some(Close::Abort))] {
            let welcome = format!("{:x<length$}", "WELCOME Jaquez 0123456789abcdef 0 ");
            let (mut whole, mut unended, mut bytes) = (dialled(), dialled(), dialled());
            whole.receive(format!("{welcome}\n").as_bytes());
            unended.receive(welcome.as_bytes());
            welcome.bytes().chain(*b"\n").for_each(|byte| bytes.receive(&[byte]));
            assert_eq!([whole.closing(), unended.closing(), bytes.closing()], [ending; 3], "{length} bytes");
        }
    }

    #[test]
    fn a_lost_link_leaves_no_cursor_and_is_reported() {
        let mut bench = linked();
        let outbound = |bench: &Bench| bench.server.neighbours.get(NeighbourId(0)).outbound;
        assert_eq!(outbound(&bench), Some((bench.id, EPOCH)));
        bench.lose();
        assert_eq!((outbound(&bench), bench.server.store.cursors()), (None, 0));
        assert_eq!(bench.signals(), [Signal::LinkLost(NeighbourId(0))]);
        assert!(bench.log().contains("Connection to server Jaquez was dropped"));
    }

    #[test]
    fn a_link_works_once_the_neighbour_has_acknowledged() {
        let mut bench = linked();
        assert_eq!(bench.signals(), []);
        bench.receive(b"ACK 0\nACK 1\n");
        assert_eq!(bench.signals(), [Signal::LinkWorks(NeighbourId(0))]);
    }

    #[test]
    fn at_shutdown_everything_is_sent_first() {
        let mut bench = linked().with_marks(100, 10);
        for i in 0..20 {
            bench.report(&format!("c{i}"), 1, Origin::CLIENT);
        }
        bench.shut_down();
        let mut sent = String::new();
        while bench.closing().is_none() {
            sent += &turn(&mut bench);
        }
        assert_eq!(sent.matches("AT ").count(), 20);
        let mut unwelcomed = dialled();
        unwelcomed.shut_down();
        assert_eq!(unwelcomed.closing(), Some(Close::Drain));
    }

    #[test]
    fn at_shutdown_the_last_mark_covers_what_was_not_sent_back() {
        let mut bench = linked();
        turn(&mut bench);
        let own = bench.server.neighbours.origin(NeighbourId(0), EPOCH);
        bench.report("a", 1, own);
        assert_eq!(turn(&mut bench), "");
        bench.shut_down();
        assert_eq!((turn(&mut bench).as_str(), bench.closing()), ("MARK 1\n", Some(Close::Drain)));
    }

    #[test]
    fn a_repeated_problem_is_logged_once() {
        let mut bench = dialled();
        bench.eof();
        bench.lose();
        let mut again = dialled();
        again.server = bench.into_server();
        again.eof();
        again.lose();
        assert_eq!(again.log().matches("could not be made: it hung up").count(), 1);
    }

    #[test]
    fn an_attempt_that_this_side_ends_is_no_problem_of_the_neighbour() {
        let mut bench = dialled();
        bench.lose();
        assert!(!bench.log().contains("could not be made"), "{}", bench.log());
        assert_eq!(bench.signals(), [Signal::LinkLost(NeighbourId(0))]);
    }

    #[test]
    fn the_backlog_is_what_the_neighbour_has_not_acknowledged() {
        let backlog = |bench: &Bench| {
            let (known, store) = (bench.server.neighbours.get(NeighbourId(0)), &bench.server.store);
            (known.unacknowledged(store.sequence(), store.records()), known.was_reached)
        };
        let mut bench = dialled();
        bench.report("a", 1, Origin::CLIENT);
        bench.report("a", 2, Origin::CLIENT);
        bench.report("b", 1, Origin::CLIENT);
        assert_eq!(backlog(&bench), (2, false), "no more than there are records");
        bench.receive(b"WELCOME Jaquez 0123456789abcdef 2\n");
        assert_eq!(backlog(&bench), (1, false));
        turn(&mut bench);
        bench.receive(b"ACK 3\n");
        assert_eq!(backlog(&bench), (0, true));
        // A statement that came from the neighbour needs no MARK, and is no backlog.
        let origin = bench.server.neighbours.origin(NeighbourId(0), EPOCH);
        bench.report("c", 1, origin);
        assert_eq!((turn(&mut bench).as_str(), backlog(&bench)), ("", (0, true)));
        bench.report("d", 1, Origin::CLIENT);
        turn(&mut bench);
        bench.lose();
        assert_eq!(backlog(&bench), (1, true), "it grows while the link is down");
        // A WELCOME with a number that was never given.
        let mut other = dialled();
        other.report("a", 1, Origin::CLIENT);
        other.receive(b"WELCOME Jaquez 0123456789abcdef 9\n");
        assert_eq!(backlog(&other).0, 1);
    }

    #[test]
    fn the_round_trip_is_that_of_a_mark_with_a_new_number() {
        let round_trip = |bench: &Bench| bench.server.neighbours.get(NeighbourId(0)).round_trip;
        let mut bench = linked();
        bench.report("a", 1, Origin::CLIENT);
        turn(&mut bench);
        bench.now = bench.now + Duration::from_millis(7);
        bench.receive(b"ACK 0\n");
        assert_eq!(round_trip(&bench), None, "the ACK is of an earlier MARK");
        bench.receive(b"ACK 1\n");
        assert_eq!(round_trip(&bench), Some(Duration::from_millis(7)));
        bench.now = bench.now + Duration::from_secs(1);
        bench.receive(b"ACK 1\n");
        assert_eq!(round_trip(&bench), Some(Duration::from_millis(7)), "a heartbeat");
    }
}
