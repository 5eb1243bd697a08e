//! What became of the questions.

use crate::metrics::Durations;

/// The questions of a desk since its start.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Questions by what became of them at once, by [`Reception`].
    pub received: [u64; Reception::ALL.len()],
    /// Questions that were accepted and have ended, by [`End`]. A shared question counts once.
    pub ended: [u64; End::ALL.len()],
    /// The times from the acceptance of a question to its answer or failure.
    pub latencies: Durations,
}

/// What becomes of a question at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    /// It is accepted, and waits or is put.
    Accepted,
    /// It shares an equal one that is pending.
    Shared,
    /// It gets an earlier answer.
    Cached,
    /// The service does not take it.
    Invalid,
    /// The breaker is open.
    BreakerOpen,
    /// `places.max_per_minute`.
    PerMinute,
    /// `places.max_waiting`.
    TooMany,
    /// The server is ending.
    Ending,
}

impl Reception {
    /// All of them with their names.
    pub const ALL: [(Reception, &'static str); 8] = [
        (Reception::Accepted, "accepted"),
        (Reception::Shared, "shared"),
        (Reception::Cached, "cached"),
        (Reception::Invalid, "invalid"),
        (Reception::BreakerOpen, "breaker_open"),
        (Reception::PerMinute, "per_minute"),
        (Reception::TooMany, "too_many"),
        (Reception::Ending, "ending"),
    ];
}

/// The end of a question that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The service has answered it.
    Answered,
    /// The service has answered with an error, or with what is no answer.
    Error,
    /// No connection could be made.
    NotConnected,
    /// The connection broke.
    Broken,
    /// Its time was over.
    TimedOut,
    /// It waited when the breaker opened.
    BreakerOpen,
    /// It had to be put again, and `places.max_per_minute` was reached.
    PerMinute,
    /// The service was changed, and the other one does not take it.
    Invalid,
    /// No client waits for it any longer.
    Withdrawn,
    /// The server is ending.
    Ending,
}

impl End {
    /// All of them with their names.
    pub const ALL: [(End, &'static str); 10] = [
        (End::Answered, "answered"),
        (End::Error, "error"),
        (End::NotConnected, "not_connected"),
        (End::Broken, "broken"),
        (End::TimedOut, "timed_out"),
        (End::BreakerOpen, "breaker_open"),
        (End::PerMinute, "per_minute"),
        (End::Invalid, "invalid"),
        (End::Withdrawn, "withdrawn"),
        (End::Ending, "ending"),
    ];
}

impl Statistics {
    /// The number of questions of which this became at once.
    pub fn received(&self, reception: Reception) -> u64 {
        self.received[reception as usize]
    }

    /// The number of questions with this end.
    pub fn ended(&self, end: End) -> u64 {
        self.ended[end as usize]
    }

    pub(super) fn note_received(&mut self, reception: Reception) {
        self.received[reception as usize] += 1;
    }

    pub(super) fn note_ended(&mut self, end: End) {
        self.ended[end as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_at_the_index_of_its_value() {
        assert!(Reception::ALL.iter().enumerate().all(|(index, (value, _))| *value as usize == index));
        assert!(End::ALL.iter().enumerate().all(|(index, (value, _))| *value as usize == index));
    }
}
