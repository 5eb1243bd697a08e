//! The section `peers`.

use super::error::Error;
use super::section::Section;
use std::time::Duration;

/// The links between neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeersSection {
    /// A link is dropped when nothing arrives on it for this time: 100 ms to an hour.
    pub silence: Duration,
}

impl PeersSection {
    pub(super) const KEYS: [&str; 2] = ["tls", "silence_ms"];

    pub(super) fn read(section: &Section<'_>) -> Result<PeersSection, Error> {
        if let Some(item) = section.get("tls")
            && item.flag()?
        {
            return Err(item.error(
                "mutual TLS between servers is not built yet; write false, and give every server a \
                 loopback address",
            ));
        }
        // Heartbeats come every third of it. The least value is a multiple of their delay on a busy machine.
        let silence = Duration::from_millis(section.integer("silence_ms", 3000, 100..=3_600_000)?);
        Ok(PeersSection { silence })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{with, wrong};

    #[test]
    fn mistakes_in_peers() {
        wrong(&with(r#", "peers": { "tls": true }"#), "peers.tls", "is not built yet");
        wrong(&with(r#", "peers": { "tls": "no" }"#), "peers.tls", "expected true or false, got \"no\"");
        wrong(&with(r#", "peers": { "tsl": false }"#), "peers.tsl", "tls, silence_ms; did you mean tls?");
    }
}
