//! The conversation with Places: one request at a time over HTTP/1.1, on a connection that is kept alive.

use std::time::Duration;

use super::{Context, Handle, Server};
use crate::clock::Moment;
use crate::http::client::ResponseCollector;
use crate::places::desk::Outcome;
use crate::places::dialect::Request;
use crate::protocol::{Lost, Protocol};

/// A connection to Places.
#[derive(Debug)]
pub struct PlacesRequest {
    /// The response to the question in flight; `None`: the connection is idle, or is being made.
    reader: Option<ResponseCollector>,
    /// When the idle connection is closed.
    idle_until: Moment,
    /// The connection was made, its TLS session included.
    is_made: bool,
}

impl PlacesRequest {
    /// Sends the next question on an idle connection.
    pub fn ask(&mut self, context: &mut Context<'_>, request: &Request) {
        self.reader = Some(ResponseCollector::new(MAX_BODY));
        context.transport.write(request.bytes());
        // The desk limits the time of an answer.
        context.transport.set_deadline(Moment::NEVER);
    }

    /// Whether the connection was made, its TLS session included.
    pub(super) fn is_made(&self) -> bool {
        self.is_made
    }

    fn ended(&mut self, context: &mut Context<'_>, outcome: Outcome, reusable: bool) {
        self.reader = None;
        context.shared.desk.answered(context.now, Handle::new(context.id), outcome, reusable);
        if reusable {
            self.became_idle(context);
        } else {
            self.abort(context);
        }
    }

    fn became_idle(&mut self, context: &mut Context<'_>) {
        self.idle_until = context.now + IDLE_MAX;
        self.wait_idle(context);
    }

    /// Sets the deadline of an idle connection.
    fn wait_idle(&mut self, context: &mut Context<'_>) {
        let is_in_the_way = context.shared.desk.awaits_new_connection();
        let until = if is_in_the_way { context.now + IN_THE_WAY_MAX } else { self.idle_until };
        context.transport.set_deadline(until.min(self.idle_until));
    }

    /// Ends the connection. The desk must not choose it while it ends.
    fn abort(&mut self, context: &mut Context<'_>) {
        context.shared.desk.connection_lost(context.now, Handle::new(context.id));
        context.transport.abort();
    }

    fn broken(&mut self, context: &mut Context<'_>, reason: String) {
        if let Some(reader) = &self.reader {
            let nothing_received = !reader.has_begun();
            self.ended(context, Outcome::Broken { nothing_received, reason }, false);
        }
    }

    /// Hands over a complete response. `is_alone`: no further bytes followed it.
    fn finish(&mut self, context: &mut Context<'_>, is_alone: bool) {
        if let Some(response) = self.reader.as_mut().and_then(ResponseCollector::finish) {
            let reusable = response.keep_alive && is_alone;
            self.ended(context, Outcome::Response(response), reusable);
        }
    }
}

impl Default for PlacesRequest {
    /// A connection that is being made. It asks the desk for its question when it is made.
    fn default() -> PlacesRequest {
        PlacesRequest { reader: None, idle_until: Moment::NEVER, is_made: false }
    }
}

impl Protocol for PlacesRequest {
    type Shared = Server;

    fn connection_made(&mut self, context: &mut Context<'_>) {
        self.is_made = true;
        match context.shared.desk.connected(context.now, Handle::new(context.id)) {
            Some(request) => self.ask(context, &request),
            // Its question has got another connection meanwhile.
            None => self.became_idle(context),
        }
    }

    fn data_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let Some(reader) = &mut self.reader else {
            // A response without a request.
            self.abort(context);
            return data.len();
        };
        match reader.data_received(data) {
            Ok(used) if reader.is_complete() => {
                self.finish(context, used == data.len());
                data.len()
            }
            Ok(used) => used,
            Err(error) => {
                self.broken(context, error.to_string());
                data.len()
            }
        }
    }

    fn eof_received(&mut self, context: &mut Context<'_>, _rest: &[u8]) {
        match self.reader.as_mut().map(ResponseCollector::eof_received) {
            Some(Ok(())) => self.finish(context, false),
            Some(Err(error)) => self.broken(context, error.to_string()),
            None => self.abort(context),
        }
    }

    fn timed_out(&mut self, context: &mut Context<'_>) {
        let is_needless = context.now >= self.idle_until || context.shared.desk.awaits_new_connection();
        if self.reader.is_none() && !is_needless {
            self.wait_idle(context);
        } else if self.reader.is_none() {
            // The desk must not choose a connection that is closing.
            context.shared.desk.connection_lost(context.now, Handle::new(context.id));
            context.transport.close();
        }
    }

    fn shut_down(&mut self, context: &mut Context<'_>) {
        context.transport.abort();
    }

    fn connection_lost(&mut self, context: &mut Context<'_>, why: Lost) {
        let reason = match why {
            Lost::NotMade(error) | Lost::Failed(error) if !self.is_made => {
                format!("no connection can be made: {error}")
            }
            Lost::NotSecured(error) => format!("the TLS handshake failed: {error}"),
            Lost::NotMade(error) | Lost::Failed(error) => format!("the connection broke: {error}"),
            Lost::Closed | Lost::Aborted | Lost::TimedOut => {
                "the connection ended before an answer came".to_owned()
            }
        };
        if self.is_made {
            self.broken(context, reason);
        } else {
            let outcome = Outcome::NotConnected(reason);
            context.shared.desk.answered(context.now, Handle::new(context.id), outcome, false);
        }
        context.shared.desk.connection_lost(context.now, Handle::new(context.id));
    }
}

/// Bytes of the body of a usable answer (docs/protocol.md, section 1). Twenty results of Google's with
/// photographs have some tens of KiB.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// How long a connection stays idle. Web servers close idle connections after a minute or more; closing first
/// avoids a request on a connection that the server is closing.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How long a connection stays idle while a question waits on a new one: the service may serve one connection at
/// a time. A second that is served at the same time has mostly answered by then.
const IN_THE_WAY_MAX: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::testing::Bench;
    use crate::conversation::{Conversation, Waiter};
    use crate::http::client::Response;
    use crate::places::desk::{QuestionId, Step};
    use crate::places::question::Question;
    use crate::protocol::Close;

    type DeskStep = Step<Handle<PlacesRequest>, Waiter>;

    fn next_step(bench: &mut Bench) -> Option<DeskStep> {
        let is_action = |step: &DeskStep| !matches!(step, Step::WakeAt(..));
        let now = bench.now;
        std::iter::from_fn(|| bench.server.desk.next_step(now)).find(is_action)
    }

    /// Asks a question that differs from all earlier ones.
    fn ask(bench: &mut Bench) -> DeskStep {
        bench.questions_asked += 1;
        let ticket = bench.questions_asked;
        let waiter = Waiter { conversation: Handle::new(bench.id), ticket };
        let radius_km = ticket.to_string();
        let question = Question::new(b"+1", b"-1", radius_km.as_bytes());
        bench.server.desk.ask(bench.now, question, waiter);
        next_step(bench).expect("an action")
    }

    fn sent_a_request(bench: &mut Bench) -> bool {
        bench.sent().starts_with("GET /maps/api/place/nearbysearch/json?location=1,-1&radius=")
    }

    /// A new connection with a question in flight.
    fn asked() -> Bench {
        let mut bench = Bench::unconnected(Conversation::PlacesRequest(Box::default()));
        let Step::Connect(id) = ask(&mut bench) else { panic!("there is no idle connection") };
        bench.server.desk.connecting(id, Handle::new(bench.id));
        bench.connect();
        assert!(sent_a_request(&mut bench));
        bench
    }

    /// A question in flight on a connection that has had another one.
    fn asked_again() -> (Bench, QuestionId) {
        let mut bench = asked();
        bench.receive(RESPONSE.as_bytes());
        assert!(is_answered(&mut bench));
        let Step::Ask(_, request) = ask(&mut bench) else { panic!("the connection is reusable") };
        bench.deliver(Handle::call(move |own: &mut PlacesRequest, context| own.ask(context, &request)));
        assert!(sent_a_request(&mut bench));
        let id = bench.server.desk.last_question();
        (bench, id)
    }

    /// The text of the next answer.
    fn outcome(bench: &mut Bench) -> Option<String> {
        match next_step(bench) {
            Some(Step::Answer(_, answer)) => Some(answer.text().to_owned()),
            None => None,
            step => panic!("{step:?}"),
        }
    }

    fn is_answered(bench: &mut Bench) -> bool {
        outcome(bench).as_deref() == Some("{\"results\":[]}")
    }

    fn is_reusable(bench: &mut Bench) -> bool {
        matches!(ask(bench), Step::Ask(..))
    }

    const RESPONSE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"results\":[]}";

    #[test]
    fn a_response_in_pieces_is_handed_over_once_and_the_connection_stays() {
        let mut bench = asked();
        for byte in RESPONSE.bytes() {
            assert_eq!(outcome(&mut bench), None);
            bench.receive(&[byte]);
        }
        assert!(is_answered(&mut bench));
        assert_eq!(outcome(&mut bench), None);
        assert!(is_reusable(&mut bench));
    }

    #[test]
    fn a_connection_takes_one_question_after_the_other() {
        let (mut bench, _) = asked_again();
        bench.receive(RESPONSE.as_bytes());
        assert!(is_answered(&mut bench));
    }

    #[test]
    fn a_connection_that_is_not_made_is_a_failure_with_its_reason() {
        let error = || std::io::Error::other("bad certificate");
        for why in [Lost::NotMade(error()), Lost::Failed(error())] {
            let mut bench = Bench::unconnected(Conversation::PlacesRequest(Box::default()));
            let Step::Connect(id) = ask(&mut bench) else { panic!("there is no idle connection") };
            bench.server.desk.connecting(id, Handle::new(bench.id));
            bench.lose_because(why);
            let answer = outcome(&mut bench).unwrap();
            assert!(answer.contains("no connection can be made: bad certificate"), "{answer}");
        }
        let mut bench = asked();
        bench.lose_because(Lost::Failed(error()));
        assert!(outcome(&mut bench).unwrap().contains("the connection broke: bad certificate"));
    }

    #[test]
    fn a_connection_that_is_made_too_late_waits_for_the_next_question() {
        let mut bench = asked();
        let Step::Connect(id) = ask(&mut bench) else { panic!("the first one is in use") };
        let other = Handle::new(crate::protocol::ConnectionId { slot: 9, generation: 9 });
        bench.server.desk.connecting(id, other);
        bench.receive(RESPONSE.as_bytes());
        assert!(is_answered(&mut bench));
        assert!(
            matches!(next_step(&mut bench), Some(Step::Ask(..))),
            "the question takes the idle connection"
        );
        assert_eq!(next_step(&mut bench), Some(Step::Abort(other)));
        let mut late = Bench::unconnected(Conversation::PlacesRequest(Box::default()));
        late.connect();
        assert_eq!((late.sent().as_str(), late.deadline()), ("", late.now + IDLE_MAX));
    }

    #[test]
    fn bytes_after_a_response_end_the_connection() {
        let mut bench = asked();
        bench.receive(format!("{RESPONSE}x").as_bytes());
        assert!(is_answered(&mut bench));
        assert_eq!(bench.closing(), Some(Close::Abort));
        assert!(!is_reusable(&mut bench));
        let mut bench = asked();
        bench.receive(RESPONSE.as_bytes());
        bench.receive(b"x");
        assert_eq!(bench.closing(), Some(Close::Abort));
    }

    #[test]
    fn a_response_can_end_with_the_connection() {
        let mut bench = asked();
        bench.receive(b"HTTP/1.1 200 OK\r\n\r\n{\"results\":[]}");
        bench.eof();
        assert!(is_answered(&mut bench));
        assert!(!is_reusable(&mut bench));
    }

    #[test]
    fn a_reused_connection_that_ends_without_a_byte_is_replaced() {
        let (mut bench, id) = asked_again();
        bench.eof();
        assert_eq!(next_step(&mut bench), Some(Step::Connect(id)));
        let (mut bench, id) = asked_again();
        bench.lose();
        assert_eq!(next_step(&mut bench), Some(Step::Connect(id)));
        let (mut bench, _) = asked_again();
        bench.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{");
        bench.eof();
        assert!(outcome(&mut bench).unwrap().contains("closed in the middle"));
    }

    #[test]
    fn a_question_that_was_never_sent_is_asked_elsewhere() {
        let mut bench = asked();
        bench.receive(RESPONSE.as_bytes());
        assert!(is_answered(&mut bench));
        let Step::Ask(..) = ask(&mut bench) else { panic!("the connection is reusable") };
        let id = bench.server.desk.last_question();
        bench.lose();
        assert_eq!(next_step(&mut bench), Some(Step::Connect(id)));
    }

    #[test]
    fn a_failure_of_the_service_is_an_answer_and_the_connection_stays() {
        for (response, words) in [
            ("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "HTTP status 500"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "has no array"),
        ] {
            let mut bench = asked();
            bench.receive(response.as_bytes());
            let answer = outcome(&mut bench).unwrap();
            assert!(answer.contains(words), "{answer}");
            assert!(is_reusable(&mut bench), "the next response may be better");
        }
    }

    #[test]
    fn an_idle_connection_is_closed_after_a_while() {
        let mut bench = asked();
        bench.receive(RESPONSE.as_bytes());
        assert_eq!(bench.deadline(), bench.now + IDLE_MAX);
        bench.now = bench.deadline();
        bench.time_out();
        assert!(is_answered(&mut bench));
        assert_eq!(bench.closing(), Some(Close::Drain));
        assert!(!is_reusable(&mut bench), "it is not chosen while it closes");
    }

    #[test]
    fn an_idle_connection_makes_way_for_a_question_on_a_new_one() {
        for is_over in [false, true] {
            let mut bench = asked();
            let Step::Connect(id) = ask(&mut bench) else { panic!("the first one is in use") };
            let other = Handle::new(crate::protocol::ConnectionId { slot: 9, generation: 9 });
            bench.server.desk.connecting(id, other);
            bench.server.desk.connected(bench.now, other).unwrap();
            bench.receive(RESPONSE.as_bytes());
            assert!(is_answered(&mut bench));
            let idle_since = bench.now;
            assert_eq!(bench.deadline(), idle_since + IN_THE_WAY_MAX);
            if is_over {
                let response = Response { status: 200, body: b"{}".to_vec(), ..Response::default() };
                bench.server.desk.answered(bench.now, other, Outcome::Response(response), true);
            }
            bench.now = bench.deadline();
            bench.time_out();
            assert_eq!(bench.closing(), if is_over { None } else { Some(Close::Drain) });
            if is_over {
                assert_eq!(bench.deadline(), idle_since + IDLE_MAX);
            }
        }
    }
}
