//! The log of one server: what it received, what it sent, whose connections began and ended.
//!
//! Lines are gathered here while the server works, and written by [`LogFile`] when its loop has nothing
//! else to do, or a little later. Each begins with its time in UTC to the microsecond. What others sent cannot make
//! lines or colours of its own: bytes outside printable ASCII are written `\xNN`.

mod file;

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

pub use file::{LogFile, complain};
use time::UtcDateTime;

use crate::text::simd::{self, EIGHT, write_eight};
use crate::text::time::write_integer;

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Off,
    /// Connections.
    Events,
    /// Connections and each message.
    #[default]
    Traffic,
}

impl Level {
    /// All levels, each with what those before it have.
    pub const ALL: [Level; 3] = [Level::Off, Level::Events, Level::Traffic];

    /// The name of this level in a herd file.
    pub fn name(self) -> &'static str {
        match self {
            Level::Off => "off",
            Level::Events => "events",
            Level::Traffic => "traffic",
        }
    }
}

/// Lines of a log that were not written yet.
#[derive(Debug)]
pub struct Log {
    level: Level,
    /// The name of the server, as it stands in the lines.
    server: Vec<u8>,
    lines: Vec<u8>,
    stamp: Stamp,
    source: Source,
}

impl Log {
    /// An empty log of the server of that name.
    pub fn new(server: &str, level: Level) -> Log {
        let (lines, stamp, source) = (Vec::new(), Stamp::default(), Source::default());
        Log { level, server: escaped(server).into_bytes(), lines, stamp, source }
    }

    /// What is logged.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Changes what is logged from now on.
    pub fn set_level(&mut self, level: Level) {
        self.level = level;
    }

    /// Sets the time of the lines that follow, in nanoseconds since 1970.
    pub fn set_time(&mut self, nanoseconds: u64) {
        self.stamp.set(nanoseconds);
    }

    /// A message (without LF) that a client or a server sent.
    pub fn received(&mut self, message: &[u8], from: SocketAddr) {
        if self.level >= Level::Traffic {
            self.begin();
            self.lines.extend_from_slice(b" received '");
            self.message(message);
            self.source.set(from);
            self.lines.extend_from_slice(&self.source.text);
        }
    }

    /// A reply to a client.
    pub fn sent_to_client(&mut self, message: &[u8]) {
        if self.level >= Level::Traffic {
            self.begin();
            self.lines.extend_from_slice(b" sent to client '");
            self.message(message);
            self.lines.extend_from_slice(b"'\n");
        }
    }

    /// A message (without LF) to a neighbour.
    pub fn sent_to_server(&mut self, server: &str, message: &[u8]) {
        if self.level >= Level::Traffic {
            self.begin();
            self.lines.extend_from_slice(b" sent to server ");
            write_escaped(server.as_bytes(), &mut self.lines);
            self.lines.extend_from_slice(b" '");
            self.message(message);
            self.lines.extend_from_slice(b"'\n");
        }
    }

    /// Something that happened: `New connection to server Jaquez was made`.
    pub fn event(&mut self, what: fmt::Arguments<'_>) {
        if self.level >= Level::Events {
            self.lines.extend_from_slice(&self.stamp.text);
            let start = self.lines.len();
            let _ = Text(&mut self.lines).write_fmt(what);
            // What happened may quote what others sent.
            if self.lines[start..].iter().any(|&byte| !is_plain(byte)) {
                let text = self.lines.split_off(start);
                write_escaped(&text, &mut self.lines);
            }
            self.lines.push(b'\n');
        }
    }

    /// The lines gathered so far.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Forgets the lines gathered so far.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.lines.shrink_to(LINES_KEPT);
    }

    fn begin(&mut self) {
        self.lines.extend_from_slice(&self.stamp.text);
        self.lines.extend_from_slice(&self.server);
    }

    fn message(&mut self, message: &[u8]) {
        let message = message.strip_suffix(b"\n").unwrap_or(message);
        let shown = &message[..message.len().min(MESSAGE_MAX)];
        write_escaped(shown, &mut self.lines);
        if shown.len() < message.len() {
            let _ = write!(Text(&mut self.lines), "... ({} bytes)", message.len());
        }
    }
}

/// A name as it stands in log lines: every byte outside printable ASCII as `\xNN`.
pub fn escaped(name: &str) -> String {
    let mut lines = Vec::new();
    write_escaped(name.as_bytes(), &mut lines);
    String::from_utf8_lossy(&lines).into_owned()
}

/// Appends `text` with every byte outside printable ASCII as `\xNN`.
fn write_escaped(text: &[u8], lines: &mut Vec<u8>) {
    // Nearly all texts are.
    if simd::is_printable(text) {
        lines.extend_from_slice(text);
        return;
    }
    let mut rest = text;
    while let Some(end) = rest.iter().position(|&byte| !is_plain(byte)) {
        lines.extend_from_slice(&rest[..end]);
        let _ = write!(Text(lines), "\\x{:02x}", rest[end]);
        rest = &rest[end + 1..];
    }
    lines.extend_from_slice(rest);
}

fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

/// Writes text into bytes.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// The end of a line, `' from (127.0.0.1, 54928)` with its LF. Lines of one read share it.
#[derive(Debug, Default)]
struct Source {
    address: Option<SocketAddr>,
    text: Vec<u8>,
}

impl Source {
    fn set(&mut self, address: SocketAddr) {
        if self.address != Some(address) {
            self.address = Some(address);
            self.text.clear();
            self.text.extend_from_slice(b"' from (");
            // Without the machinery of formatting, which would cost more than the rest of a line.
            write_host(address.ip(), &mut self.text);
            self.text.extend_from_slice(b", ");
            write_integer(u64::from(address.port()), &mut self.text);
            self.text.extend_from_slice(b")\n");
        }
    }
}

fn write_host(host: IpAddr, text: &mut Vec<u8>) {
    let IpAddr::V4(address) = host else {
        let _ = write!(Text(text), "{host}");
        return;
    };
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push(b'.');
        }
        write_integer(u64::from(octet), text);
    }
}

/// The beginning of a line, `2026-11-21 02:11:51.123456 `. Lines of one read share it, and those of
/// one second all but the digits behind the point.
#[derive(Debug, Default)]
struct Stamp {
    second: u64,
    text: Vec<u8>,
}

impl Stamp {
    fn set(&mut self, nanoseconds: u64) {
        let second = nanoseconds / 1_000_000_000;
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text = date_and_time(second).into_bytes();
            self.text.extend_from_slice(b".000000 ");
        }
        let microsecond = (nanoseconds % 1_000_000_000 / 1000) as u32;
        let end = self.text.len() - 1;
        let digits = &write_eight(microsecond)[EIGHT - MICROSECOND_DIGITS..];
        self.text[end - MICROSECOND_DIGITS..end].copy_from_slice(digits);
    }
}

/// Digits of a microsecond within its second.
const MICROSECOND_DIGITS: usize = 6;

/// Converts seconds since 1970 to date and time in UTC, `2026-11-21 02:11:51`.
fn date_and_time(second: u64) -> String {
    // Never fails: 64 bits of nanoseconds end in the year 2554.
    let time = i64::try_from(second).ok().and_then(|second| UtcDateTime::from_unix_timestamp(second).ok());
    let time = time.unwrap_or(UtcDateTime::UNIX_EPOCH);
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second) = time.as_hms();
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Bytes of a message that are shown: every line that may be sent, unless `limits.max_line` is raised, and the
/// beginning of a long answer of Places. A log that repeats megabytes helps nobody.
const MESSAGE_MAX: usize = 16 * 1024;
/// Bytes of room that are kept from turn to turn.
const LINES_KEPT: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_621_464_827_959_498_503;
    const STAMP: &str = "2021-05-19 22:53:47.959498";

    fn log(level: Level, act: impl Fn(&mut Log)) -> String {
        let mut log = Log::new("Riley", level);
        log.set_time(NOW);
        act(&mut log);
        String::from_utf8(log.lines().to_vec()).unwrap()
    }

    #[test]
    fn the_forms_of_lines() {
        let from = "127.0.0.1:5".parse().unwrap();
        assert_eq!(
            log(Level::Traffic, |log| log.received(b"IAMAT x\r", from)),
            format!("{STAMP} Riley received 'IAMAT x\\x0d' from (127.0.0.1, 5)\n")
        );
        assert_eq!(
            log(Level::Traffic, |log| log.sent_to_client(b"? a\n")),
            format!("{STAMP} Riley sent to client '? a'\n")
        );
        assert_eq!(
            log(Level::Traffic, |log| log.sent_to_server("Jaquez", b"AT\n")),
            format!("{STAMP} Riley sent to server Jaquez 'AT'\n")
        );
        assert_eq!(
            log(Level::Events, |log| log.event(format_args!("New connection to server {} was made", "J"))),
            format!("{STAMP} New connection to server J was made\n")
        );
    }

    #[test]
    fn nobody_writes_lines_of_his_own() {
        let text = log(Level::Traffic, |log| {
            log.sent_to_client(b"a\nb\x1b[2J\x07\0\x7f\xe2\x80\x94\\'\n");
            log.event(format_args!("refused: a\nb\u{1b}"));
        });
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains(r"'a\x0ab\x1b[2J\x07\x00\x7f\xe2\x80\x94\''"), "{text}");
        assert!(text.contains(r"refused: a\x0ab\x1b"), "{text}");
    }

    #[test]
    fn a_name_is_written_like_all_else() {
        let mut log = Log::new("Zo\u{eb}", Level::Traffic);
        log.sent_to_server("Ana\u{ef}s", b"AT");
        assert_eq!(
            log.lines(),
            br"Zo\xc3\xab sent to server Ana\xc3\xafs 'AT'".iter().chain(b"\n").copied().collect::<Vec<_>>()
        );
    }

    #[test]
    fn levels() {
        let act = |log: &mut Log| {
            log.sent_to_client(b"a");
            log.event(format_args!("b"));
        };
        assert_eq!(log(Level::Traffic, act).lines().count(), 2);
        assert_eq!(log(Level::Events, act).lines().count(), 1);
        assert_eq!(log(Level::Off, act), "");
    }

    #[test]
    fn a_long_message_is_cut() {
        let text = log(Level::Traffic, |log| log.sent_to_client(&vec![b'x'; MESSAGE_MAX + 1]));
        assert!(text.ends_with(&format!("x... ({} bytes)'\n", MESSAGE_MAX + 1)));
        assert!(text.len() < MESSAGE_MAX + 100);
    }

    #[test]
    fn dates() {
        for (second, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_704_067_199, "2023-12-31 23:59:59"),
            (4_107_542_399, "2100-02-28 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(date_and_time(second), text);
        }
    }
}
