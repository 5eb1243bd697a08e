//! The conversation with a neighbour that dialled this server: it tells what it knows
//! (docs/protocol.md, section 2).

use std::time::Duration;

use super::{Context, Lost, Message, NeighbourId, PEER_LINE_EXTRA, Protocol, Request, first_line, prefetch};
use crate::clock::Moment;
use crate::store::{Origin, PREFETCH_MAX};
use crate::text::peer_line::{Epoch, HELLO_MAX, Hello, parse_mark, write_ack, write_refused, write_welcome};
use crate::text::record::Statement;

/// A neighbour that dialled.
#[derive(Debug)]
pub struct InboundPeer {
    state: State,
    /// Whose link it is, once it was welcomed.
    neighbour: Option<NeighbourId>,
}

#[derive(Debug)]
enum State {
    /// Its HELLO is not complete. It began at this moment.
    Greeting(Moment),
    /// It was welcomed.
    Linked(Link),
    /// The link ends; what still comes is thrown away.
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    neighbour: NeighbourId,
    epoch: Epoch,
    origin: Origin,
    /// When something arrived last.
    heard: Moment,
    /// When it was last told how much of it is held, or welcomed.
    told: Moment,
    /// What it was told then; none yet.
    acknowledged: Option<u64>,
    /// Since when a MARK has not been answered.
    owes_since: Option<Moment>,
}

impl InboundPeer {
    /// A neighbour whose HELLO began at `since`.
    pub fn new(since: Moment) -> InboundPeer {
        InboundPeer { state: State::Greeting(since), neighbour: None }
    }

    fn hello_received(&mut self, context: &mut Context<'_>, since: Moment, line: &[u8]) {
        context.server.log.received(line, context.address);
        if context.now > since + HELLO_TIMEOUT {
            return self.refuse(context, TOO_SLOW);
        }
        let (neighbour, epoch) = match may_link(context, line) {
            Ok(found) => found,
            Err(reason) => return self.refuse(context, reason),
        };
        let server = &mut *context.server;
        let known = server.neighbours.get_mut(neighbour);
        let since = known.held(epoch);
        known.hold(epoch, since);
        if let Some(older) = known.accepted.replace(context.id) {
            server.requests.push_back(Request::Abort(older));
        }
        server.requests.push_back(Request::Linked(context.id));
        server.requests.push_back(Request::Dial { neighbour, epoch });
        server.log.event(format_args!("New connection from server {} was made", known.name));
        let output = context.transport.output();
        let start = output.len();
        write_welcome(server.identity.name.as_bytes(), server.identity.epoch, since, output);
        server.log.sent_to_server(&known.name, &output[start..]);
        let origin = server.neighbours.origin(neighbour, epoch);
        self.neighbour = Some(neighbour);
        self.state = State::Linked(Link {
            neighbour,
            epoch,
            origin,
            heard: context.now,
            told: context.now,
            acknowledged: None,
            owes_since: None,
        });
    }

    fn refuse(&mut self, context: &mut Context<'_>, reason: &str) {
        let output = context.transport.output();
        let start = output.len();
        write_refused(reason, output);
        context.server.log.sent_to_client(&output[start..]);
        let (host, port) = (context.address.ip(), context.address.port());
        context.server.log.event(format_args!("A HELLO from ({host}, {port}) is refused: {reason}"));
        self.state = State::Over;
        context.transport.close();
    }

    fn end(&mut self, context: &mut Context<'_>, link: Link, reason: std::fmt::Arguments<'_>) {
        let name = &context.server.neighbours.get(link.neighbour).name;
        context.server.log.event(format_args!("Connection from server {name} is ended: {reason}"));
        context.transport.abort();
    }

    /// Takes in a line, given without and with its LF. Whether it was understood.
    fn line_received(context: &mut Context<'_>, link: &mut Link, line: &[u8], whole: &[u8]) -> bool {
        let server = &mut *context.server;
        if let Some(statement) = Statement::parse(line) {
            server.log.received(line, context.address);
            server.hear(&statement, whole, link.origin);
            return true;
        }
        let Some(sequence) = parse_mark(line) else {
            return false;
        };
        let known = server.neighbours.get_mut(link.neighbour);
        let is_news = known.held(link.epoch) != sequence;
        known.hold(link.epoch, sequence);
        if is_news {
            server.log.received(line, context.address);
        }
        if link.acknowledged.is_none() {
            link.owes_since = Some(context.now);
            acknowledge(context, link);
        } else {
            link.owes_since = link.owes_since.or(Some(context.now));
        }
        true
    }

    /// If it is time to tell how much is held, does so: a neighbour whose bytes trickle in, or never cease, must
    /// not take this side for dead.
    fn acknowledge_in_time(context: &mut Context<'_>, link: &mut Link) {
        if context.now < link.next_acknowledgement(context.server.heartbeat()) {
            return;
        }
        if context.transport.has_room() {
            acknowledge(context, link);
        } else {
            // Not again at once: what is owed waits until there is room.
            link.told = context.now;
            link.owes_since = link.owes_since.and(Some(context.now));
        }
    }

    fn set_deadline(context: &mut Context<'_>, link: &Link) {
        let next = link.next_acknowledgement(context.server.heartbeat());
        context.transport.set_deadline((link.heard + context.server.silence).min(next));
    }
}

impl Link {
    /// When it is told next how much is held.
    fn next_acknowledgement(&self, heartbeat: Duration) -> Moment {
        let owed = self.owes_since.map_or(Moment::NEVER, |since| since + ACKNOWLEDGED_WITHIN);
        owed.min(self.told + heartbeat)
    }
}

/// Tells how much is held. A heartbeat, which says nothing new, is not logged.
fn acknowledge(context: &mut Context<'_>, link: &mut Link) {
    let server = &mut *context.server;
    let known = server.neighbours.get(link.neighbour);
    let output = context.transport.output();
    let start = output.len();
    let held = known.held(link.epoch);
    write_ack(held, output);
    if link.owes_since.take().is_some() && link.acknowledged.replace(held) != Some(held) {
        server.log.sent_to_server(&known.name, &output[start..]);
    }
    link.told = context.now;
}

/// Who says HELLO, in which life, or why it may not link.
fn may_link(context: &Context<'_>, line: &[u8]) -> Result<(NeighbourId, Epoch), &'static str> {
    let hello = Hello::parse(line)?;
    if hello.herd != context.server.identity.herd.as_bytes() {
        return Err("this server is of another herd");
    }
    let neighbour =
        context.server.neighbours.find(hello.name).ok_or("no neighbour of this server has that name")?;
    if !context.address.ip().to_canonical().is_loopback() {
        return Err("links in plain text are allowed from loopback addresses only");
    }
    Ok((neighbour, hello.epoch))
}

impl Protocol for InboundPeer {
    fn connection_made(&mut self, context: &mut Context<'_>) {
        if let State::Greeting(since) = self.state {
            context.transport.set_deadline(since + HELLO_TIMEOUT);
        }
    }

    fn data_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let line_max = context.server.limits.max_line + PEER_LINE_EXTRA;
        let (mut used, mut ahead) = (0, 0);
        if let State::Linked(link) = &mut self.state {
            link.heard = context.now;
        }
        while used < data.len() {
            let rest = &data[used..];
            let line = first_line(rest);
            let length = line.map_or(rest.len(), |line| line.0.len());
            if ahead == 0 {
                ahead = PREFETCH_MAX;
                prefetch(context, rest, 3);
            }
            ahead -= 1;
            match &mut self.state {
                State::Greeting(_) if length > HELLO_MAX => {
                    self.refuse(context, "a HELLO has at most 1024 bytes");
                }
                State::Greeting(since) => {
                    let Some((line, length)) = line else {
                        return used;
                    };
                    used += length;
                    let since = *since;
                    self.hello_received(context, since, line);
                }
                State::Linked(link) if length > line_max => {
                    let link = *link;
                    self.end(context, link, format_args!("a line has more than {line_max} bytes"));
                    self.state = State::Over;
                }
                State::Linked(link) => {
                    let Some((line, length)) = line else { break };
                    if !context.transport.has_room() {
                        context.transport.pause_reading();
                        break;
                    }
                    if !InboundPeer::line_received(context, link, line, &rest[..length]) {
                        let link = *link;
                        let line = line[..line.len().min(SHOWN_MAX)].escape_ascii();
                        self.end(context, link, format_args!("'{line}' was not understood"));
                        self.state = State::Over;
                    }
                    used += length;
                }
                State::Over => return data.len(),
            }
        }
        if let State::Linked(link) = &mut self.state {
            // Here and not only when the time is up: that waits for as long as more has arrived.
            InboundPeer::acknowledge_in_time(context, link);
            InboundPeer::set_deadline(context, link);
        }
        used
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
                if context.now >= link.heard + context.server.silence {
                    let (link, silence) = (*link, context.server.silence);
                    self.end(context, link, format_args!("nothing arrived for {silence:?}"));
                    return;
                }
                InboundPeer::acknowledge_in_time(context, link);
                InboundPeer::set_deadline(context, link);
            }
            State::Over => {}
        }
    }

    fn told(&mut self, context: &mut Context<'_>, message: Message) {
        if let Message::Stop = message {
            context.transport.close();
        }
    }

    fn connection_lost(&mut self, context: &mut Context<'_>, _why: Lost) {
        let Some(id) = self.neighbour else {
            let (host, port) = (context.address.ip(), context.address.port());
            context.server.log.event(format_args!("Connection from ({host}, {port}) was dropped"));
            return;
        };
        let known = context.server.neighbours.get_mut(id);
        // A newer link may have taken its place.
        known.accepted = known.accepted.filter(|&accepted| accepted != context.id);
        context.server.log.event(format_args!("Connection from server {} was dropped", known.name));
    }
}

/// How long a MARK waits for those behind it, which are answered with the same ACK: each costs both sides as much
/// as a statement. Of the first one of a link a neighbour makes more, so that does not wait; any other is no more
/// than a sign of life.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_millis(20);
const TOO_SLOW: &str = "a HELLO must be complete within 2 s";
/// A HELLO must be complete so long after its first byte: a neighbour sends it in one packet.
const HELLO_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of a line that was not understood that are shown in the log.
const SHOWN_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::testing::Bench;
    use crate::protocol::{Client, Conversation, Ending};

    const HELLO: &str = "HELLO herd/1 bruins Jaquez 0123456789abcdef\n";
    const AT: &str = "AT Campbell +0.100000000 kiwi +1-1 5\n";

    fn dialled() -> Bench {
        Bench::new(Conversation::Client(Client::newcomer()))
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
        assert!(matches!(bench.requests()[..], [Request::Linked(_), Request::Dial { .. }]));
        assert_eq!(bench.server.neighbours.get(NeighbourId(0)).accepted, Some(bench.id));
    }

    #[test]
    fn what_it_tells_is_stored_and_acknowledged() {
        let mut bench = linked();
        bench.receive(format!("{AT}MARK 7\n").as_bytes());
        assert_eq!(bench.sent(), "ACK 7\n");
        assert_eq!(bench.server.store.get(b"kiwi").unwrap(), AT.as_bytes());
        let mut again = dialled();
        again.server = bench.into_server();
        again.receive(HELLO.as_bytes());
        assert_eq!(again.sent(), "WELCOME Riley 00000000000000ee 7\n");
        let mut reborn = dialled();
        reborn.server = again.into_server();
        reborn.receive(b"HELLO herd/1 bruins Jaquez ffffffffffffffff\n");
        assert_eq!(reborn.sent(), "WELCOME Riley 00000000000000ee 0\n");
    }

    #[test]
    fn marks_that_follow_closely_are_answered_together() {
        let mut bench = linked();
        let start = bench.now;
        bench.receive(b"MARK 1\nMARK 2\nMARK 3\n");
        assert_eq!(bench.sent(), "ACK 1\n");
        assert_eq!(bench.deadline(), start + ACKNOWLEDGED_WITHIN);
        bench.now = start + ACKNOWLEDGED_WITHIN / 2;
        bench.receive(b"MARK 4\n");
        bench.now = start + ACKNOWLEDGED_WITHIN;
        assert_eq!((bench.sent().as_str(), bench.deadline()), ("", bench.now));
        bench.time_out();
        assert_eq!(bench.sent(), "ACK 4\n");
        assert_eq!(bench.deadline(), bench.now + bench.server.heartbeat());
    }

    #[test]
    fn an_ack_does_not_wait_for_a_pause() {
        let mut bench = linked();
        bench.receive(b"MARK 1\nMARK 2\n");
        bench.sent();
        bench.now = bench.now + ACKNOWLEDGED_WITHIN;
        bench.receive(format!("{AT}MARK 3\nAT Camp").as_bytes());
        assert_eq!(bench.sent(), "ACK 3\n");
        bench.now = bench.now + bench.server.heartbeat();
        bench.receive(b"bell");
        assert_eq!(bench.sent(), "ACK 3\n", "a sign of life");
    }

    #[test]
    fn an_ack_without_room_waits_for_its_next_time() {
        let mut bench = linked();
        bench.receive(b"MARK 1\nMARK 2\n");
        let mut bench = bench.with_marks(1, 0);
        bench.now = bench.deadline();
        bench.time_out();
        assert_eq!(bench.deadline(), bench.now + ACKNOWLEDGED_WITHIN, "not at once and for ever");
        assert_eq!(bench.sent(), "ACK 1\n", "nothing is written without room");
        bench.now = bench.deadline();
        bench.time_out();
        assert_eq!(bench.sent(), "ACK 2\n");
    }

    #[test]
    fn what_it_tells_is_known_by_its_name_and_life() {
        let mut bench = linked();
        bench.receive(AT.as_bytes());
        let cursor = bench.server.store.follow(0);
        let origin = bench.server.store.next_change(cursor).unwrap().origin;
        assert_eq!(origin, bench.server.neighbours.origin(NeighbourId(0), Epoch(0x0123_4567_89ab_cdef)));
        assert_ne!(origin, bench.server.neighbours.origin(NeighbourId(0), Epoch(1)));
    }

    #[test]
    fn refusals() {
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
            assert_eq!(bench.ending(), Ending::Closing);
            assert!(bench.server.store.is_empty(), "nothing is learned");
        }
    }

    #[test]
    fn strangers_from_elsewhere_are_refused() {
        let mut bench = dialled();
        bench.address = "192.0.2.1:5".parse().unwrap();
        bench.receive(HELLO.as_bytes());
        assert!(bench.sent().starts_with("REFUSED links in plain text"));
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
            (bench.sent().as_str(), bench.ending()),
            ("REFUSED a HELLO must be complete within 2 s\n", Ending::Closing)
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
    fn fields_of_later_versions_are_ignored_but_in_at_lines() {
        let mut bench = dialled();
        bench.receive(b"HELLO herd/1 bruins Jaquez 0123456789abcdef and more\nMARK 3 and more\n");
        assert_eq!(bench.sent(), "WELCOME Riley 00000000000000ee 0\nACK 3\n");
        bench.receive(b"AT Campbell +0.100000000 kiwi +1-1 5 more\n");
        assert_eq!(bench.ending(), Ending::Aborting);
    }

    #[test]
    fn what_is_not_understood_ends_the_link() {
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
            assert_eq!(bench.ending(), Ending::Aborting, "{line:?}");
            assert!(bench.server.store.is_empty());
        }
        let mut bench = linked();
        bench.receive(&[b'x'; 8192 + PEER_LINE_EXTRA + 1]);
        assert_eq!(bench.ending(), Ending::Aborting);
    }

    #[test]
    fn silence_ends_the_link_and_slowness_does_not() {
        let mut bench = linked();
        let start = bench.now;
        bench.now = start + Duration::from_secs(1);
        bench.receive(b"AT Camp");
        bench.time_out();
        assert_eq!((bench.sent().as_str(), bench.ending()), ("ACK 0\n", Ending::Open), "a sign of life");
        bench.now = start + Duration::from_secs(4);
        bench.time_out();
        assert_eq!(bench.ending(), Ending::Aborting);
    }

    #[test]
    fn a_newer_link_replaces_the_older_one() {
        let mut older = linked();
        older.requests();
        let older_id = older.id;
        let mut newer = dialled();
        newer.id.generation += 1;
        newer.server = older.into_server();
        newer.receive(HELLO.as_bytes());
        assert!(newer.requests().iter().any(|r| matches!(r, Request::Abort(id) if *id == older_id)));
    }

    #[test]
    fn pieces_do_not_matter() {
        let mut bench = dialled();
        for byte in format!("{HELLO}{AT}MARK 7\n").bytes() {
            bench.receive(&[byte]);
        }
        assert_eq!(bench.sent(), "WELCOME Riley 00000000000000ee 0\nACK 7\n");
        assert_eq!(bench.server.store.get(b"kiwi").unwrap(), AT.as_bytes());
    }
}
