//! The section `clients`.

use super::error::Error;
use super::section::Section;
use std::time::Duration;

/// Settings for clients that neither end their lines nor half-close.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientsSection {
    /// A line that is a whole valid command is carried out without its LF after this time without input; zero:
    /// it waits for its LF. At most a day.
    pub end_line_after: Duration,
    /// A connection without pending replies is closed after this time without a byte in either direction; zero:
    /// it stays open. At most a day.
    pub close_after: Duration,
}

impl ClientsSection {
    pub(super) const KEYS: [&str; 2] = ["end_line_after_ms", "close_after_ms"];

    pub(super) fn read(section: &Section<'_>) -> Result<ClientsSection, Error> {
        Ok(ClientsSection {
            end_line_after: Duration::from_millis(section.integer("end_line_after_ms", 0, 0..=DAY_MS)?),
            close_after: Duration::from_millis(section.integer("close_after_ms", 0, 0..=DAY_MS)?),
        })
    }
}

const DAY_MS: u64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::super::testing::{parse, with, wrong};
    use super::*;

    #[test]
    fn both_settings_are_off_unless_they_are_set() {
        assert_eq!(parse(&with("")).unwrap().limits.clients, ClientsSection::default());
        let file = with(r#", "clients": { "end_line_after_ms": 150, "close_after_ms": 800 }"#);
        let clients = parse(&file).unwrap().limits.clients;
        assert_eq!(clients.end_line_after, Duration::from_millis(150));
        assert_eq!(clients.close_after, Duration::from_millis(800));
    }

    #[test]
    fn mistakes_in_clients() {
        wrong(&with(r#", "clients": { "end_line": 1 }"#), "clients.end_line", "unknown key");
        wrong(&with(r#", "clients": { "close_after_ms": 1.5 }"#), "clients.close_after_ms", "got 1.5");
    }
}
