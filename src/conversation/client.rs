//! The conversation with a client (docs/protocol.md, section 1).
//!
//! Every accepted connection starts as one. If its first line that is not blank is a HELLO, the connection is
//! a peer's, and an [`InboundPeer`](super::InboundPeer) takes over.

use std::time::Duration;

use super::lines::Lines;
use super::replies::Replies;
use super::{Context, Handle, Server, Waiter, prefetch, receipt_time};
use crate::clock::Moment;
use crate::places::answer::Answer;
use crate::places::question::Question;
use crate::protocol::{Lost, Protocol};
use crate::store::{Origin, Outcome};
use crate::text::command::{ClientCommand, IamAt, WhatsAt};
use crate::text::fields::trim;
use crate::text::last_field::LastField;
use crate::text::peer_line::is_hello;
use crate::text::record::Statement;
use crate::text::telnet::{self, Effect, IAC};
use crate::text::time::{SECOND_NS, Time};

/// A client, or a peer that has not sent its HELLO yet.
#[derive(Debug)]
pub struct Client {
    standing: Standing,
    /// When the line began that has not ended; [`Moment::NEVER`]: there is none.
    line_since: Moment,
    /// The last field of an over-long line whose rest is discarded; `None`: there is no such line.
    discarding: Option<LastField>,
    telnet: Telnet,
    /// No byte was read: a byte order mark may follow.
    at_start: bool,
    replies: Replies,
}

/// The telnet commands of a client.
#[derive(Clone, Copy, Debug, Default)]
struct Telnet {
    /// The client has sent one, so that CR NUL ends its lines as well.
    spoken: bool,
    /// A subnegotiation has begun and not ended.
    negotiating: bool,
    /// The number of options that were refused.
    answers: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The connection has sent no line.
    Unidentified,
    /// The connection has sent no line, and the server is full: only a peer may stay.
    PeersOnly,
    /// The connection is a client's.
    Client,
    /// The connection is a peer's: the line that has begun is a HELLO.
    Peer,
    /// Further input is ignored. The connection closes after the last pending reply.
    Finished,
}

impl Client {
    /// A connection that was accepted.
    pub fn unidentified() -> Client {
        Client::new(Standing::Unidentified)
    }

    /// A connection that was accepted although the server is full, because it may be a neighbour's. It is
    /// closed as soon as it proves not to be.
    pub fn peers_only() -> Client {
        Client::new(Standing::PeersOnly)
    }

    fn new(standing: Standing) -> Client {
        Client {
            standing,
            line_since: Moment::NEVER,
            discarding: None,
            telnet: Telnet::default(),
            at_start: true,
            replies: Replies::default(),
        }
    }

    /// When the HELLO of a peer began; `None`: the connection is not a peer's. The HELLO is not consumed.
    pub(super) fn hello_since(&self) -> Option<Moment> {
        (self.standing == Standing::Peer).then_some(self.line_since)
    }

    /// Places has answered, or cannot answer, the question with this ticket.
    pub fn answered(&mut self, context: &mut Context<'_>, ticket: u32, answer: &Answer) {
        self.replies.answer(ticket, answer, &mut context.shared.unread_answer_bytes);
        self.send_replies(context);
    }

    fn lines_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let max_line = context.shared.limits.max_line;
        let mut lines = Lines::new(data);
        if self.telnet.spoken {
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
            if self.standing == Standing::Finished {
                return data.len();
            }
            if !context.transport.has_room() || !self.replies.has_room() {
                context.transport.pause_reading();
                break;
            }
            if let Some(batch) = lines.new_batch() {
                prefetch(context, batch, ID_FIELD);
            }
            if let Some(last) = &mut self.discarding {
                line = lines.discardable(line);
                last.push(line.text);
                if line.ended
                    && let Some(last) = self.discarding.take()
                {
                    self.over_long_line_ended(&last);
                }
            } else if self.telnet.negotiating || lines.rest().first() == Some(&IAC) {
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
                let last = LastField::of(line.text);
                if line.ended {
                    self.over_long_line_ended(&last);
                } else {
                    self.discarding = Some(last);
                }
            } else if line.ended {
                self.line_received(context, line.text);
            } else {
                break;
            }
            lines.consume(line);
            if !line.ended {
                break;
            }
            self.line_since = Moment::NEVER;
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
        let input = lines.rest();
        let mut used = 0;
        let is_complete = loop {
            let rest = &input[used..];
            if self.telnet.negotiating {
                let (length, ended) = telnet::subnegotiation(rest);
                used += length;
                self.telnet.negotiating = !ended;
                if !ended {
                    break false;
                }
            } else if rest.first() == Some(&IAC) {
                let Some((length, effect)) = telnet::command(rest) else { break false };
                used += length;
                self.telnet.spoken = true;
                match effect {
                    Effect::Dropped => {}
                    Effect::Subnegotiation => self.telnet.negotiating = true,
                    Effect::Answer(answer) => self.answer_telnet(context, answer),
                }
            } else {
                break true;
            }
            if !self.telnet.negotiating {
                self.line_since = Moment::NEVER;
            }
        };
        lines.skip(used);
        lines.end_at_cr_nul();
        is_complete
    }

    fn answer_telnet(&mut self, context: &mut Context<'_>, answer: [u8; 3]) {
        if self.telnet.answers < TELNET_ANSWERS_MAX {
            self.telnet.answers += 1;
            self.replies.output(context.transport).extend_from_slice(&answer);
            context.shared.log.sent_to_client(&answer);
        }
    }

    /// Carries out one line, without its LF.
    fn line_received(&mut self, context: &mut Context<'_>, line: &[u8]) {
        let received = receipt_time(context);
        let command = ClientCommand::parse(line);
        if command == ClientCommand::Blank {
            return;
        }
        if self.standing == Standing::PeersOnly {
            return self.reject(context);
        }
        self.standing = Standing::Client;
        context.shared.log.received(line, context.address);
        let valid = match command {
            ClientCommand::IamAt(iam_at) => self.iam_at(context, &iam_at, received),
            ClientCommand::WhatsAt(whats_at) => self.whats_at(context, &whats_at),
            ClientCommand::HttpRequest => {
                self.standing = Standing::Finished;
                false
            }
            ClientCommand::Blank | ClientCommand::Invalid => false,
        };
        if !valid {
            self.reply_invalid(context, trim(line));
        }
    }

    /// Answers an IAMAT, and stores it if it wins. False: its time is too far in the future, or the store is
    /// full.
    fn iam_at(&mut self, context: &mut Context<'_>, iam_at: &IamAt<'_>, received: Time) -> bool {
        let server = &mut *context.shared;
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

    /// Asks Places about the location of a client. False: that client is unknown.
    fn whats_at(&mut self, context: &mut Context<'_>, whats_at: &WhatsAt<'_>) -> bool {
        let store = &context.shared.store;
        let (Some(line), Some(statement)) = (store.get(whats_at.id), store.statement(whats_at.id)) else {
            return false;
        };
        let location = statement.location;
        let question = Question::new(location.latitude, location.longitude, whats_at.radius_km);
        let ticket = self.replies.reserve(line.to_vec(), whats_at.bound);
        let waiter = Waiter { client: Handle::new(context.id), ticket };
        context.shared.desk.ask(context.now, question, waiter);
        true
    }

    /// Ends the connection of a client for which the server has no room.
    fn reject(&mut self, context: &mut Context<'_>) {
        self.standing = Standing::Finished;
        context.transport.abort();
    }

    fn reply_invalid(&mut self, context: &mut Context<'_>, copy: &[u8]) {
        let output = self.replies.output(context.transport);
        let start = output.len();
        output.extend_from_slice(b"? ");
        output.extend_from_slice(copy);
        output.push(b'\n');
        context.shared.log.sent_to_client(&output[start..]);
    }

    /// Answers the beginning of an over-long line.
    fn over_long_line_received(&mut self, context: &mut Context<'_>, beginning: &[u8]) {
        if self.standing == Standing::PeersOnly {
            return self.reject(context);
        }
        self.standing = Standing::Client;
        let copy = &beginning[..context.shared.limits.max_line];
        context.shared.log.received(copy, context.address);
        self.reply_invalid(context, copy);
    }

    /// Finishes the conversation if the over-long line was an HTTP request: nothing after it is carried out.
    fn over_long_line_ended(&mut self, last: &LastField) {
        if last.is_http_version() {
            self.standing = Standing::Finished;
        }
    }

    /// Whether a line, or a subnegotiation, has begun whose bytes are not kept.
    fn is_discarding(&self) -> bool {
        self.discarding.is_some() || self.telnet.negotiating
    }

    fn may_be_a_peer(&self) -> bool {
        matches!(self.standing, Standing::Unidentified | Standing::PeersOnly)
    }

    /// Sends replies that no longer wait for Places, and resumes reading if that made room.
    fn send_replies(&mut self, context: &mut Context<'_>) {
        let last = self.standing == Standing::Finished;
        let Server { log, unread_answer_bytes, .. } = &mut *context.shared;
        self.replies.send(context.transport, log, unread_answer_bytes, last);
        if last && self.replies.is_empty() {
            context.transport.close();
        }
        if context.transport.has_room() && self.replies.has_room() {
            context.transport.resume_reading();
            if self.is_discarding() && !last {
                // A discarded line leaves no input that is offered again and restarts the limit.
                self.limit_line_time(context, true);
            }
        }
    }

    /// Starts or clears the time limit of a line that has begun. The time in which this side does not read
    /// does not count.
    fn limit_line_time(&mut self, context: &mut Context<'_>, has_begun: bool) {
        if !has_begun || context.transport.reading_is_paused() {
            self.line_since = Moment::NEVER;
        } else if self.line_since == Moment::NEVER {
            self.line_since = context.now;
        }
        context.transport.set_deadline(self.line_since + context.shared.limits.line_timeout);
    }
}

impl Protocol for Client {
    type Shared = Server;

    fn connection_made(&mut self, context: &mut Context<'_>) {
        let (host, port) = (context.address.ip(), context.address.port());
        context.shared.log.event(format_args!("New connection from ({host}, {port}) was made"));
        if self.standing == Standing::PeersOnly {
            context.transport.set_deadline(context.now + PEER_GRACE);
        }
    }

    fn data_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let used = self.lines_received(context, data);
        match self.standing {
            Standing::Finished => self.send_replies(context),
            Standing::PeersOnly | Standing::Peer => {}
            Standing::Unidentified | Standing::Client => {
                self.limit_line_time(context, used < data.len() || self.is_discarding());
            }
        }
        used
    }

    fn eof_received(&mut self, context: &mut Context<'_>, rest: &[u8]) {
        // A telnet command that is not complete is no line.
        let is_line = !self.telnet.negotiating && !rest.is_empty() && rest[0] != IAC;
        if is_line && self.standing != Standing::Finished {
            self.line_received(context, rest);
        }
        self.standing = Standing::Finished;
        context.transport.set_deadline(Moment::NEVER);
        self.send_replies(context);
    }

    fn pause_writing(&mut self, context: &mut Context<'_>) {
        context.transport.pause_reading();
        self.line_since = Moment::NEVER;
        context.transport.set_deadline(Moment::NEVER);
    }

    fn resume_writing(&mut self, context: &mut Context<'_>) {
        self.send_replies(context);
    }

    fn timed_out(&mut self, context: &mut Context<'_>) {
        if self.standing == Standing::PeersOnly {
            return self.reject(context);
        }
        let timeout = context.shared.limits.line_timeout;
        let (host, port) = (context.address.ip(), context.address.port());
        context.shared.log.event(format_args!("A line from ({host}, {port}) did not end within {timeout:?}"));
        self.standing = Standing::Finished;
        self.send_replies(context);
    }

    fn shut_down(&mut self, context: &mut Context<'_>) {
        self.standing = Standing::Finished;
        self.send_replies(context);
    }

    fn connection_lost(&mut self, context: &mut Context<'_>, _why: Lost) {
        let (host, port) = (context.address.ip(), context.address.port());
        context.shared.log.event(format_args!("Connection from ({host}, {port}) was dropped"));
        if !self.replies.is_empty() {
            context.shared.desk.withdraw(|waiter| waiter.client.id() == context.id);
            self.replies.clear(&mut context.shared.unread_answer_bytes);
        }
    }
}

/// The field of the client ID in IAMAT and WHATSAT.
const ID_FIELD: usize = 1;
/// The byte order mark of UTF-8. Some programs send it first.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Options that are refused on one connection: more than a client has, and few enough that two programs that
/// answer each other come to an end.
const TELNET_ANSWERS_MAX: u8 = 64;
/// How long a connection to a full server may take to send HELLO: a neighbour sends it in its first packet.
const PEER_GRACE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Conversation;
    use crate::conversation::testing::Bench;
    use crate::places::answer::Answer;
    use crate::protocol::Close;
    use proptest::prelude::*;

    const KIWI: &str = "IAMAT kiwi +34.068930-118.445127 1621464827.959498503\n";

    fn client() -> Bench {
        Bench::new(Conversation::Client(Client::unidentified()))
    }

    fn answer_all(bench: &mut Bench, json: &str) {
        bench.answer_questions(|| Answer::parse(json.as_bytes().to_vec()).unwrap());
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
    fn lines_read_together_are_a_nanosecond_apart() {
        let mut bench = client();
        bench.wall = 7_000_000_000;
        bench.receive(b"IAMAT a +1-1 7\nFOO\nIAMAT b +1-1 7\n\nIAMAT c +1-1 7\n");
        assert_eq!(
            bench.sent(),
            "AT Riley +0.000000000 a +1-1 7\n? FOO\nAT Riley +0.000000002 b +1-1 7\nAT Riley +0.000000004 c +1-1 7\n"
        );
    }

    #[test]
    fn a_losing_iamat_is_answered_with_its_own_data() {
        let mut bench = client();
        bench.wall = 7_000_000_000;
        bench.receive(b"IAMAT a +1-1 7\nIAMAT a +2-2 6\n");
        assert_eq!(bench.sent(), "AT Riley +0.000000000 a +1-1 7\nAT Riley +1.000000001 a +2-2 6\n");
        assert_eq!(bench.server.store.get(b"a").unwrap(), b"AT Riley +0.000000000 a +1-1 7\n");
        assert_eq!(bench.server.store.sequence(), 1);
    }

    #[test]
    fn times_too_far_in_the_future_are_invalid() {
        let mut bench = client();
        bench.wall = 1_000_000_000;
        bench.receive(b"IAMAT a +1-1 86401\nIAMAT b +1-1 86401.000000002\n");
        assert_eq!(bench.sent(), "AT Riley -86400.000000000 a +1-1 86401\n? IAMAT b +1-1 86401.000000002\n");
        bench.server.limits.max_future_s = 0;
        bench.receive(b"IAMAT b +1-1 999999999999999999\n");
        assert!(bench.sent().starts_with("AT "));
    }

    #[test]
    fn new_clients_of_a_full_store_are_invalid() {
        let mut bench = client();
        bench.server.store.set_clients_max(1);
        bench.receive(b"IAMAT a +1-1 5\nIAMAT b +1-1 5\n");
        assert_eq!(bench.sent().lines().last(), Some("? IAMAT b +1-1 5"));
    }

    #[test]
    fn invalid_commands_are_echoed_without_surrounding_white_space() {
        let mut bench = client();
        bench.receive(
            b" \t FOO \xff\0 bar\r\n\r\n \x0b\nAT Riley +0.000000000 a +1-1 5\nWHATSAT unknown 1 1\n",
        );
        assert_eq!(
            bench.sent_bytes(),
            b"? FOO \xff\0 bar\n? AT Riley +0.000000000 a +1-1 5\n? WHATSAT unknown 1 1\n"
        );
    }

    #[test]
    fn whatsat_asks_places_and_delays_later_replies() {
        let mut bench = client();
        bench.receive(KIWI.as_bytes());
        let line = bench.sent();
        bench.receive(b"WHATSAT kiwi 1.5 1\nFOO\nIAMAT b +1-1 5\n");
        assert_eq!(bench.sent(), "");
        assert!(bench.server.store.get(b"b").is_some(), "a command after a slow one takes effect at once");
        // The location is the one stored when the WHATSAT arrived.
        bench.receive(b"IAMAT kiwi +1-1 1721464827\n");
        answer_all(&mut bench, " {\"results\":[1,2]\n\n} ");
        let sent = bench.sent();
        assert!(sent.starts_with(&format!("{line}{{\"results\":[1]\n}}\n\n? FOO\nAT Riley ")), "{sent}");
    }

    #[test]
    fn after_a_half_close_all_commands_are_answered() {
        let mut bench = client();
        bench.receive(KIWI.as_bytes());
        bench.sent();
        bench.receive(b"WHATSAT kiwi 1 1\nFOO");
        bench.eof();
        assert_eq!((bench.sent(), bench.closing()), (String::new(), None));
        answer_all(&mut bench, "{\"results\":[]}");
        assert!(bench.sent().ends_with("{\"results\":[]}\n\n? FOO\n"));
        assert_eq!(bench.closing(), Some(Close::Drain));
    }

    #[test]
    fn over_long_lines_are_truncated() {
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
    fn an_over_long_line_takes_no_memory() {
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
            assert_eq!(bench.closing(), Some(Close::Drain));
            assert!(bench.server.store.is_empty());
        }
    }

    const PUTTY: &[u8] = b"\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03";
    const NO_PUTTY: &[u8] = b"\xff\xfe\x1f\xff\xfe\x20\xff\xfe\x18\xff\xfc\x01\xff\xfe\x03\xff\xfc\x03";

    /// The output of a new client for this input and the end of it, however it is split.
    fn replies_to(input: &[u8]) -> Vec<u8> {
        let of_pieces = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut bench = client();
            bench.server.limits.max_line = 64;
            pieces.for_each(|piece| bench.receive(piece));
            bench.eof();
            assert_eq!(bench.closing(), Some(Close::Drain));
            bench.sent_bytes()
        };
        let whole = of_pieces(&mut [input].into_iter());
        assert_eq!(of_pieces(&mut input.chunks(1)), whole, "{}", input.escape_ascii());
        for cut in 1..input.len() {
            let (first, second) = input.split_at(cut);
            assert_eq!(of_pieces(&mut [first, second].into_iter()), whole, "{}", input.escape_ascii());
        }
        whole
    }

    #[test]
    fn telnet_options_are_refused_and_other_commands_dropped() {
        assert_eq!(
            replies_to(&[PUTTY, b"FOO\r\n", PUTTY, b"\r\nBAR"].concat()),
            [NO_PUTTY, b"? FOO\n", NO_PUTTY, b"? BAR\n"].concat()
        );
        // Ctrl-C in telnet.
        assert_eq!(replies_to(b"\xff\xf4\xff\xfd\x06FOO\r\n"), b"\xff\xfc\x06? FOO\n");
        assert_eq!(replies_to(b"\xff\xfc\x01\xff\xfe\x03\xff\xffFOO\n"), b"? FOO\n");
        assert_eq!(replies_to(b"\xff\nFOO\n"), b"? FOO\n", "an IAC before LF alone");
        assert_eq!(replies_to(b"FOO\xff\xfd\x03\n \xff\xfd\x03\n"), b"? FOO\xff\xfd\x03\n? \xff\xfd\x03\n");
    }

    #[test]
    fn a_subnegotiation_is_no_line() {
        let size = b"\xff\xfa\x1f\0\n\nIAMAT a +1-1 5\n\xff\xf0";
        assert_eq!(
            replies_to(&[size, &b"FOO\n"[..], size, b"\xff\xfd\nBAR\n"].concat()),
            b"? FOO\n\xff\xfc\n? BAR\n"
        );
        let long = [b"\xff\xfa\x18", &b"x".repeat(200)[..], b"\xff\xf0FOO\n"].concat();
        assert_eq!(replies_to(&long), b"? FOO\n", "its content is not a line that is too long");
    }

    #[test]
    fn a_telnet_command_that_does_not_end_is_no_line() {
        for rest in [&b"\xff"[..], b"\xff\xfd", b"\xff\xfaxyz", b"\xff\xfaxyz\n\xff"] {
            assert_eq!(replies_to(&[b"FOO\n", rest].concat()), b"? FOO\n");
        }
    }

    #[test]
    fn a_subnegotiation_must_end_in_time() {
        let mut bench = client();
        let start = bench.now;
        bench.receive(b"\xff\xfa\x1fabc\n");
        assert_eq!(bench.deadline(), start + Duration::from_secs(60));
        bench.now = start + Duration::from_secs(50);
        bench.receive(&[b'x'; 20_000]);
        assert_eq!((bench.deadline(), bench.input_left()), (start + Duration::from_secs(60), 0));
        bench.receive(b"\xff\xf0");
        assert_eq!(bench.deadline(), Moment::NEVER);
        bench.receive(b"\xff\xfax");
        bench.time_out();
        assert_eq!(bench.closing(), Some(Close::Drain));
    }

    #[test]
    fn sixty_four_options_are_refused() {
        let input: Vec<u8> = (0..100).flat_map(|option| [0xff, 0xfd, option]).chain(*b"FOO\n").collect();
        let output: Vec<u8> = (0..64).flat_map(|option| [0xff, 0xfc, option]).chain(*b"? FOO\n").collect();
        assert_eq!(replies_to(&input), output);
    }

    #[test]
    fn cr_nul_ends_a_line_after_a_telnet_command() {
        assert_eq!(replies_to(b"FOO\r\0BAR\n\xff\xfe\x01X\r\0Y\r\n"), b"? FOO\r\0BAR\n? X\n? Y\n");
        assert_eq!(replies_to(b"\xff\xf1FOO\r\0\r\0A\0B\r\0BAZ\nX\r\0"), b"? FOO\n? A\0B\n? BAZ\n? X\n");
        assert_eq!(replies_to(b"\xff\xfd\r\0X\n"), b"\xff\xfc\r? \0X\n", "the CR is the option");
        let long = b"x".repeat(100);
        let copy = [b"? ", &long[..64], b"\n? FOO\n"].concat();
        assert_eq!(replies_to(&[b"\xff\xf1", &long[..], b"\r\0FOO\r\0"].concat()), copy);
        assert_eq!(replies_to(&[b"\xff\xf1", &long[..64], b"\r\0FOO\r\0"].concat()), copy);
    }

    #[test]
    fn telnet_answers_keep_the_order_of_the_input() {
        let mut bench = client();
        bench.receive(KIWI.as_bytes());
        let line = bench.sent();
        bench.receive(b"WHATSAT kiwi 1 1\n\xff\xfd\x06FOO\n\xff\xfb\x06");
        assert_eq!(bench.sent(), "");
        answer_all(&mut bench, "{\"results\":[]}");
        let reply = format!("{line}{{\"results\":[]}}\n\n");
        assert_eq!(bench.sent_bytes(), [reply.as_bytes(), b"\xff\xfc\x06? FOO\n\xff\xfe\x06"].concat());
    }

    #[test]
    fn a_byte_order_mark_is_dropped_at_the_start_only() {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        assert_eq!(
            replies_to(&[MARK, b"FOO\n", MARK, b"BAR\n"].concat()),
            [b"? FOO\n? ", MARK, b"BAR\n"].concat()
        );
        assert_eq!(replies_to(&[MARK, MARK, b"FOO\n"].concat()), [b"? ", MARK, b"FOO\n"].concat());
        assert_eq!(replies_to(&[b" ", MARK, b"FOO\n"].concat()), [b"? ", MARK, b"FOO\n"].concat());
        assert_eq!(replies_to(&[MARK, b"\r\n", MARK].concat()), [b"? ", MARK, b"\n"].concat());
        assert_eq!(replies_to(b"\xef\xbbFOO\n"), b"? \xef\xbbFOO\n");
        assert_eq!(replies_to(b"\xef\xbb"), b"? \xef\xbb\n");
        assert_eq!(replies_to(&[MARK, b"\xff\xfd\x01FOO"].concat()), b"\xff\xfc\x01? FOO\n");
    }

    #[test]
    fn a_line_must_end_in_time() {
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
        assert_eq!((bench.sent().as_str(), bench.closing()), ("? FOO\n? B\n", Some(Close::Drain)));
    }

    #[test]
    fn a_slow_reader_is_not_read_from() {
        let mut bench = client().with_marks(100, 10);
        bench.receive(&b"FOO\n".repeat(1000));
        assert!(bench.pending() < 120 && bench.reading_is_paused());
        assert_eq!(bench.deadline(), Moment::NEVER);
        let mut replies = 0;
        while replies < 1000 {
            replies += bench.sent().lines().count();
        }
        assert_eq!((replies, bench.input_left()), (1000, 0));
    }

    #[test]
    fn an_over_long_line_is_timed_after_a_pause_too() {
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
    fn a_client_with_many_pending_questions_is_not_read_from() {
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
    fn an_over_long_line_is_judged_alike_however_it_is_split() {
        let hello = "HELLO herd/1 bruins Jaquez 0123456789abcdef\n";
        for (gap, answer) in [(52, "WELCOME Riley"), (53, "?    ")] {
            let line = format!("{:gap$}{hello}", "");
            let (mut whole, mut bytes) = (client(), client());
            (whole.server.limits.max_line, bytes.server.limits.max_line) = (64, 64);
            whole.receive(line.as_bytes());
            line.bytes().for_each(|byte| bytes.receive(&[byte]));
            for mut bench in [whole, bytes] {
                let sent = bench.sent();
                assert!(sent.starts_with(answer), "after {gap} spaces: {sent}");
            }
        }
    }

    #[test]
    fn hello_as_the_first_line_makes_a_peer() {
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
    fn on_a_full_server_only_a_neighbour_may_stay() {
        let mut bench = Bench::new(Conversation::Client(Client::peers_only()));
        bench.receive(b"IAMAT a +1-1 5\nHELLO herd/1 bruins Jaquez 0123456789abcdef\n");
        assert_eq!((bench.sent().as_str(), bench.closing()), ("", Some(Close::Abort)));
        let mut bench = Bench::new(Conversation::Client(Client::peers_only()));
        assert_eq!(bench.deadline(), bench.now + PEER_GRACE);
        bench.receive(b"HELLO herd/1 bruins Jaquez 0123456789abcdef\n");
        assert!(bench.sent().starts_with("WELCOME "));
    }

    #[test]
    fn a_lost_client_withdraws_its_questions() {
        let mut bench = client();
        bench.receive(KIWI.as_bytes());
        bench.receive(b"WHATSAT kiwi 1 1\n");
        assert_eq!(bench.server.desk.pending(), 1);
        bench.lose();
        assert_eq!(bench.server.desk.pending(), 0);
    }

    proptest! {
        /// The replies are the same however the input is split and however slowly the client reads.
        #[test]
        fn replies_do_not_depend_on_how_the_input_is_split(
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
                    // A constant clock, so that the skews do not depend on the split.
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
                assert_eq!(bench.closing(), Some(Close::Drain));
                // The times of lines read together differ by nanoseconds.
                sent.lines().map(|line| line.split(' ').enumerate().filter(|(i, _)| !line.starts_with("AT ") || *i != 2)
                    .map(|(_, word)| word).collect::<Vec<_>>().join(" ") + "\n").collect::<String>()
            };
            prop_assert_eq!(converse(&cuts, (30, 5)), converse(&[10_000], (100_000, 10)));
        }
    }
}
