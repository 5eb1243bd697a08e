//! Answers that are given again for a while.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Moment;
use crate::places::answer::Answer;
use crate::places::dialect::Request;

/// The latest answers, by their requests.
#[derive(Debug, Default)]
pub(super) struct Cache {
    answers: BTreeMap<Request, Rc<Answer>>,
    /// When each answer came, the oldest first.
    order: VecDeque<(Moment, Request)>,
    /// Bytes of all answers.
    bytes: usize,
}

impl Cache {
    /// The answer to this request, if it came less than `validity` ago.
    pub(super) fn get(&mut self, now: Moment, validity: Duration, request: &Request) -> Option<Rc<Answer>> {
        while self.order.front().is_some_and(|(came, _)| *came + validity <= now) {
            self.drop_oldest();
        }
        self.answers.get(request).cloned()
    }

    /// Keeps an answer. Older ones go if there are too many.
    pub(super) fn insert(&mut self, now: Moment, validity: Duration, request: &Request, answer: &Rc<Answer>) {
        let bytes = answer.text().len();
        if validity.is_zero() || bytes > BYTES_MAX || self.answers.contains_key(request) {
            return;
        }
        while self.answers.len() >= ANSWERS_MAX || self.bytes + bytes > BYTES_MAX {
            self.drop_oldest();
        }
        self.bytes += bytes;
        self.answers.insert(request.clone(), answer.clone());
        self.order.push_back((now, request.clone()));
    }

    fn drop_oldest(&mut self) {
        let oldest = self.order.pop_front().and_then(|(_, request)| self.answers.remove(&request));
        self.bytes -= oldest.map_or(0, |answer| answer.text().len());
    }
}

/// Answers that are kept (docs/protocol.md, section 1).
pub(super) const ANSWERS_MAX: usize = 1000;
/// Bytes of all answers that are kept: a thousand of usual size, and a dozen of the largest.
pub(super) const BYTES_MAX: usize = 64 * 1024 * 1024;
