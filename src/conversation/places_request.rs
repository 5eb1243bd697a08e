//! The conversation with Places: one request at a time over HTTP/1.1, on a connection that is kept alive.

use std::rc::Rc;
use std::time::Duration;

use super::{Context, Handle, Server};
use crate::clock::Moment;
use crate::http::client::ResponseCollector;
use crate::places::answer::Answer;
use crate::places::desk::RequestFailure;
use crate::places::dialect::{Request, Service};
use crate::protocol::{Lost, Protocol};

/// A question to Places, as an HTTP request.
#[derive(Clone, Debug)]
pub struct Job {
    /// The service that is asked.
    pub service: Rc<Service>,
    /// The request.
    pub request: Request,
}

/// A connection to Places.
#[derive(Debug)]
pub struct PlacesRequest {
    /// The question in flight, or the last one.
    job: Job,
    /// The response to it; `None`: the connection is idle.
    reader: Option<ResponseCollector>,
    /// When the idle connection is closed.
    idle_until: Moment,
}

impl PlacesRequest {
    /// A connection that is being made for this question.
    pub fn new(job: Job) -> PlacesRequest {
        PlacesRequest { job, reader: Some(ResponseCollector::new(MAX_BODY)), idle_until: Moment::NEVER }
    }

    /// Sends the next question on an idle connection.
    pub fn ask(&mut self, context: &mut Context<'_>, job: Job) {
        self.job = job;
        self.reader = Some(ResponseCollector::new(MAX_BODY));
        self.send(context);
    }

    fn send(&mut self, context: &mut Context<'_>) {
        context.transport.write(self.job.request.bytes());
        // The desk limits the time of an answer.
        context.transport.set_deadline(Moment::NEVER);
    }

    fn answered(
        &mut self,
        context: &mut Context<'_>,
        result: Result<Answer, RequestFailure>,
        reusable: bool,
    ) {
        self.reader = None;
        context.shared.desk.answered(Handle::new(context.id), result, reusable);
        if reusable {
            self.idle_until = context.now + IDLE_MAX;
            self.wait_idle(context);
        } else {
            context.transport.abort();
        }
    }

    /// Sets the deadline of an idle connection.
    fn wait_idle(&mut self, context: &mut Context<'_>) {
        let is_in_the_way = context.shared.desk.awaits_new_connection();
        let until = if is_in_the_way { context.now + IN_THE_WAY_MAX } else { self.idle_until };
        context.transport.set_deadline(until.min(self.idle_until));
    }

    fn failed(&mut self, context: &mut Context<'_>, reason: String) {
        if let Some(reader) = &self.reader {
            let nothing_received = !reader.has_begun();
            self.answered(context, Err(RequestFailure { nothing_received, reason }), false);
        }
    }

    /// Hands over a complete response. `is_alone`: no further bytes followed it.
    fn finish(&mut self, context: &mut Context<'_>, is_alone: bool) {
        let Some(response) = self.reader.as_mut().and_then(ResponseCollector::finish) else {
            return;
        };
        let reusable = response.keep_alive && is_alone;
        let result = Ok(self.job.service.answer(response));
        self.answered(context, result, reusable);
    }
}

impl Protocol for PlacesRequest {
    type Shared = Server;

    fn connection_made(&mut self, context: &mut Context<'_>) {
        context.shared.desk.connected(Handle::new(context.id));
        self.send(context);
    }

    fn data_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let Some(reader) = &mut self.reader else {
            // A response without a request.
            context.transport.abort();
            return data.len();
        };
        match reader.data_received(data) {
            Ok(used) if reader.is_complete() => {
                self.finish(context, used == data.len());
                data.len()
            }
            Ok(used) => used,
            Err(error) => {
                self.failed(context, error.to_string());
                data.len()
            }
        }
    }

    fn eof_received(&mut self, context: &mut Context<'_>, _rest: &[u8]) {
        match self.reader.as_mut().map(ResponseCollector::eof_received) {
            Some(Ok(())) => self.finish(context, false),
            Some(Err(error)) => self.failed(context, error.to_string()),
            None => {}
        }
        context.transport.abort();
    }

    fn timed_out(&mut self, context: &mut Context<'_>) {
        let is_needless = context.now >= self.idle_until || context.shared.desk.awaits_new_connection();
        if self.reader.is_none() && !is_needless {
            self.wait_idle(context);
        } else if self.reader.is_none() {
            // The desk must not choose a connection that is closing.
            context.shared.desk.connection_lost(Handle::new(context.id));
            context.transport.close();
        }
    }

    fn shut_down(&mut self, context: &mut Context<'_>) {
        context.transport.abort();
    }

    fn connection_lost(&mut self, context: &mut Context<'_>, why: Lost) {
        let reason = match why {
            Lost::NotMade(error) => format!("no connection can be made: {error}"),
            Lost::NotSecured(error) => format!("the TLS handshake failed: {error}"),
            Lost::Failed(error) => format!("the connection broke: {error}"),
            Lost::Closed | Lost::Aborted | Lost::TimedOut => {
                "the connection ended before an answer came".to_owned()
            }
        };
        self.failed(context, reason);
        context.shared.desk.connection_lost(Handle::new(context.id));
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
    use crate::places::desk::{Problem, QuestionId, Step};
    use crate::places::dialect::Dialect;
    use crate::places::question::Question;
    use crate::protocol::Close;

    type DeskStep = Step<Handle<PlacesRequest>, Waiter>;

    fn job() -> Job {
        let service = Rc::new(Service {
            dialect: Dialect::GoogleLegacy,
            url: "http://localhost:1".into(),
            host: "localhost:1".into(),
            base_path: String::new(),
            key_env: None,
            key: Some("AIza-_Key".into()),
            is_local: false,
        });
        let request = service.request(&Question::new(b"+1", b"-1", b"10"));
        Job { service, request }
    }

    fn ask(bench: &mut Bench) -> DeskStep {
        let waiter = Waiter { client: Handle::new(bench.id), ticket: 1 };
        bench.server.desk.ask(bench.now, Question::new(b"+1", b"-1", b"10"), waiter);
        let is_action = |step: &DeskStep| !matches!(step, Step::WakeAt(..));
        std::iter::from_fn(|| bench.server.desk.next_step()).find(is_action).expect("an action")
    }

    /// A new connection with a question in flight.
    fn asked() -> Bench {
        let mut bench = Bench::new(Conversation::PlacesRequest(Box::new(PlacesRequest::new(job()))));
        let Step::Connect(id) = ask(&mut bench) else { panic!("there is no idle connection") };
        bench.server.desk.connecting(id, Handle::new(bench.id));
        assert!(
            bench.sent().starts_with(
                "GET /maps/api/place/nearbysearch/json?location=1,-1&radius=10000&key=AIza-_Key "
            )
        );
        bench
    }

    /// A question in flight on a connection that has had another one.
    fn asked_again() -> (Bench, QuestionId) {
        let mut bench = asked();
        bench.receive(RESPONSE.as_bytes());
        assert_eq!(outcome(&mut bench), Some(Ok(())));
        let Step::Ask(_, id) = ask(&mut bench) else { panic!("the connection is reusable") };
        bench.deliver(Handle::call(|request: &mut PlacesRequest, context| request.ask(context, job())));
        assert!(
            bench.sent().starts_with(
                "GET /maps/api/place/nearbysearch/json?location=1,-1&radius=10000&key=AIza-_Key "
            )
        );
        (bench, id)
    }

    fn outcome(bench: &mut Bench) -> Option<Result<(), Problem>> {
        match bench.server.desk.next_step() {
            Some(Step::Answer(_, result)) => Some(result.map(|_| ())),
            None => None,
            step => panic!("{step:?}"),
        }
    }

    fn reason(outcome: Option<Result<(), Problem>>) -> String {
        let Some(Err(Problem::Failed(reason))) = outcome else { panic!("{outcome:?}") };
        reason
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
        assert_eq!((outcome(&mut bench), outcome(&mut bench)), (Some(Ok(())), None));
        assert!(is_reusable(&mut bench));
    }

    #[test]
    fn a_connection_takes_one_question_after_the_other() {
        let (mut bench, _) = asked_again();
        bench.receive(RESPONSE.as_bytes());
        assert_eq!(outcome(&mut bench), Some(Ok(())));
    }

    #[test]
    fn bytes_after_a_response_end_the_connection() {
        let mut bench = asked();
        bench.receive(format!("{RESPONSE}x").as_bytes());
        assert_eq!((outcome(&mut bench), bench.closing()), (Some(Ok(())), Some(Close::Abort)));
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
        assert_eq!(outcome(&mut bench), Some(Ok(())));
        assert!(!is_reusable(&mut bench));
    }

    #[test]
    fn a_reused_connection_that_ends_without_a_byte_is_replaced() {
        let (mut bench, id) = asked_again();
        bench.eof();
        assert_eq!(bench.server.desk.next_step(), Some(Step::Connect(id)));
        let (mut bench, id) = asked_again();
        bench.lose();
        assert_eq!(bench.server.desk.next_step(), Some(Step::Connect(id)));
        let (mut bench, _) = asked_again();
        bench.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{");
        bench.eof();
        assert!(reason(outcome(&mut bench)).contains("closed in the middle"));
    }

    #[test]
    fn a_question_that_was_never_sent_is_asked_elsewhere() {
        let mut bench = asked();
        bench.receive(RESPONSE.as_bytes());
        assert_eq!(outcome(&mut bench), Some(Ok(())));
        let Step::Ask(_, id) = ask(&mut bench) else { panic!("the connection is reusable") };
        bench.lose();
        assert_eq!(bench.server.desk.next_step(), Some(Step::Connect(id)));
    }

    #[test]
    fn a_failure_of_the_service_is_an_answer_and_the_connection_stays() {
        for (response, words) in [
            ("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "HTTP status 500"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"results\":[],\"a\":\"AIza-_Key\"}",
                "repeats the key",
            ),
        ] {
            let mut bench = asked();
            bench.receive(response.as_bytes());
            let Some(Step::Answer(_, Ok(answer))) = bench.server.desk.next_step() else { panic!("{words}") };
            assert!(answer.text().contains(words) && !answer.text().contains("AIza"), "{}", answer.text());
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
        assert_eq!((bench.closing(), outcome(&mut bench)), (Some(Close::Drain), Some(Ok(()))));
        assert!(!is_reusable(&mut bench), "it is not chosen while it closes");
    }

    #[test]
    fn an_idle_connection_makes_way_for_a_question_on_a_new_one() {
        for is_answered in [false, true] {
            let mut bench = asked();
            let Step::Connect(id) = ask(&mut bench) else { panic!("the first one is in use") };
            let other = Handle::new(crate::protocol::ConnectionId { slot: 9, generation: 9 });
            bench.server.desk.connecting(id, other);
            bench.server.desk.connected(other);
            bench.receive(RESPONSE.as_bytes());
            assert_eq!(outcome(&mut bench), Some(Ok(())));
            let idle_since = bench.now;
            assert_eq!(bench.deadline(), idle_since + IN_THE_WAY_MAX);
            if is_answered {
                let answer = Answer::parse(b"{\"results\":[]}".to_vec()).unwrap();
                bench.server.desk.answered(other, Ok(answer), true);
            }
            bench.now = bench.deadline();
            bench.time_out();
            assert_eq!(bench.closing(), if is_answered { None } else { Some(Close::Drain) });
            if is_answered {
                assert_eq!(bench.deadline(), idle_since + IDLE_MAX);
            }
        }
    }
}
