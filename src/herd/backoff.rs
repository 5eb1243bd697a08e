//! Retry delays: exponential, with jitter.

use std::time::Duration;

/// The retry delays of one remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Backoff {
        Backoff { next: DELAY_MIN }
    }

    /// The next delay. `chance` decides half of it, so that servers that lost each other do not retry in step.
    pub(super) fn next_delay(&mut self, chance: u32) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(DELAY_MAX);
        delay / 2 + (delay / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }

    /// Starts with the shortest delay again.
    pub(super) fn reset(&mut self) {
        self.next = DELAY_MIN;
    }
}

/// The shortest delay without jitter: a restart takes less than a second.
const DELAY_MIN: Duration = Duration::from_millis(50);
/// The longest delay without jitter: a remote that is away for days costs one or two attempts per second.
const DELAY_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_second() {
        let mut backoff = Backoff::new();
        let delays: Vec<u128> = (0..7).map(|_| backoff.next_delay(u32::MAX).as_millis()).collect();
        assert_eq!(delays, [50, 100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.next_delay(u32::MAX).as_millis(), 50);
    }

    #[test]
    fn jitter_is_at_most_half_of_the_delay() {
        assert_eq!(Backoff::new().next_delay(0).as_millis(), 25);
    }
}
