//! The end of statements: when one is over by its server time. It stores no statement.
//!
//! A record has its server time in whole seconds; the nanoseconds stand in its line, and are read only in the one
//! second in which they decide.

/// The time for which statements count, in seconds from their server time on; 0: for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Of an AT: `limits.expire_s`.
    pub at_s: u32,
    /// Of a GONE: `limits.remember_gone_s`.
    pub gone_s: u32,
}

/// A server time in whole seconds since 1970, rounded down. Times before 1970 and after 2105 count as the first and
/// the last second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Second(u32);

impl Second {
    /// `VACANT`: there is no statement. It is after all seconds, so that it is never over.
    pub(super) const VACANT: Second = Second(u32::MAX);
    const LAST: Second = Second(u32::MAX - 1);

    /// The second of a time in nanoseconds since 1970.
    pub(super) fn of(nanoseconds: i128) -> Second {
        match u64::try_from(nanoseconds) {
            Ok(nanoseconds) => {
                u32::try_from(nanoseconds / SECOND_NS as u64).map_or(Second::LAST, Second).min(Second::LAST)
            }
            Err(_) if nanoseconds < 0 => Second(0),
            Err(_) => Second::LAST,
        }
    }
}

/// The server time before which statements of one kind are over.
#[derive(Clone, Copy, Debug)]
struct Horizon {
    /// In nanoseconds since 1970. [`i64::MIN`]: statements of this kind count for ever.
    ns: i64,
    second: Second,
}

impl Horizon {
    const NONE: Horizon = Horizon { ns: i64::MIN, second: Second(0) };

    fn of(now: i64, retention_s: u32) -> Horizon {
        if retention_s == 0 {
            return Horizon::NONE;
        }
        let ns = now - i64::from(retention_s) * SECOND_NS;
        Horizon { ns, second: Second::of(i128::from(ns)) }
    }
}

/// The horizons by the clock of this server.
#[derive(Debug)]
pub(super) struct Horizons {
    retention: Retention,
    /// The wall clock in nanoseconds since 1970, as it was read last.
    now: i64,
    at: Horizon,
    gone: Horizon,
}

impl Horizons {
    /// Statements count for ever.
    pub(super) const NONE: Horizons = Horizons {
        retention: Retention { at_s: 0, gone_s: 0 },
        now: 0,
        at: Horizon::NONE,
        gone: Horizon::NONE,
    };

    pub(super) fn set_retention(&mut self, retention: Retention) {
        self.retention = retention;
        self.set_time(self.now as u64);
    }

    /// Sets the time by this server's clock, in nanoseconds since 1970.
    #[inline]
    pub(super) fn set_time(&mut self, now: u64) {
        // Until the year 2262.
        self.now = i64::try_from(now).unwrap_or(i64::MAX);
        self.at = Horizon::of(self.now, self.retention.at_s);
        self.gone = Horizon::of(self.now, self.retention.gone_s);
    }

    pub(super) fn retention(&self) -> Retention {
        self.retention
    }

    /// Whether a statement is over. `received_ns` is its server time in nanoseconds since 1970.
    #[inline]
    pub(super) fn passed(&self, is_gone: bool, received_ns: i128) -> bool {
        received_ns < i128::from(self.of(is_gone).ns)
    }

    /// Whether a record is over. `received_ns` reads its server time; it is called only if the second of it does not
    /// decide.
    #[inline]
    pub(super) fn passed_second(
        &self,
        is_gone: bool,
        received: Second,
        received_ns: impl FnOnce() -> i128,
    ) -> bool {
        let second = self.of(is_gone).second;
        received < second || received == second && self.passed(is_gone, received_ns())
    }

    /// Whether a statement with a server time in this second may be over.
    pub(super) fn may_have_passed(&self, is_gone: bool, received: Second) -> bool {
        received <= self.of(is_gone).second
    }

    fn of(&self, is_gone: bool) -> &Horizon {
        if is_gone { &self.gone } else { &self.at }
    }
}

const SECOND_NS: i64 = 1_000_000_000;
