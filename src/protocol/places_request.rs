//! The conversation with Places: one question at a time over HTTP/1.1, on a connection that is kept.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::{Context, Ending, Lost, Message, Protocol, Request};
use crate::http::client::{ResponseCollector, write_get};
use crate::places::answer::Answer;
use crate::places::google_legacy::repeats_key;
use crate::places::pool::Failure;

/// A question to be asked, in the words of HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct Job {
    /// The `Host` field.
    pub host: String,
    /// The path with the query. It may hold the key: never log it.
    pub target: String,
    /// The key in it, which nobody else may read.
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
    /// What is asked last, or first, as soon as the connection is there.
    job: Option<Job>,
    /// The answer that is awaited.
    reader: Option<ResponseCollector>,
}

impl PlacesRequest {
    /// A connection that is being made to ask this.
    pub fn new(job: Job) -> PlacesRequest {
        PlacesRequest { job: Some(job), reader: Some(ResponseCollector::new(MAX_BODY)) }
    }

    fn ask(&mut self, context: &mut Context<'_>, job: Job) {
        write_get(context.transport.output(), &job.host, &job.target);
        self.reader = Some(ResponseCollector::new(MAX_BODY));
        self.job = Some(job);
        // How long an answer may take is the pool's to say.
        context.transport.set_deadline(crate::clock::Moment::NEVER);
    }

    fn answered(&mut self, context: &mut Context<'_>, result: Result<Answer, Failure>, reusable: bool) {
        self.reader = None;
        context.server.requests.push_back(Request::Answered { by: context.id, result, reusable });
        if reusable {
            context.transport.set_deadline(context.now + KEPT_MAX);
        } else {
            context.transport.abort();
        }
    }

    fn failed(&mut self, context: &mut Context<'_>, reason: String) {
        if let Some(reader) = &self.reader {
            let nothing_came = !reader.has_begun();
            self.answered(context, Err(Failure { nothing_came, reason }), false);
        }
    }

    /// Hands over an answer that is complete; `all_used`: nothing stands behind it.
    fn finish(&mut self, context: &mut Context<'_>, all_used: bool) {
        let Some(response) = self.reader.as_mut().and_then(ResponseCollector::finish) else {
            return;
        };
        let reusable = response.keep_alive && all_used && context.transport.ending() == Ending::Open;
        let key = self.job.as_ref().and_then(|job| job.key.as_deref());
        let result = match Answer::from_response(response.status, response.body) {
            Ok(answer) if key.is_some_and(|key| repeats_key(&answer, key)) => {
                Err("its answer repeats the key, so nobody may read it".to_owned())
            }
            result => result.map_err(|unusable| unusable.to_string()),
        };
        let result = result.map_err(|reason| Failure { nothing_came: false, reason });
        self.answered(context, result, reusable);
    }
}

impl Protocol for PlacesRequest {
    fn connection_made(&mut self, context: &mut Context<'_>) {
        if let Some(job) = self.job.take() {
            self.ask(context, job);
        }
    }

    fn data_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let Some(reader) = &mut self.reader else {
            // Nothing was asked.
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
            Some(Ok(())) => self.finish(context, true),
            Some(Err(error)) => self.failed(context, error.to_string()),
            None => {}
        }
        context.transport.abort();
    }

    fn timed_out(&mut self, context: &mut Context<'_>) {
        if self.reader.is_none() {
            context.transport.close();
        }
    }

    fn told(&mut self, context: &mut Context<'_>, message: Message) {
        match message {
            Message::Ask(job) => self.ask(context, job),
            Message::Stop => context.transport.abort(),
            Message::Answer { .. } => {}
        }
    }

    fn connection_lost(&mut self, context: &mut Context<'_>, why: Lost) {
        let reason = match why {
            Lost::NotMade(error) => format!("no connection can be made: {error}"),
            Lost::Failed(error) => format!("the connection broke: {error}"),
            Lost::Closed | Lost::Aborted | Lost::TimedOut => {
                "the connection ended before an answer came".to_owned()
            }
        };
        self.failed(context, reason);
    }
}

/// The maximum length in bytes of the body of a usable answer (docs/protocol.md, section 1). Twenty
/// results of Google's with photographs have some tens of KiB.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// How long a connection is kept without a question. Web servers close idle ones after a minute or
/// more; being first saves a question that runs into the closing.
const KEPT_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Conversation;
    use crate::protocol::testing::Bench;

    fn job() -> Job {
        Job { host: "localhost:1".into(), target: "/x?location=1,2".into(), key: Some("AIza-_Key".into()) }
    }

    fn asked() -> Bench {
        let mut bench = Bench::new(Conversation::PlacesRequest(Box::new(PlacesRequest::new(job()))));
        assert!(bench.sent().starts_with("GET /x?location=1,2 HTTP/1.1\r\n"));
        bench
    }

    fn outcome(bench: &mut Bench) -> Option<(Result<(), Failure>, bool)> {
        bench.requests().into_iter().find_map(|request| match request {
            Request::Answered { result, reusable, .. } => Some((result.map(|_| ()), reusable)),
            _ => None,
        })
    }

    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"results\":[]}";

    #[test]
    fn an_answer_in_pieces_is_handed_over_once_and_the_connection_is_kept() {
        let mut bench = asked();
        for byte in ANSWER.bytes() {
            assert_eq!(outcome(&mut bench), None);
            bench.receive(&[byte]);
        }
        assert_eq!(outcome(&mut bench), Some((Ok(()), true)));
        bench.tell(Message::Ask(job()));
        assert!(bench.sent().starts_with("GET "));
        bench.receive(ANSWER.as_bytes());
        assert_eq!(outcome(&mut bench), Some((Ok(()), true)));
    }

    #[test]
    fn what_stands_behind_an_answer_makes_the_connection_useless() {
        let mut bench = asked();
        bench.receive(format!("{ANSWER}x").as_bytes());
        assert_eq!(outcome(&mut bench), Some((Ok(()), false)));
        assert_eq!(bench.ending(), Ending::Aborting);
        let mut bench = asked();
        bench.receive(ANSWER.as_bytes());
        outcome(&mut bench);
        bench.receive(b"x");
        assert_eq!(bench.ending(), Ending::Aborting);
    }

    #[test]
    fn an_answer_that_ends_with_the_connection() {
        let mut bench = asked();
        bench.receive(b"HTTP/1.1 200 OK\r\n\r\n{\"results\":[]}");
        bench.eof();
        assert_eq!(outcome(&mut bench), Some((Ok(()), false)));
    }

    #[test]
    fn failures_say_whether_anything_came() {
        let mut bench = asked();
        bench.eof();
        let (result, reusable) = outcome(&mut bench).unwrap();
        assert!(result.unwrap_err().nothing_came && !reusable);
        let mut bench = asked();
        bench.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{");
        bench.eof();
        assert!(!outcome(&mut bench).unwrap().0.unwrap_err().nothing_came);
        let mut bench = asked();
        bench.lose();
        assert!(outcome(&mut bench).unwrap().0.unwrap_err().nothing_came);
        let mut bench = asked();
        bench.receive(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
        assert!(outcome(&mut bench).unwrap().0.unwrap_err().reason.contains("500"));
    }

    #[test]
    fn an_answer_that_repeats_the_key_is_not_handed_over() {
        let mut bench = asked();
        bench.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"results\":[],\"a\":\"AIza-_Key\"}");
        let (result, reusable) = outcome(&mut bench).unwrap();
        let reason = result.unwrap_err().reason;
        assert!(reason.contains("repeats the key") && !reason.contains("AIza"), "{reason}");
        assert!(reusable, "the next answer may be better");
    }

    #[test]
    fn a_kept_connection_is_closed_after_a_while() {
        let mut bench = asked();
        bench.receive(ANSWER.as_bytes());
        assert_eq!(bench.deadline(), bench.now + KEPT_MAX);
        bench.time_out();
        assert_eq!(bench.ending(), Ending::Closing);
    }
}
