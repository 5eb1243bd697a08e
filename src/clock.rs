//! Monotonic time as a value, for deadlines and timers. It reads no clock. Wall time is in `text::time`; it
//! only dates statements and log lines.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in monotonic time: nanoseconds since an arbitrary start, which the `System` of the event loop
/// chooses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The start.
    pub const START: Moment = Moment(0);
    /// `NEVER`: no deadline. The greatest value, 584 years after the start.
    pub const NEVER: Moment = Moment(u64::MAX);

    /// The moment this long after the start, at most [`Moment::NEVER`].
    pub fn after_start(duration: Duration) -> Moment {
        Moment(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The nanoseconds since `earlier`; 0 if `earlier` is later.
    pub fn nanoseconds_since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Monotonic time, for timers.
    pub now: Moment,
    /// Wall time in ns since 1970, for skews and log lines.
    pub wall: u64,
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(Moment::after_start(duration).0))
    }
}

impl Sub for Moment {
    type Output = Duration;

    /// The time since `earlier`; zero if `earlier` is later.
    fn sub(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.nanoseconds_since(earlier))
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
