//! The sections `limits`, `peers` and `log`: how much of everything a server will bear, and what it notes.

use super::error::{Mistake, quoted};
use super::places::read_path;
use super::section::{Bounds, Section};
use crate::log::Level;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What one server bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a client's line, its LF not counted.
    pub max_line: usize,
    /// Accepted connections, links of neighbours not counted.
    pub max_connections: usize,
    /// Clients whose location is kept.
    pub max_clients: usize,
    /// Seconds that a client's time may be ahead of the server's clock; 0: as many as it likes.
    pub max_future_s: u64,
    /// From the first byte of a line to its end.
    pub line_timeout: Duration,
}

impl Limits {
    pub(super) fn read(section: &Section<'_>) -> Result<Limits, Mistake> {
        Ok(Limits {
            max_line: size(section.count("max_line", &MAX_LINE)?),
            max_connections: size(section.count("max_connections", &MAX_CONNECTIONS)?),
            max_clients: size(section.count("max_clients", &MAX_CLIENTS)?),
            max_future_s: section.count("max_future_s", &MAX_FUTURE_S)?,
            line_timeout: section.seconds("line_timeout_s", &LINE_TIMEOUT_S)?,
        })
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_line: size(MAX_LINE.default),
            max_connections: size(MAX_CONNECTIONS.default),
            max_clients: size(MAX_CLIENTS.default),
            max_future_s: MAX_FUTURE_S.default,
            line_timeout: Duration::from_secs(LINE_TIMEOUT_S.default),
        }
    }
}

/// How neighbours are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers {
    /// A link on which nothing arrives for so long is dropped.
    pub silence: Duration,
}

impl Peers {
    pub(super) fn read(section: &Section<'_>) -> Result<Peers, Mistake> {
        if let Some(item) = section.item("tls")
            && item.flag()?
        {
            return Err(item.mistake(
                "mutual TLS between servers is not built yet; write false, for a herd wholly on loopback",
            ));
        }
        Ok(Peers { silence: section.milliseconds("silence_ms", &SILENCE_MS)? })
    }
}

impl Default for Peers {
    fn default() -> Peers {
        Peers { silence: Duration::from_millis(SILENCE_MS.default) }
    }
}

/// Where a server writes what happens, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The folder of the log files, from the current folder.
    pub folder: PathBuf,
    /// What is written.
    pub level: Level,
}

impl Log {
    /// The log of a herd whose paths begin at `herd_folder` and whose file says nothing about it.
    pub(super) fn default_in(herd_folder: &Path) -> Log {
        Log { folder: herd_folder.join(DEFAULT_LOG_FOLDER), level: DEFAULT_LEVEL }
    }

    pub(super) fn read(section: &Section<'_>, herd_folder: &Path) -> Result<Log, Mistake> {
        let mut log = Log::default_in(herd_folder);
        if let Some(item) = section.item("dir") {
            log.folder = read_path(item, herd_folder)?;
        }
        if let Some(item) = section.item("level") {
            let name = item.text()?;
            log.level = Level::ALL.into_iter().find(|level| level.name() == name).ok_or_else(|| {
                let known = Level::ALL.map(Level::name).join(", ");
                item.mistake(format!("{} is not a level; write one of {known}", quoted(name)))
            })?;
        }
        Ok(log)
    }
}

impl Default for Log {
    /// The log of a herd without a file.
    fn default() -> Log {
        Log::default_in(Path::new(""))
    }
}

/// A count whose bounds end at 32 bits, so that it is a size on every machine that can run a herd.
fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Every key of the section `limits`.
pub(super) const LIMITS_KEYS: [&str; 5] =
    ["max_line", "max_connections", "max_clients", "max_future_s", "line_timeout_s"];

/// Every key of the section `peers`.
pub(super) const PEERS_KEYS: [&str; 2] = ["tls", "silence_ms"];

/// Every key of the section `log`.
pub(super) const LOG_KEYS: [&str; 2] = ["dir", "level"];

const DEFAULT_LOG_FOLDER: &str = "logs";

/// A herd is there to be watched; whoever needs the speed turns it down.
const DEFAULT_LEVEL: Level = Level::Traffic;

/// At least an IAMAT with a short client ID. At most a mebibyte: so much may be kept for every
/// connection that does not end its line.
const MAX_LINE: Bounds = Bounds { default: 8192, least: 64, most: 1 << 20 };

/// At most what a machine has file descriptors for.
const MAX_CONNECTIONS: Bounds = Bounds { default: 10_000, least: 1, most: 1_000_000 };

/// At most as many as there is room for: a store keeps 32 GiB of lines, 32 bytes for the shortest.
const MAX_CLIENTS: Bounds = Bounds { default: 10_000_000, least: 1, most: 1 << 30 };

/// A day covers every wrong time zone. 0 is no limit, and beyond a century there is none either.
const MAX_FUTURE_S: Bounds = Bounds { default: 86_400, least: 0, most: u32::MAX as u64 };

/// A person at a telnet prompt types a line within a minute. At most a day: a line that waits longer only
/// holds its memory.
const LINE_TIMEOUT_S: Bounds = Bounds { default: 60, least: 1, most: 86_400 };

/// Heartbeats come every third of it: at least a multiple of what a busy machine delays one by. At most
/// an hour: a link that is silent for longer is a dead one.
const SILENCE_MS: Bounds = Bounds { default: 3000, least: 100, most: 3_600_000 };

#[cfg(test)]
mod tests {
    use super::super::testing::{parse, with, wrong};

    #[test]
    fn mistakes_in_numbers_and_words() {
        for (section, key, least, most) in [
            ("places", "timeout_ms", 10, 600_000),
            ("peers", "silence_ms", 100, 3_600_000),
            ("limits", "max_line", 64, 1 << 20),
            ("limits", "max_connections", 1, 1_000_000),
            ("limits", "max_clients", 1, 1_073_741_824_u64),
            ("limits", "max_future_s", 0, 4_294_967_295),
            ("limits", "line_timeout_s", 1, 86_400),
        ] {
            let file = |value: &str| with(&format!(r#", "{section}": {{ "{key}": {value} }}"#));
            for good in [least, most] {
                assert!(parse(&file(&good.to_string())).is_ok(), "{key}: {good}");
            }
            let bad =
                [(least as i64 - 1).to_string(), (most + 1).to_string(), "64.0".into(), r#""64""#.into()];
            for bad in bad {
                wrong(&file(&bad), &format!("{section}.{key}"), &format!("from {least} to {most} is wanted"));
            }
        }
        wrong(&with(r#", "log": { "level": "loud" }"#), "log.level", "off, events, traffic");
        wrong(&with(r#", "log": { "dir": 1 }"#), "log.dir", "a text in quotes is wanted");
        wrong(&with(r#", "log": { "file": "x" }"#), "log.file", "those here are dir, level");
        wrong(&with(r#", "peers": { "tsl": false }"#), "peers.tsl", "those here are tls, silence_ms");
        wrong(&with(r#", "limits": [] "#), "limits", "not a list");
    }
}
