//! Monotonic time, in which all waiting is done. Wall time (`text::time`) only dates statements and log lines.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment of monotonic time: nanoseconds since some beginning of the network's choice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The beginning.
    pub const START: Moment = Moment(0);
    /// Later than anything that happens (584 years): the deadline of what may wait for ever.
    pub const NEVER: Moment = Moment(u64::MAX);

    /// So long after the beginning; at most until [`Moment::NEVER`].
    pub fn after_start(duration: Duration) -> Moment {
        Moment(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(Moment::after_start(duration).0))
    }
}

impl Sub for Moment {
    type Output = Duration;

    /// How long after `earlier`; nothing if it is not.
    fn sub(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Moment::NEVER => f.write_str("never"),
            Moment(nanoseconds) => {
                write!(f, "{}.{:09} s", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
            }
        }
    }
}
