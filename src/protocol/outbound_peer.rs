//! The conversation with a neighbour that this server dialled: it is told what this server knows
//! (docs/protocol.md, section 2).
//!
//! Nothing is queued for a neighbour. A cursor into the store's list of changes says what it has;
//! what lies behind the cursor is told while the transport has room. Flooding, catching up after a
//! break and the first transfer to a new server are this one act.

use super::{Context, Dialled, Lost, Message, NeighbourId, PEER_LINE_EXTRA, Protocol, Request, first_line};
use crate::clock::Moment;
use crate::store::{Cursor, Origin};
use crate::text::peer_line::{AcceptorLine, Hello, write_mark};

/// A neighbour that was dialled.
#[derive(Debug)]
pub struct OutboundPeer {
    neighbour: NeighbourId,
    /// When something arrived last, or the connection was begun.
    heard: Moment,
    link: Option<Link>,
}

/// What is known once the neighbour has said WELCOME.
#[derive(Debug)]
struct Link {
    cursor: Cursor,
    /// What it told itself in this life need not be told back.
    origin: Origin,
    /// The number of the last MARK; none yet: it is owed one.
    marked: Option<u64>,
    /// When that was.
    marked_at: Moment,
    /// The number of the last ACK.
    acknowledged: Option<u64>,
}

impl OutboundPeer {
    /// A neighbour that is being dialled.
    pub fn new(neighbour: NeighbourId, now: Moment) -> OutboundPeer {
        OutboundPeer { neighbour, heard: now, link: None }
    }

    /// Whether the line was understood and the link goes on, or why it does not.
    fn line_received(&mut self, context: &mut Context<'_>, line: &[u8]) -> Result<(), String> {
        let shown = || line[..line.len().min(SHOWN_MAX)].escape_ascii();
        match (AcceptorLine::parse(line), &mut self.link) {
            (Some(AcceptorLine::Welcome { name, epoch, since }), None) => {
                let server = &mut *context.server;
                server.log.received(line, context.address);
                let known = server.neighbours.get_mut(self.neighbour);
                if known.name.as_bytes() != name {
                    return Err(format!(
                        "it calls itself '{}'",
                        name[..name.len().min(SHOWN_MAX)].escape_ascii()
                    ));
                }
                known.dialled = Dialled::Up(context.id, epoch);
                known.trouble_logged = false;
                server.log.event(format_args!("New connection to server {} was made", known.name));
                let cursor = server.store.follow(since);
                let origin = server.neighbours.origin(self.neighbour, epoch);
                self.link =
                    Some(Link { cursor, origin, marked: None, marked_at: context.now, acknowledged: None });
                Ok(())
            }
            (Some(AcceptorLine::Refused(reason)), None) => {
                context.server.log.received(line, context.address);
                Err(format!("it refused: {}", reason[..reason.len().min(SHOWN_MAX)].escape_ascii()))
            }
            // That it lives is all that matters: what it holds, it says in its next WELCOME.
            (Some(AcceptorLine::Ack(sequence)), Some(link)) => {
                if link.acknowledged.is_none() {
                    // Not before: one that welcomes, or refuses, and hangs up at once must not be stormed.
                    context.server.neighbours.get_mut(self.neighbour).reset_delay();
                }
                if link.acknowledged.replace(sequence) != Some(sequence) {
                    context.server.log.received(line, context.address);
                }
                Ok(())
            }
            _ => Err(format!("'{}' was not understood", shown())),
        }
    }

    fn mark(&mut self, context: &mut Context<'_>) {
        let Some(link) = &mut self.link else {
            return self.set_deadline(context);
        };
        let sequence = context.server.store.seen(link.cursor);
        let output = context.transport.output();
        let start = output.len();
        write_mark(sequence, output);
        if link.marked != Some(sequence) {
            let name = &context.server.neighbours.get(self.neighbour).name;
            context.server.log.sent_to_server(name, &output[start..]);
        }
        link.marked = Some(sequence);
        link.marked_at = context.now;
        self.set_deadline(context);
    }

    fn set_deadline(&self, context: &mut Context<'_>) {
        let silent = self.heard + context.server.silence;
        let heartbeat =
            self.link.as_ref().map_or(Moment::NEVER, |link| link.marked_at + context.server.heartbeat());
        context.transport.set_deadline(silent.min(heartbeat));
    }

    fn end(&self, context: &mut Context<'_>, reason: &str) {
        let known = context.server.neighbours.get_mut(self.neighbour);
        if !std::mem::replace(&mut known.trouble_logged, true) {
            context.server.log.event(format_args!("Connection to server {} is ended: {reason}", known.name));
        }
        context.transport.abort();
    }
}

impl Protocol for OutboundPeer {
    fn connection_made(&mut self, context: &mut Context<'_>) {
        let identity = &context.server.identity;
        let hello =
            Hello { herd: identity.herd.as_bytes(), name: identity.name.as_bytes(), epoch: identity.epoch };
        let output = context.transport.output();
        let start = output.len();
        hello.write(output);
        let name = &context.server.neighbours.get(self.neighbour).name;
        context.server.log.sent_to_server(name, &output[start..]);
        self.heard = context.now;
        self.set_deadline(context);
    }

    fn data_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        self.heard = context.now;
        let mut used = 0;
        loop {
            let rest = &data[used..];
            let line = first_line(rest);
            // Also of a line that has ended: how it was cut on its way must not matter.
            if line.map_or(rest.len(), |line| line.0.len()) > ANSWER_MAX {
                self.end(context, "a line of its answer is too long");
                return data.len();
            }
            let Some((line, length)) = line else { break };
            used += length;
            if let Err(reason) = self.line_received(context, line) {
                self.end(context, &reason);
                return data.len();
            }
        }
        self.set_deadline(context);
        used
    }

    fn eof_received(&mut self, context: &mut Context<'_>, _rest: &[u8]) {
        context.transport.abort();
    }

    fn timed_out(&mut self, context: &mut Context<'_>) {
        if context.now >= self.heard + context.server.silence {
            let silence = context.server.silence;
            self.end(context, &format!("nothing arrived for {silence:?}"));
        } else if context.transport.has_room() {
            self.mark(context);
        } else {
            // What is on its way already is sign of life enough.
            context.transport.set_deadline(self.heard + context.server.silence);
        }
    }

    fn told(&mut self, context: &mut Context<'_>, message: Message) {
        if let Message::Stop = message
            && self.link.is_none()
        {
            context.transport.close();
        }
    }

    fn turn_ending(&mut self, context: &mut Context<'_>) -> bool {
        let Some(link) = &mut self.link else {
            return false;
        };
        let mut told = link.marked.is_none();
        for _ in 0..CHANGES_MAX {
            if !context.transport.has_room() {
                break;
            }
            let Some(change) = context.server.store.next_change(link.cursor) else {
                break;
            };
            // One that a neighbour would not take, since limits.max_line was lowered, must not stop the others.
            let fits = change.line.len() <= context.server.limits.max_line + PEER_LINE_EXTRA;
            if change.origin != link.origin && fits {
                context.transport.write(change.line);
                let name = &context.server.neighbours.get(self.neighbour).name;
                context.server.log.sent_to_server(name, change.line);
                told = true;
            }
        }
        let all_told = context.server.store.seen(link.cursor) == context.server.store.sequence();
        if told {
            self.mark(context);
        }
        if all_told && context.server.stopping {
            context.transport.close();
        }
        !all_told
    }

    fn connection_lost(&mut self, context: &mut Context<'_>, why: Lost) {
        if let Some(link) = &self.link {
            context.server.store.unfollow(link.cursor);
        }
        let known = context.server.neighbours.get_mut(self.neighbour);
        if known.dialled.connection() == Some(context.id) {
            known.dialled = Dialled::Down;
        }
        if self.link.is_some() {
            context.server.log.event(format_args!("Connection to server {} was dropped", known.name));
        } else if !std::mem::replace(&mut known.trouble_logged, true) {
            let why = match why {
                Lost::NotMade(error) | Lost::Failed(error) => error.to_string(),
                Lost::Closed | Lost::Aborted | Lost::TimedOut => "it hung up".to_owned(),
            };
            context
                .server
                .log
                .event(format_args!("Connection to server {} could not be made: {why}", known.name));
        }
        context.server.requests.push_back(Request::LinkLost { neighbour: self.neighbour });
    }
}

/// Changes that are looked at in one turn: skipping a million that need not be told must not hold up the others.
const CHANGES_MAX: u32 = 4096;
/// Bytes of a line of an acceptor: WELCOME and REFUSED are short.
const ANSWER_MAX: usize = 2048;
/// Bytes of what was not understood that are shown in the log.
const SHOWN_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::testing::Bench;
    use crate::protocol::{Conversation, Ending};
    use crate::text::peer_line::Epoch;
    use std::time::Duration;

    const WELCOME: &[u8] = b"WELCOME Jaquez 0123456789abcdef 0\n";
    const EPOCH: Epoch = Epoch(0x0123_4567_89ab_cdef);

    fn dialled() -> Bench {
        let mut bench =
            Bench::new(Conversation::OutboundPeer(OutboundPeer::new(NeighbourId(0), Moment::START)));
        bench.server.neighbours.get_mut(NeighbourId(0)).dialled = Dialled::Connecting(bench.id);
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
    fn everything_behind_the_cursor_is_told_with_a_mark() {
        let mut bench = linked();
        assert_eq!(turn(&mut bench), "MARK 0\n", "also when there is nothing");
        assert_eq!(turn(&mut bench), "");
        bench.report("a", 1, Origin::CLIENT);
        bench.report("b", 1, Origin::CLIENT);
        bench.report("a", 2, Origin::CLIENT);
        assert_eq!(turn(&mut bench), format!("{}{}MARK 3\n", line("b", 1), line("a", 2)));
        assert_eq!(turn(&mut bench), "");
    }

    #[test]
    fn after_a_break_only_what_is_new_is_told() {
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
    fn nobody_is_told_what_it_told_in_this_life() {
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
    fn a_slow_neighbour_is_told_batch_by_batch() {
        let mut bench = linked().with_marks(100, 10);
        for i in 0..20 {
            bench.report(&format!("c{i}"), 1, Origin::CLIENT);
        }
        bench.turn_ending();
        let waiting = bench.waiting();
        assert!(waiting > 100 && waiting < 200);
        bench.turn_ending();
        assert_eq!(bench.waiting(), waiting, "nothing more before there is room");
        // What changes while it is slow is told once, as it is then.
        for time in 2..9 {
            bench.report("c19", time, Origin::CLIENT);
        }
        let mut told = bench.sent();
        while !told.ends_with("MARK 27\n") {
            told += &turn(&mut bench);
        }
        assert_eq!(told.matches("c19 ").count(), 1);
        assert_eq!(told.matches("AT ").count(), 20);
    }

    #[test]
    fn heartbeats_when_idle_and_the_end_when_nothing_comes_back() {
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
        assert_eq!(bench.ending(), Ending::Aborting);
    }

    #[test]
    fn a_longer_silence_is_kept_to_before_the_welcome_too() {
        let mut bench = dialled();
        let start = bench.now;
        bench.now = bench.deadline();
        bench.server.silence = Duration::from_secs(60);
        bench.time_out();
        assert_eq!((bench.ending(), bench.deadline()), (Ending::Open, start + Duration::from_secs(60)));
    }

    #[test]
    fn who_does_not_welcome_is_left() {
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
            assert_eq!(bench.ending(), Ending::Aborting, "{answer:?}");
            assert_eq!(turn(&mut bench), "", "nothing is told");
        }
        let mut bench = dialled();
        bench.now = bench.now + Duration::from_secs(3);
        bench.time_out();
        assert_eq!(bench.ending(), Ending::Aborting);
    }

    #[test]
    fn a_line_too_long_ends_the_link_however_it_is_cut() {
        for (length, ending) in [(ANSWER_MAX, Ending::Open), (ANSWER_MAX + 1, Ending::Aborting)] {
            let welcome = format!("{:x<length$}", "WELCOME Jaquez 0123456789abcdef 0 ");
            let (mut whole, mut unended, mut bytes) = (dialled(), dialled(), dialled());
            whole.receive(format!("{welcome}\n").as_bytes());
            unended.receive(welcome.as_bytes());
            welcome.bytes().chain(*b"\n").for_each(|byte| bytes.receive(&[byte]));
            assert_eq!([whole.ending(), unended.ending(), bytes.ending()], [ending; 3], "{length} bytes");
        }
    }

    #[test]
    fn a_link_that_is_lost_leaves_nothing_and_is_dialled_again() {
        let mut bench = linked();
        assert!(matches!(bench.server.neighbours.get(NeighbourId(0)).dialled, Dialled::Up(_, EPOCH)));
        bench.lose();
        assert_eq!(bench.server.neighbours.get(NeighbourId(0)).dialled, Dialled::Down);
        assert!(matches!(bench.requests()[..], [Request::LinkLost { .. }]));
        assert!(bench.log().contains("Connection to server Jaquez was dropped"));
    }

    #[test]
    fn only_who_acknowledges_is_dialled_again_soon() {
        for (answer, delays_ms) in [
            ("REFUSED no\n".to_owned(), [100, 200]),
            (String::from_utf8(WELCOME.to_vec()).unwrap(), [100, 200]),
            (String::from_utf8(WELCOME.to_vec()).unwrap() + "ACK 0\n", [50, 100]),
        ] {
            let mut bench = dialled();
            let next =
                |bench: &mut Bench| bench.server.neighbours.get_mut(NeighbourId(0)).next_delay().as_millis();
            assert_eq!(next(&mut bench), 50);
            bench.receive(answer.as_bytes());
            assert_eq!([next(&mut bench), next(&mut bench)], delays_ms, "{answer}");
        }
    }

    #[test]
    fn trouble_is_logged_once() {
        let mut bench = dialled();
        bench.lose();
        let mut again = dialled();
        again.server = bench.into_server();
        again.lose();
        assert_eq!(again.log().matches("could not be made").count(), 1);
    }
}
