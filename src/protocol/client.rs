//! The conversation with a client (docs/protocol.md, section 1).
//!
//! Every accepted connection begins as one. Its first line that is not blank decides: HELLO makes it
//! an [`InboundPeer`].

use std::time::Duration;

use super::replies::Replies;
use super::{Context, Conversation, InboundPeer, Lost, Message, Protocol, Request, first_line, prefetch};
use crate::clock::Moment;
use crate::places::question::Question;
use crate::store::{Origin, Outcome, PREFETCH_MAX};
use crate::text::command::{Command, IamAt, WhatsAt};
use crate::text::fields::trim;
use crate::text::last_field::LastField;
use crate::text::peer_line::is_hello;
use crate::text::record::Statement;
use crate::text::time::{SECOND_NS, Time};

/// A client, or somebody of whom nothing is known yet.
#[derive(Debug)]
pub struct Client {
    standing: Standing,
    /// When the line that has not ended yet began; never: there is none.
    line_since: Moment,
    /// The rest of an over-long line, of which the beginning was already answered.
    discarding: Option<LastField>,
    replies: Replies,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It has not said anything yet.
    Newcomer,
    /// It came when there was no room for further clients: only a neighbour may stay.
    OnlyANeighbour,
    /// It is a client.
    Client,
    /// Nothing that it may still send is carried out; the connection ends with the last reply owed.
    Finished,
}

impl Client {
    /// Somebody who has just been accepted.
    pub fn newcomer() -> Client {
        Client::new(Standing::Newcomer)
    }

    /// Somebody who has been accepted though there is no room for further clients. Neighbours must
    /// come through all the same; anybody else is closed as soon as that is plain.
    pub fn only_a_neighbour() -> Client {
        Client::new(Standing::OnlyANeighbour)
    }

    fn new(standing: Standing) -> Client {
        Client { standing, line_since: Moment::NEVER, discarding: None, replies: Replies::default() }
    }

    /// Carries out one line, without its LF.
    fn line_received(&mut self, context: &mut Context<'_>, line: &[u8]) {
        let received = context.received();
        let command = Command::parse(line);
        if command == Command::Blank {
            return;
        }
        if self.standing == Standing::OnlyANeighbour {
            context.transport.abort();
            return;
        }
        self.standing = Standing::Client;
        context.server.log.received(line, context.address);
        let valid = match command {
            Command::IamAt(iam_at) => self.iam_at(context, &iam_at, received),
            Command::WhatsAt(whats_at) => self.whats_at(context, &whats_at),
            Command::HttpRequest => {
                self.standing = Standing::Finished;
                false
            }
            Command::Blank | Command::Invalid => false,
        };
        if !valid {
            self.reply_invalid(context, trim(line));
        }
    }

    /// Whether the statement was taken: nothing is wrong with its time, and there is room for it.
    fn iam_at(&mut self, context: &mut Context<'_>, iam_at: &IamAt<'_>, received: Time) -> bool {
        let server = &mut *context.server;
        let ahead_max_ns = i128::from(server.limits.max_future_s) * SECOND_NS;
        let ahead_ns = iam_at.time.nanoseconds() - received.nanoseconds();
        if ahead_max_ns > 0 && ahead_ns > ahead_max_ns {
            return false;
        }
        let output = self.replies.output(context.transport);
        let start = output.len();
        let statement = Statement::of(iam_at, server.identity.name.as_bytes(), received);
        statement.write(output);
        if server.store.report(&statement, &output[start..], Origin::CLIENT) == Outcome::Full {
            output.truncate(start);
            return false;
        }
        server.log.sent_to_client(&output[start..]);
        true
    }

    /// Whether the client that is asked about is known.
    fn whats_at(&mut self, context: &mut Context<'_>, whats_at: &WhatsAt<'_>) -> bool {
        let store = &context.server.store;
        let (Some(line), Some(statement)) = (store.get(whats_at.id), store.statement(whats_at.id)) else {
            return false;
        };
        let location = statement.location;
        let question = Question::new(location.latitude, location.longitude, whats_at.radius_km);
        let ticket = self.replies.wait(line.to_vec(), whats_at.bound);
        context.server.requests.push_back(Request::Ask { asker: context.id, ticket, question });
        true
    }

    fn reply_invalid(&mut self, context: &mut Context<'_>, copy: &[u8]) {
        let output = self.replies.output(context.transport);
        let start = output.len();
        output.extend_from_slice(b"? ");
        output.extend_from_slice(copy);
        output.push(b'\n');
        context.server.log.sent_to_client(&output[start..]);
    }

    /// Answers an over-long line with as much of it as may be kept.
    fn too_long(&mut self, context: &mut Context<'_>, beginning: &[u8]) {
        if self.standing == Standing::OnlyANeighbour {
            context.transport.abort();
            return;
        }
        self.standing = Standing::Client;
        let copy = &beginning[..context.server.limits.max_line];
        context.server.log.received(copy, context.address);
        self.reply_invalid(context, copy);
    }

    /// A line that looks like an HTTP request, but for its length, must not let through what follows it.
    fn end_of_too_long(&mut self, last: &LastField) {
        if last.is_http_version() {
            self.standing = Standing::Finished;
        }
    }

    fn may_become_a_neighbour(&self) -> bool {
        matches!(self.standing, Standing::Newcomer | Standing::OnlyANeighbour)
    }

    /// Lets go of the connection once everything that is owed was written.
    fn close_when_done(&mut self, context: &mut Context<'_>) {
        if self.standing == Standing::Finished && self.replies.is_empty() {
            context.transport.close();
        }
    }

    /// Moves replies on, and reads again if that made room.
    fn replies_moved(&mut self, context: &mut Context<'_>) {
        let last = self.standing == Standing::Finished;
        let server = &mut *context.server;
        self.replies.send(context.transport, &mut server.log, &mut server.answers_kept, last);
        self.close_when_done(context);
        if context.transport.has_room() && self.replies.has_room() {
            context.transport.resume_reading();
            if self.discarding.is_some() && !last {
                // Nothing of it was kept that would be offered again.
                self.time_line(context, true);
            }
        }
    }

    /// Sees to the time that a line has which has begun.
    fn time_line(&mut self, context: &mut Context<'_>, has_begun: bool) {
        // The time in which this side does not read does not count.
        if !has_begun || context.transport.reading_is_paused() {
            self.line_since = Moment::NEVER;
        } else if self.line_since == Moment::NEVER {
            self.line_since = context.now;
        }
        context.transport.set_deadline(self.line_since + context.server.limits.line_timeout);
    }

    fn lines_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let max_line = context.server.limits.max_line;
        let (mut used, mut ahead) = (0, 0);
        while used < data.len() {
            let rest = &data[used..];
            if ahead == 0 {
                ahead = PREFETCH_MAX;
                prefetch(context, rest, 1);
            }
            ahead -= 1;
            if self.standing == Standing::Finished {
                return data.len();
            }
            if !context.transport.has_room() || !self.replies.has_room() {
                context.transport.pause_reading();
                return used;
            }
            let line = first_line(rest);
            if let Some(last) = &mut self.discarding {
                last.push(line.map_or(rest, |line| line.0));
                let Some((_, length)) = line else {
                    return data.len();
                };
                if let Some(last) = self.discarding.take() {
                    self.end_of_too_long(&last);
                }
                used += length;
            } else if self.may_become_a_neighbour() && is_hello(beginning(rest, line, max_line)) {
                let since = if used == 0 { self.line_since.min(context.now) } else { context.now };
                *context.successor = Some(Conversation::InboundPeer(InboundPeer::new(since)));
                return used;
            } else if let Some((line, length)) = line {
                used += length;
                if line.len() > max_line {
                    self.too_long(context, line);
                    self.end_of_too_long(&LastField::of(line));
                } else {
                    self.line_received(context, line);
                }
            } else if rest.len() > max_line {
                self.too_long(context, rest);
                self.discarding = Some(LastField::of(rest));
                return data.len();
            } else {
                return used;
            }
            self.line_since = Moment::NEVER;
        }
        used
    }
}

impl Protocol for Client {
    fn connection_made(&mut self, context: &mut Context<'_>) {
        let (host, port) = (context.address.ip(), context.address.port());
        context.server.log.event(format_args!("New connection from ({host}, {port}) was made"));
        if self.standing == Standing::OnlyANeighbour {
            context.transport.set_deadline(context.now + NEIGHBOUR_GRACE);
        }
    }

    fn data_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let used = self.lines_received(context, data);
        if self.standing == Standing::Finished {
            self.replies_moved(context);
            return used;
        }
        if self.standing == Standing::OnlyANeighbour {
            return used;
        }
        self.time_line(context, used < data.len() || self.discarding.is_some());
        used
    }

    fn eof_received(&mut self, context: &mut Context<'_>, rest: &[u8]) {
        if !rest.is_empty() && self.standing != Standing::Finished {
            self.line_received(context, rest);
        }
        self.standing = Standing::Finished;
        context.transport.set_deadline(Moment::NEVER);
        self.replies_moved(context);
    }

    fn pause_writing(&mut self, context: &mut Context<'_>) {
        context.transport.pause_reading();
        self.line_since = Moment::NEVER;
        context.transport.set_deadline(Moment::NEVER);
    }

    fn resume_writing(&mut self, context: &mut Context<'_>) {
        self.replies_moved(context);
    }

    fn timed_out(&mut self, context: &mut Context<'_>) {
        if self.standing == Standing::OnlyANeighbour {
            context.transport.abort();
            return;
        }
        let timeout = context.server.limits.line_timeout;
        let (host, port) = (context.address.ip(), context.address.port());
        context.server.log.event(format_args!("A line from ({host}, {port}) did not end within {timeout:?}"));
        self.standing = Standing::Finished;
        self.replies_moved(context);
    }

    fn told(&mut self, context: &mut Context<'_>, message: Message) {
        match message {
            Message::Answer { ticket, answer } => {
                self.replies.answer(ticket, &answer, &mut context.server.answers_kept)
            }
            Message::Stop => self.standing = Standing::Finished,
            Message::Ask(_) => {}
        }
        self.replies_moved(context);
    }

    fn connection_lost(&mut self, context: &mut Context<'_>, _why: Lost) {
        let (host, port) = (context.address.ip(), context.address.port());
        context.server.log.event(format_args!("Connection from ({host}, {port}) was dropped"));
        if !self.replies.is_empty() {
            context.server.requests.push_back(Request::Withdraw(context.id));
            self.replies.forget(&mut context.server.answers_kept);
        }
    }
}

/// As much of the first line as is kept, whether it has ended or not: what it is must not depend on
/// how much of it came at once.
fn beginning<'a>(data: &'a [u8], line: Option<(&'a [u8], usize)>, max_line: usize) -> &'a [u8] {
    let line = line.map_or(data, |line| line.0);
    &line[..line.len().min(max_line)]
}

/// How long somebody who came when the server was full may take to show that it is a neighbour:
/// a neighbour sends its HELLO with the first packet.
const NEIGHBOUR_GRACE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::answer::Answer;
    use crate::protocol::testing::Bench;
    use crate::protocol::{Ending, Request};
    use proptest::prelude::*;

    const KIWI: &str = "IAMAT kiwi +34.068930-118.445127 1621464827.959498503\n";

    fn client() -> Bench {
        Bench::new(Conversation::Client(Client::newcomer()))
    }

    fn answer_all(bench: &mut Bench, json: &str) {
        for request in bench.requests() {
            if let Request::Ask { ticket, .. } = request {
                let answer = Answer::parse(json.as_bytes().to_vec()).unwrap();
                bench.tell(Message::Answer { ticket, answer });
            }
        }
    }

    #[test]
    fn iamat_is_answered_and_stored() {
        let mut bench = client();
        bench.wall = 1_621_464_828_222_871_889;
        bench.receive(KIWI.as_bytes());
        let line = "AT Riley +0.263373386 kiwi +34.068930-118.445127 1621464827.959498503\n";
        assert_eq!(bench.sent(), line);
        assert_eq!(bench.server.store.get(b"kiwi"), Some(line.as_bytes()));
    }

    #[test]
    fn lines_read_together_get_times_a_nanosecond_apart() {
        let mut bench = client();
        bench.wall = 7_000_000_000;
        bench.receive(b"IAMAT a +1-1 7\nFOO\nIAMAT b +1-1 7\n\nIAMAT c +1-1 7\n");
        assert_eq!(
            bench.sent(),
            "AT Riley +0.000000000 a +1-1 7\n? FOO\nAT Riley +0.000000002 b +1-1 7\nAT Riley +0.000000004 c +1-1 7\n"
        );
    }

    #[test]
    fn one_that_loses_is_answered_with_its_own_data() {
        let mut bench = client();
        bench.wall = 7_000_000_000;
        bench.receive(b"IAMAT a +1-1 7\nIAMAT a +2-2 6\n");
        assert_eq!(bench.sent(), "AT Riley +0.000000000 a +1-1 7\nAT Riley +1.000000001 a +2-2 6\n");
        assert_eq!(bench.server.store.get(b"a").unwrap(), b"AT Riley +0.000000000 a +1-1 7\n");
        assert_eq!(bench.server.store.sequence(), 1);
    }

    #[test]
    fn times_too_far_ahead_are_invalid() {
        let mut bench = client();
        bench.wall = 1_000_000_000;
        bench.receive(b"IAMAT a +1-1 86401\nIAMAT b +1-1 86401.000000002\n");
        assert_eq!(bench.sent(), "AT Riley -86400.000000000 a +1-1 86401\n? IAMAT b +1-1 86401.000000002\n");
        bench.server.limits.max_future_s = 0;
        bench.receive(b"IAMAT b +1-1 999999999999999999\n");
        assert!(bench.sent().starts_with("AT "));
    }

    #[test]
    fn clients_beyond_the_bound_are_invalid() {
        let mut bench = client();
        bench.server.store.set_clients_max(1);
        bench.receive(b"IAMAT a +1-1 5\nIAMAT b +1-1 5\n");
        assert_eq!(bench.sent().lines().last(), Some("? IAMAT b +1-1 5"));
    }

    #[test]
    fn invalid_commands_are_copied_without_the_white_space_around_them() {
        let mut bench = client();
        bench.receive(
            b" \t FOO \xff\0 bar\r\n\r\n \x0b\nAT Riley +0.000000000 a +1-1 5\nWHATSAT nobody 1 1\n",
        );
        assert_eq!(
            bench.sent_bytes(),
            b"? FOO \xff\0 bar\n? AT Riley +0.000000000 a +1-1 5\n? WHATSAT nobody 1 1\n"
        );
    }

    #[test]
    fn whatsat_asks_and_holds_back_what_follows() {
        let mut bench = client();
        bench.receive(KIWI.as_bytes());
        let line = bench.sent();
        bench.receive(b"WHATSAT kiwi 1.5 1\nFOO\nIAMAT b +1-1 5\n");
        assert_eq!(bench.sent(), "");
        assert!(bench.server.store.get(b"b").is_some(), "a command behind a slow one takes effect at once");
        // The location is the one stored when the WHATSAT arrived.
        bench.receive(b"IAMAT kiwi +1-1 1721464827\n");
        answer_all(&mut bench, " {\"results\":[1,2]\n\n} ");
        let sent = bench.sent();
        assert!(sent.starts_with(&format!("{line}{{\"results\":[1]\n}}\n\n? FOO\nAT Riley ")), "{sent}");
    }

    #[test]
    fn after_eof_everything_is_answered_then_it_ends() {
        let mut bench = client();
        bench.receive(KIWI.as_bytes());
        bench.sent();
        bench.receive(b"WHATSAT kiwi 1 1\nFOO");
        bench.eof();
        assert_eq!((bench.sent(), bench.ending()), (String::new(), Ending::Open));
        answer_all(&mut bench, "{\"results\":[]}");
        assert!(bench.sent().ends_with("{\"results\":[]}\n\n? FOO\n"));
        assert_eq!(bench.ending(), Ending::Closing);
    }

    #[test]
    fn over_long_lines_are_cut() {
        for split in [true, false] {
            let mut bench = client();
            bench.server.limits.max_line = 64;
            let line = [&b"x".repeat(65)[..], b" y\n"].concat();
            if split {
                bench.receive(&line[..65]);
                bench.receive(&line[65..66]);
                bench.receive(&line[66..]);
            } else {
                bench.receive(&line);
            }
            bench.receive(&[&b"z".repeat(64)[..], b"\n"].concat());
            assert_eq!(bench.sent(), format!("? {}\n? {}\n", "x".repeat(64), "z".repeat(64)));
        }
    }

    #[test]
    fn an_over_long_line_keeps_nothing() {
        let mut bench = client();
        for _ in 0..100 {
            bench.receive(&[b'x'; 1000]);
        }
        assert_eq!(bench.input_left(), 0);
        bench.receive(b"\nFOO\n");
        assert_eq!(bench.sent(), format!("? {}\n? FOO\n", "x".repeat(8192)));
    }

    #[test]
    fn http_requests_end_the_connection() {
        for length in [1, 60, 70, 5000] {
            let mut bench = client();
            bench.server.limits.max_line = 64;
            let path = "x".repeat(length);
            let text = format!("FOO\nGET /{path} HTTP/1.1\r\nHost: x\r\n\r\nIAMAT a +1-1 5\n");
            text.as_bytes().chunks(50).for_each(|chunk| bench.receive(chunk));
            let copy: String = format!("GET /{path} HTTP/1.1").chars().take(64).collect();
            assert_eq!(bench.sent(), format!("? FOO\n? {copy}\n"));
            assert_eq!(bench.ending(), Ending::Closing);
            assert!(bench.server.store.is_empty());
        }
    }

    #[test]
    fn a_line_that_has_begun_must_end_in_time() {
        let mut bench = client();
        assert_eq!(bench.deadline(), Moment::NEVER);
        let start = bench.now;
        bench.receive(b"FO");
        assert_eq!(bench.deadline(), start + Duration::from_secs(60));
        bench.now = start + Duration::from_secs(50);
        bench.receive(b"O");
        assert_eq!(bench.deadline(), start + Duration::from_secs(60), "a further byte does not help");
        bench.receive(b"\nB");
        assert_eq!(bench.deadline(), bench.now + Duration::from_secs(60));
        bench.receive(b"\n");
        assert_eq!(bench.deadline(), Moment::NEVER);
        bench.receive(b"x");
        bench.time_out();
        assert_eq!((bench.sent().as_str(), bench.ending()), ("? FOO\n? B\n", Ending::Closing));
    }

    #[test]
    fn who_does_not_read_is_not_read_from() {
        let mut bench = client().with_marks(100, 10);
        bench.receive(&b"FOO\n".repeat(1000));
        assert!(bench.waiting() < 120 && bench.reading_is_paused());
        assert_eq!(bench.deadline(), Moment::NEVER);
        let mut replies = 0;
        while replies < 1000 {
            replies += bench.sent().lines().count();
        }
        assert_eq!((replies, bench.input_left()), (1000, 0));
    }

    #[test]
    fn the_rest_of_a_line_too_long_has_its_time_also_after_a_pause() {
        let mut bench = client().with_marks(100, 10);
        bench.server.limits.max_line = 64;
        bench.receive(&[b'x'; 200]);
        bench.receive(b"\n");
        bench.receive(&[b'x'; 200]);
        assert!(bench.reading_is_paused() && bench.deadline() == Moment::NEVER);
        bench.sent();
        assert!(!bench.reading_is_paused());
        let until = bench.now + bench.server.limits.line_timeout;
        assert_eq!(bench.deadline(), until);
        bench.now = bench.now + Duration::from_secs(10);
        bench.receive(b"x");
        assert_eq!(bench.deadline(), until);
    }

    #[test]
    fn who_asks_too_much_at_once_is_not_read_from() {
        let mut bench = client();
        bench.receive(KIWI.as_bytes());
        bench.sent();
        bench.receive(&b"WHATSAT kiwi 1 1\n".repeat(100));
        assert!(bench.reading_is_paused() && bench.input_left() > 0);
        for _ in 0..2 {
            answer_all(&mut bench, "{\"results\":[]}");
        }
        assert_eq!(bench.sent().lines().count(), 300);
        assert!(!bench.reading_is_paused());
    }

    #[test]
    fn what_an_over_long_line_is_does_not_depend_on_how_it_is_cut() {
        let hello = "HELLO herd/1 bruins Jaquez 0123456789abcdef\n";
        for (gap, answer) in [(52, "WELCOME Riley"), (53, "?    ")] {
            let line = format!("{:gap$}{hello}", "");
            let (mut whole, mut bytes) = (client(), client());
            (whole.server.limits.max_line, bytes.server.limits.max_line) = (64, 64);
            whole.receive(line.as_bytes());
            line.bytes().for_each(|byte| bytes.receive(&[byte]));
            for mut bench in [whole, bytes] {
                let sent = bench.sent();
                assert!(sent.starts_with(answer), "behind {gap} spaces: {sent}");
            }
        }
    }

    #[test]
    fn hello_makes_it_a_peer_but_only_as_the_first_line() {
        let mut bench = client();
        bench.receive(b"\r\n HELLO herd/1 ");
        assert!(matches!(bench.conversation, Conversation::InboundPeer(_)));
        let mut bench = client();
        bench.receive(b"FOO\nHELLO herd/1 bruins Jaquez 0123456789abcdef\n");
        assert_eq!(bench.sent(), "? FOO\n? HELLO herd/1 bruins Jaquez 0123456789abcdef\n");
        let mut bench = client();
        bench.receive(b"HELLO there\n");
        assert_eq!(bench.sent(), "? HELLO there\n");
    }

    #[test]
    fn when_the_server_is_full_only_a_neighbour_may_stay() {
        let mut bench = Bench::new(Conversation::Client(Client::only_a_neighbour()));
        bench.receive(b"IAMAT a +1-1 5\n");
        assert_eq!((bench.sent().as_str(), bench.ending()), ("", Ending::Aborting));
        let mut bench = Bench::new(Conversation::Client(Client::only_a_neighbour()));
        assert_eq!(bench.deadline(), bench.now + NEIGHBOUR_GRACE);
        bench.receive(b"HELLO herd/1 bruins Jaquez 0123456789abcdef\n");
        assert!(bench.sent().starts_with("WELCOME "));
    }

    #[test]
    fn who_leaves_withdraws_its_questions() {
        let mut bench = client();
        bench.receive(KIWI.as_bytes());
        bench.receive(b"WHATSAT kiwi 1 1\n");
        bench.requests();
        bench.lose();
        assert!(matches!(bench.requests()[..], [Request::Withdraw(_)]));
    }

    proptest! {
        /// However the bytes are cut into pieces, and however little the other side reads, the replies are the same.
        #[test]
        fn pieces_do_not_matter(
            lines in proptest::collection::vec("(IAMAT [ab] [+]1-1 [1-9][0-9]{0,2}|FOO|WHATSAT [ab] 1 1| *|x{50,90})\r?\n", 0..20),
            cuts in proptest::collection::vec(1..40usize, 1..60),
            last in "[a-z]{0,5}",
        ) {
            let text = lines.concat() + &last;
            let converse = |pieces: &[usize], water_marks: (u32, u32)| {
                let mut bench = client().with_marks(water_marks.0, water_marks.1);
                bench.server.limits.max_line = 60;
                let (mut rest, mut sent) = (text.as_bytes(), String::new());
                for &piece in pieces.iter().cycle() {
                    if rest.is_empty() {
                        break;
                    }
                    // Always the same clock, so that skews do not tell how it was cut.
                    bench.wall = 1000;
                    bench.receive(&rest[..piece.min(rest.len())]);
                    rest = &rest[piece.min(rest.len())..];
                    answer_all(&mut bench, "{\"results\":[]}");
                    sent += &bench.sent();
                }
                bench.eof();
                for _ in 0..100 {
                    answer_all(&mut bench, "{\"results\":[]}");
                    sent += &bench.sent();
                }
                assert_eq!(bench.ending(), Ending::Closing);
                // Times that were read together differ by nanoseconds.
                sent.lines().map(|line| line.split(' ').enumerate().filter(|(i, _)| !line.starts_with("AT ") || *i != 2)
                    .map(|(_, word)| word).collect::<Vec<_>>().join(" ") + "\n").collect::<String>()
            };
            prop_assert_eq!(converse(&cuts, (30, 5)), converse(&[10_000], (100_000, 10)));
        }
    }
}
