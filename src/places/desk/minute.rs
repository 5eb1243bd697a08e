//! The budget of requests for each minute.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;

/// The requests of the last minute, and those that will be sent.
#[derive(Debug, Default)]
pub(super) struct Minute {
    /// When requests were sent, the oldest first; empty without a bound.
    sent: VecDeque<Moment>,
    /// Requests that are accepted and not sent yet.
    reserved: usize,
}

impl Minute {
    /// Whether one more request may be accepted; `max` 0: no bound.
    pub(super) fn has_room(&mut self, now: Moment, max: usize) -> bool {
        while self.sent.front().is_some_and(|&sent| sent + WINDOW <= now) {
            self.sent.pop_front();
        }
        max == 0 || self.sent.len() + self.reserved < max
    }

    /// A request is accepted.
    pub(super) fn reserve(&mut self) {
        self.reserved += 1;
    }

    /// An accepted request will not be sent.
    pub(super) fn release(&mut self) {
        self.reserved -= 1;
    }

    /// An accepted request is sent.
    pub(super) fn send(&mut self, now: Moment, max: usize) {
        self.reserved -= 1;
        if max > 0 {
            self.sent.push_back(now);
        }
    }
}

/// The span in which requests are counted.
const WINDOW: Duration = Duration::from_secs(60);
