//! The section `peers`.

use super::error::Error;
use super::section::{Item, Section};
use std::time::Duration;

/// The links between neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeersSection {
    /// Mutual TLS on the links. Without it every address of the herd is a loopback address.
    pub tls: bool,
    /// A link is dropped when nothing arrives on it for this time: 100 ms to an hour.
    pub silence: Duration,
}

impl PeersSection {
    pub(super) const KEYS: [&str; 2] = ["tls", "silence_ms"];

    pub(super) fn read(section: &Section<'_>) -> Result<PeersSection, Error> {
        let tls = section.get("tls").map_or(Ok(true), Item::flag)?;
        // Heartbeats come every third of it. The least value is a multiple of their delay on a busy machine.
        let silence = Duration::from_millis(section.integer("silence_ms", 3000, 100..=3_600_000)?);
        Ok(PeersSection { tls, silence })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{parse, with, wrong};

    #[test]
    fn links_are_tls_as_the_file_says() {
        assert!(parse(&with("")).unwrap().peers.tls);
        assert!(!parse(&with(r#", "peers": { "tls": false }"#)).unwrap().peers.tls);
        wrong(&with(r#", "peers": { "tls": "no" }"#), "peers.tls", "expected true or false, got \"no\"");
        wrong(&with(r#", "peers": { "tsl": false }"#), "peers.tsl", "tls, silence_ms; did you mean tls?");
    }
}
