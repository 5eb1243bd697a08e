//! The section `limits`, and with it `clients`.

use super::clients::ClientsSection;
use super::error::Error;
use super::section::Section;
use std::time::Duration;

/// The limits of each server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a client's line, its LF not counted: 64 to 1 MiB.
    pub max_line: usize,
    /// Accepted connections, links of neighbours not counted: 1 to 1,000,000.
    pub max_connections: usize,
    /// Accepted connections of one remote address off loopback: at most 1,000,000; 0: no limit.
    pub max_connections_per_address: usize,
    /// Lines that a client off loopback may send in a second before it is read from more slowly: at most
    /// 1,000,000; 0: no limit.
    pub max_lines_per_second: u32,
    /// Clients whose location is kept, and clients that were forgotten: 1 to 2^30.
    pub max_clients: usize,
    /// Seconds that a client's time may be ahead of the server's clock; 0: no limit.
    pub max_future_s: u64,
    /// Connections that follow at the same time: at most 1,000,000.
    pub max_followers: usize,
    /// Seconds from the server time of an AT to the moment from which it counts as unknown; 0: never.
    pub expire_s: u32,
    /// Seconds from the server time of a GONE for which it is kept: at least 1.
    pub remember_gone_s: u32,
    /// From the first byte of a line to its end: 1 s to a day.
    pub line_timeout: Duration,
    /// The section `clients`.
    pub clients: ClientsSection,
}

impl Limits {
    pub(super) const KEYS: [&str; 10] = [
        "max_line",
        "max_connections",
        "max_connections_per_address",
        "max_lines_per_second",
        "max_clients",
        "max_future_s",
        "max_followers",
        "expire_s",
        "remember_gone_s",
        "line_timeout_s",
    ];

    pub(super) fn read(section: &Section<'_>, clients: &Section<'_>) -> Result<Limits, Error> {
        Ok(Limits {
            // At least an IAMAT with a short client ID. At most 1 MiB, because each connection may keep
            // that much of an unfinished line.
            max_line: section.integer("max_line", 8192, 64..=1 << 20)?,
            // At most the number of file descriptors that a machine has.
            max_connections: section.integer("max_connections", 10_000, 1..=1_000_000)?,
            // As many as max_connections allows are no limit.
            max_connections_per_address: section.integer("max_connections_per_address", 0, 0..=1_000_000)?,
            // Far more than one connection delivers.
            max_lines_per_second: section.integer("max_lines_per_second", 0, 0..=1_000_000)?,
            // The store has room for 32 GiB of lines, and the shortest line takes 32 bytes.
            max_clients: section.integer("max_clients", 10_000_000, 1..=1 << 30)?,
            // A day covers every wrong time zone. More than a century is no limit, like 0.
            max_future_s: section.integer("max_future_s", 86_400, 0..=u64::from(u32::MAX))?,
            // As many as max_connections allows.
            max_followers: section.integer("max_followers", 1000, 0..=1_000_000)?,
            // 136 years at most: 32 bits, as a record has them.
            expire_s: section.integer("expire_s", 0, 0..=u32::MAX)?,
            // A server may be away for a week without bringing a forgotten client back.
            remember_gone_s: section.integer("remember_gone_s", 604_800, 1..=u32::MAX)?,
            // At a telnet prompt a line is typed within a minute.
            line_timeout: Duration::from_secs(section.integer("line_timeout_s", 60, 1..=86_400)?),
            clients: ClientsSection::read(clients)?,
        })
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::read(&Section::default(), &Section::default()).expect("the defaults are valid")
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{parse, with, wrong};

    #[test]
    fn integers_have_bounds() {
        for (section, key, least, most) in [
            ("places", "timeout_ms", 10, 600_000),
            ("places", "max_connections", 1, 1000),
            ("places", "max_waiting", 0, 1_000_000),
            ("places", "max_per_minute", 0, 1_000_000),
            ("peers", "silence_ms", 100, 3_600_000),
            ("limits", "max_line", 64, 1 << 20),
            ("limits", "max_connections", 1, 1_000_000),
            ("limits", "max_connections_per_address", 0, 1_000_000),
            ("limits", "max_lines_per_second", 0, 1_000_000),
            ("limits", "max_clients", 1, 1_073_741_824_u64),
            ("limits", "max_future_s", 0, 4_294_967_295),
            ("limits", "max_followers", 0, 1_000_000),
            ("limits", "expire_s", 0, 4_294_967_295),
            ("limits", "remember_gone_s", 1, 4_294_967_295),
            ("limits", "line_timeout_s", 1, 86_400),
            ("clients", "end_line_after_ms", 0, 86_400_000),
            ("clients", "close_after_ms", 0, 86_400_000),
        ] {
            let file = |value: &str| with(&format!(r#", "{section}": {{ "{key}": {value} }}"#));
            for good in [least, most] {
                assert!(parse(&file(&good.to_string())).is_ok(), "{key}: {good}");
            }
            let bad =
                [(least as i64 - 1).to_string(), (most + 1).to_string(), "64.0".into(), r#""64""#.into()];
            for bad in bad {
                let place = format!("{section}.{key}");
                wrong(&file(&bad), &place, &format!("expected an integer from {least} to {most}"));
            }
        }
        wrong(&with(r#", "limits": [] "#), "limits", "got a list");
        wrong(&with(r#", "limits": { "maxline": 64 }"#), "limits.maxline", "did you mean max_line?");
    }
}
