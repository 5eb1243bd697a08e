//! The conversation with Places: one request at a time over HTTP/1.1, on a connection that is kept alive.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::{Context, Handle, Server};
use crate::clock::Moment;
use crate::http::client::{ResponseCollector, write_get};
use crate::places::answer::Answer;
use crate::places::desk::RequestFailure;
use crate::places::google_legacy::repeats_key;
use crate::protocol::{Lost, Protocol};

/// A question to Places, as an HTTP request.
#[derive(Clone, PartialEq, Eq)]
pub struct Job {
    /// The `Host` field.
    pub host: String,
    /// The path with the query. It can contain the key, so it must not be logged.
    pub target: String,
    /// The key in the target. A response that repeats it is not passed on.
    pub key: Option<Rc<str>>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a question to {}", self.host)
    }
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
        write_get(context.transport.output(), &self.job.host, &self.job.target);
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
        let result = match Answer::from_response(response.status, response.body) {
            Ok(answer) if self.job.key.as_ref().is_some_and(|key| repeats_key(&answer, key)) => {
                Err("its answer repeats the key, and is withheld".to_owned())
            }
            result => result.map_err(|unusable| unusable.to_string()),
        };
        let result = result.map_err(|reason| RequestFailure { nothing_received: false, reason });
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
    use crate::places::question::Question;
    use crate::protocol::Close;

    type DeskStep = Step<Handle<PlacesRequest>, Waiter>;

    fn job() -> Job {
        Job { host: "localhost:1".into(), target: "/x?location=1,2".into(), key: Some("AIza-_Key".into()) }
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
        assert!(bench.sent().starts_with("GET /x?location=1,2 HTTP/1.1\r\n"));
        bench
    }

    /// A question in flight on a connection that has had another one.
    fn asked_again() -> (Bench, QuestionId) {
        let mut bench = asked();
        bench.receive(RESPONSE.as_bytes());
        assert_eq!(outcome(&mut bench), Some(Ok(())));
        let Step::Ask(_, id) = ask(&mut bench) else { panic!("the connection is reusable") };
        bench.deliver(Handle::call(|request: &mut PlacesRequest, context| request.ask(context, job())));
        assert!(bench.sent().starts_with("GET /x?location=1,2 HTTP/1.1\r\n"));
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
    fn a_bad_status_is_named() {
        let mut bench = asked();
        bench.receive(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
        assert!(reason(outcome(&mut bench)).contains("500"));
    }

    #[test]
    fn an_answer_that_repeats_the_key_is_withheld() {
        let mut bench = asked();
        bench.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"results\":[],\"a\":\"AIza-_Key\"}");
        let reason = reason(outcome(&mut bench));
        assert!(reason.contains("repeats the key") && !reason.contains("AIza"), "{reason}");
        assert!(is_reusable(&mut bench), "the next response may be better");
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
