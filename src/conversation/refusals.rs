//! The refused commands and the losing statements of clients, as events of the log. Both are limited, so that
//! no client can fill the log with them.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::clock::Moment;

/// A limit of events of one kind: [`EVENTS_MAX`] in a second. The others are counted.
#[derive(Debug)]
pub struct EventLimit {
    second: Moment,
    logged: u32,
    not_logged: u64,
    all: u64,
}

impl EventLimit {
    pub(super) fn new() -> EventLimit {
        EventLimit { second: Moment::START, logged: 0, not_logged: 0, all: 0 }
    }

    /// The number of all events.
    pub fn all(&self) -> u64 {
        self.all
    }

    /// Counts an event. Returns how many were not logged before it; `None`: it must not be logged either.
    pub(super) fn admit(&mut self, now: Moment) -> Option<u64> {
        self.all += 1;
        if now >= self.second + Duration::from_secs(1) {
            (self.second, self.logged) = (now, 0);
        }
        if self.logged == EVENTS_MAX {
            self.not_logged += 1;
            return None;
        }
        self.logged += 1;
        Some(std::mem::take(&mut self.not_logged))
    }

    /// The events that were not logged, and are not reported yet.
    pub fn take_not_logged(&mut self) -> u64 {
        std::mem::take(&mut self.not_logged)
    }
}

/// The words about events that were not logged before one that is; none if there were none.
pub(super) struct NotLogged(pub(super) u64);

impl fmt::Display for NotLogged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0 { write!(f, " ({} before were not logged)", self.0) } else { Ok(()) }
    }
}

/// The clients whose losing statements were logged within an hour.
#[derive(Debug, Default)]
pub struct OlderStatements {
    logged: HashMap<Box<[u8]>, Moment>,
}

impl OlderStatements {
    /// Whether the losing statement of a client is to be logged: once an hour. With [`CLIENTS_MAX`] clients in
    /// an hour, those of further ones are not.
    pub(super) fn admit(&mut self, id: &[u8], now: Moment) -> bool {
        if let Some(at) = self.logged.get_mut(id) {
            let is_due = now >= *at + HOUR;
            if is_due {
                *at = now;
            }
            return is_due;
        }
        if self.logged.len() >= CLIENTS_MAX {
            self.logged.retain(|_, at| now < *at + HOUR);
        }
        let has_room = self.logged.len() < CLIENTS_MAX;
        if has_room {
            self.logged.insert(id.into(), now);
        }
        has_room
    }
}

/// Events of one kind in a second: enough to see what is wrong, and few enough for any disk.
pub(super) const EVENTS_MAX: u32 = 10;
const HOUR: Duration = Duration::from_secs(3600);
/// Clients that are remembered, for some hundred KiB.
const CLIENTS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::START + Duration::from_secs(seconds)
    }

    #[test]
    fn events_beyond_the_limit_are_counted() {
        let mut limit = EventLimit::new();
        let admitted = (0..100).filter(|_| limit.admit(at(5)).is_some()).count();
        assert_eq!((admitted, limit.all()), (EVENTS_MAX as usize, 100));
        assert_eq!(limit.admit(at(6)), Some(90));
        assert_eq!((limit.admit(at(6)), limit.take_not_logged()), (Some(0), 0));
    }

    #[test]
    fn a_client_is_named_once_an_hour() {
        let mut older = OlderStatements::default();
        assert!(older.admit(b"a", at(0)) && older.admit(b"b", at(1)));
        assert!(!older.admit(b"a", at(3599)));
        assert!(older.admit(b"a", at(3600)));
    }

    #[test]
    fn the_named_clients_are_bounded() {
        let mut older = OlderStatements::default();
        let admitted = |older: &mut OlderStatements, at| {
            (0..2 * CLIENTS_MAX).filter(|number| older.admit(number.to_string().as_bytes(), at)).count()
        };
        assert_eq!(admitted(&mut older, at(0)), CLIENTS_MAX);
        assert_eq!(older.logged.len(), CLIENTS_MAX);
        assert!(admitted(&mut older, at(4000)) >= CLIENTS_MAX, "after an hour there is room again");
    }
}
