//! The breaker: a service that fails is left alone for a while, so that no client waits for it.

use std::time::Duration;

use super::QuestionId;
use crate::clock::Moment;

/// Counts failures in a row, and stops the questions after too many.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// When the next question is put.
    until: Moment,
    /// How long it is open this time.
    pause: Duration,
    /// The message of the last failure.
    last: String,
    /// The question that tries whether the service works again.
    trial: Option<QuestionId>,
}

impl Breaker {
    /// Why no question is put now; `None`: one may be put.
    pub(super) fn refusal(&self, now: Moment) -> Option<String> {
        let open = self.open.as_ref().filter(|open| now < open.until || open.trial.is_some())?;
        let last = &open.last;
        Some(format!("no question is put for a moment, since the last ones failed; the last failure: {last}"))
    }

    /// Whether only a trial is put.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// A question was accepted: while the breaker is open, it is the trial.
    pub(super) fn put(&mut self, id: QuestionId) {
        if let Some(open) = &mut self.open {
            open.trial = Some(id);
        }
    }

    /// A question has failed, and is forgotten next. Returns whether the breaker opens now.
    pub(super) fn failed(&mut self, now: Moment, id: QuestionId, message: String) -> bool {
        match &mut self.open {
            Some(open) if open.trial == Some(id) => {
                open.pause = (2 * open.pause).min(PAUSE_MAX);
                (open.until, open.last) = (now + open.pause, message);
                true
            }
            // It was put before the breaker opened.
            Some(_) => false,
            None => {
                self.failures += 1;
                if self.failures < FAILURES_MAX {
                    return false;
                }
                self.open =
                    Some(Open { until: now + PAUSE_MIN, pause: PAUSE_MIN, last: message, trial: None });
                true
            }
        }
    }

    /// A question that was put has ended otherwise: the service works.
    pub(super) fn succeeded(&mut self) {
        *self = Breaker::default();
    }

    /// A question is gone. If it was the trial, the next one is.
    pub(super) fn forget(&mut self, id: QuestionId) {
        if let Some(open) = &mut self.open
            && open.trial == Some(id)
        {
            open.trial = None;
        }
    }
}

/// Failures in a row after which the breaker opens (docs/protocol.md, section 1).
pub(super) const FAILURES_MAX: u32 = 5;
/// How long the breaker is open at first (docs/protocol.md, section 1).
pub(super) const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest time for which the breaker is open (docs/protocol.md, section 1).
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(30);
