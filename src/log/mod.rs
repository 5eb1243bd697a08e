//! The traffic log of one server: messages received and sent, connections made and lost. This module formats
//! lines into pages; a [`Page`] is written to its [`Sink`], a [`LogFile`], on a thread of its own.
//!
//! Each line begins with its time in UTC to the microsecond. Bytes outside printable ASCII are written `\xNN`, so
//! that a client or a peer can inject neither lines nor terminal escape sequences.

mod file;
mod pages;

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

pub use file::{LogFile, warn};
pub use pages::{BYTES_MAX, Page, SharedSink, Sink};

use pages::Pages;
use time::UtcDateTime;

use crate::clock::Moment;
use crate::text::simd::{self, EIGHT, write_eight};
use crate::text::time::write_integer;

/// The amount of logging, `log` in a herd file.
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
    /// All levels. Each includes those before it.
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

/// The lines of a log that were not handed over to its sink yet.
#[derive(Debug)]
pub struct Log {
    level: Level,
    /// The page that is being filled.
    lines: Vec<u8>,
    /// The length of `lines` from which on the next line needs another page.
    page_end: usize,
    pages: Pages,
    start: Start,
    source: Source,
}

impl Log {
    /// An empty log of the server with that name. Its lines stay in memory.
    pub fn new(server: &str, level: Level) -> Log {
        Log::with_pages(server, level, Pages::new(None))
    }

    /// An empty log of the server with that name, whose pages are written to `sink`.
    pub fn writing_to(server: &str, level: Level, sink: SharedSink) -> Log {
        Log::with_pages(server, level, Pages::new(Some(sink)))
    }

    fn with_pages(server: &str, level: Level, pages: Pages) -> Log {
        Log {
            level,
            lines: pages.first(),
            page_end: pages.end(),
            pages,
            start: Start::new(escaped(server)),
            source: Source::default(),
        }
    }

    /// The amount of logging.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Sets the amount of logging for the lines that follow.
    pub fn set_level(&mut self, level: Level) {
        self.level = level;
    }

    /// Sets the time of the lines that follow, in nanoseconds since 1970.
    pub fn set_time(&mut self, nanoseconds: u64) {
        self.start.set(nanoseconds);
    }

    /// Logs a message from a client or a peer.
    pub fn received(&mut self, message: &[u8], from: SocketAddr) {
        if self.level >= Level::Traffic {
            self.begin();
            self.lines.extend_from_slice(b" received '");
            self.message(message);
            self.source.set(from);
            self.lines.extend_from_slice(&self.source.text);
        }
    }

    /// Logs a request over HTTP: its first line, and its body if there is one.
    pub fn received_request(&mut self, request: &str, body: &[u8], from: SocketAddr) {
        if self.level >= Level::Traffic {
            self.begin();
            self.lines.extend_from_slice(b" received '");
            self.message(request.as_bytes());
            if !body.is_empty() {
                self.lines.push(b' ');
                self.message(body);
            }
            self.source.set(from);
            self.lines.extend_from_slice(&self.source.text);
        }
    }

    /// Logs a response over HTTP: its status and its body.
    pub fn sent_response(&mut self, status: u16, body: &[u8]) {
        if self.level >= Level::Traffic {
            self.begin();
            self.lines.extend_from_slice(b" sent to client '");
            write_integer(status.into(), &mut self.lines);
            self.lines.push(b' ');
            self.message(body);
            self.lines.extend_from_slice(b"'\n");
        }
    }

    /// Logs a reply to a client.
    pub fn sent_to_client(&mut self, message: &[u8]) {
        if self.level >= Level::Traffic {
            self.begin();
            self.lines.extend_from_slice(b" sent to client '");
            self.message(message);
            self.lines.extend_from_slice(b"'\n");
        }
    }

    /// Logs a message to a neighbour.
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

    /// Logs an event, such as `New connection to server Jaquez was made`.
    pub fn event(&mut self, event: fmt::Arguments<'_>) {
        if self.level >= Level::Events {
            self.make_room();
            self.lines.extend_from_slice(self.start.time());
            let start = self.lines.len();
            let _ = ByteWriter(&mut self.lines).write_fmt(event);
            // An event may quote input.
            if self.lines[start..].iter().any(|&byte| !is_printable(byte)) {
                let text = self.lines.split_off(start);
                write_escaped(&text, &mut self.lines);
            }
            self.lines.push(b'\n');
        }
    }

    /// The lines of the page that is being filled.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Drops the lines of the page that is being filled.
    pub fn clear(&mut self) {
        self.lines.clear();
    }

    /// Whether there are lines to hand over, apart from those of full pages.
    pub fn has_begun(&self) -> bool {
        self.pages.has_begun(&self.lines)
    }

    /// Makes the lines that there are a full page, to be handed over.
    pub fn close_page(&mut self) {
        self.pages.close(&mut self.lines);
        self.page_end = self.pages.end();
    }

    /// Reopens the sink between the lines that were logged before and those after this call.
    pub fn reopen(&mut self) {
        self.close_page();
        self.pages.reopen();
    }

    /// Whether all pages that were full are written.
    pub fn is_written(&self) -> bool {
        self.pages.are_written()
    }

    /// The number of full pages.
    pub fn full_pages(&self) -> usize {
        self.pages.full()
    }

    /// Hands over the next full page. The caller has it written and gives it to [`Log::take_back`], each page after
    /// the one before.
    pub fn hand_over(&mut self, now: Moment) -> Option<Box<Page>> {
        self.pages.hand_over(now)
    }

    /// Takes back a page that was written.
    pub fn take_back(&mut self, page: Box<Page>) {
        self.pages.take_back(page, &mut self.lines);
        self.page_end = self.pages.end();
    }

    /// Whether lines have begun to be dropped since the last call, because [`BYTES_MAX`] are not written yet.
    pub fn take_trouble(&mut self) -> bool {
        self.pages.take_trouble()
    }

    /// The number of lines lost since the start: those that were dropped, and those that could not be written.
    pub fn lines_lost(&self) -> u64 {
        self.pages.lost_in_all()
    }

    /// The number of lines written since the start.
    pub fn lines_written(&self) -> u64 {
        self.pages.written()
    }

    /// The number of times that the sink could not be reopened or written to.
    pub fn errors(&self) -> u64 {
        self.pages.errors()
    }

    /// Whether the sink could not be reopened or written to when that was tried last.
    pub fn is_failing(&self) -> bool {
        self.pages.is_failing()
    }

    /// Begins a line with its time and the name of the server.
    fn begin(&mut self) {
        self.make_room();
        self.lines.extend_from_slice(&self.start.text);
    }

    fn make_room(&mut self) {
        if self.lines.len() >= self.page_end {
            self.turn_page();
        }
    }

    #[cold]
    fn turn_page(&mut self) {
        self.pages.make_room(&mut self.lines);
        self.page_end = self.pages.end();
    }

    /// Appends a message without its LF, escaped and truncated to [`MESSAGE_MAX`].
    fn message(&mut self, message: &[u8]) {
        let message = message.strip_suffix(b"\n").unwrap_or(message);
        let prefix = &message[..message.len().min(MESSAGE_MAX)];
        write_escaped(prefix, &mut self.lines);
        if prefix.len() < message.len() {
            let _ = write!(ByteWriter(&mut self.lines), "... ({} bytes)", message.len());
        }
    }
}

/// Returns a name as log lines have it: every byte outside printable ASCII as `\xNN`.
pub fn escaped(name: &str) -> String {
    let mut lines = Vec::new();
    write_escaped(name.as_bytes(), &mut lines);
    String::from_utf8_lossy(&lines).into_owned()
}

/// Appends `text` with every byte outside printable ASCII as `\xNN`.
fn write_escaped(text: &[u8], lines: &mut Vec<u8>) {
    // Nearly all texts need no escapes.
    if simd::is_printable(text) {
        lines.extend_from_slice(text);
        return;
    }
    let mut rest = text;
    while let Some(end) = rest.iter().position(|&byte| !is_printable(byte)) {
        lines.extend_from_slice(&rest[..end]);
        let _ = write!(ByteWriter(lines), "\\x{:02x}", rest[end]);
        rest = &rest[end + 1..];
    }
    lines.extend_from_slice(rest);
}

fn is_printable(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

/// An adapter that formats text into a vector of bytes.
struct ByteWriter<'a>(&'a mut Vec<u8>);

impl fmt::Write for ByteWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// The end of a line, `' from (127.0.0.1, 54928)` with its LF. Formatted once for all lines of one read.
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
            // Not with `write!`, which would cost more than the rest of the line.
            write_host(address.ip(), &mut self.text);
            self.text.extend_from_slice(b", ");
            write_integer(u64::from(address.port()), &mut self.text);
            self.text.extend_from_slice(b")\n");
        }
    }
}

fn write_host(host: IpAddr, text: &mut Vec<u8>) {
    let IpAddr::V4(address) = host else {
        let _ = write!(ByteWriter(text), "{host}");
        return;
    };
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            text.push(b'.');
        }
        write_integer(u64::from(octet), text);
    }
}

/// The start of a line, `2026-11-21 02:11:51.123456 Riley`. Formatted once for all lines of one read; in the same
/// second only the digits after the point are written again.
#[derive(Debug)]
struct Start {
    server: String,
    second: Option<u64>,
    text: Vec<u8>,
    /// The length of the time in `text`.
    time: usize,
}

impl Start {
    /// The start of the lines of the server with this name, which is escaped already.
    fn new(server: String) -> Start {
        Start { text: server.clone().into_bytes(), server, second: None, time: 0 }
    }

    fn set(&mut self, nanoseconds: u64) {
        let second = nanoseconds / 1_000_000_000;
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = format!("{}.000000 ", date_and_time(second)).into_bytes();
            self.time = self.text.len();
            self.text.extend_from_slice(self.server.as_bytes());
        }
        let microsecond = (nanoseconds % 1_000_000_000 / 1000) as u32;
        let end = self.time - 1;
        let digits = &write_eight(microsecond)[EIGHT - MICROSECOND_DIGITS..];
        self.text[end - MICROSECOND_DIGITS..end].copy_from_slice(digits);
    }

    /// The time and a space.
    fn time(&self) -> &[u8] {
        &self.text[..self.time]
    }
}

/// Digits after the point: microseconds.
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

/// The greatest number of bytes of a message in a log line. Every line of the protocol fits, unless
/// `limits.max_line` is raised. The megabytes of a Places answer do not; repeating them would make the log
/// useless.
const MESSAGE_MAX: usize = 16 * 1024;

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
    fn each_kind_of_line_has_its_documented_form() {
        let from = "127.0.0.1:5".parse().unwrap();
        assert_eq!(
            log(Level::Traffic, |log| log.received(b"IAMAT x\r", from)),
            format!("{STAMP} Riley received 'IAMAT x\\x0d' from (127.0.0.1, 5)\n")
        );
        for (body, shown) in [(&b""[..], ""), (b"{}\n", " {}")] {
            assert_eq!(
                log(Level::Traffic, |log| log.received_request("PUT /a", body, from)),
                format!("{STAMP} Riley received 'PUT /a{shown}' from (127.0.0.1, 5)\n")
            );
        }
        assert_eq!(
            log(Level::Traffic, |log| log.sent_response(200, b"{}\n")),
            format!("{STAMP} Riley sent to client '200 {{}}'\n")
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
    fn input_cannot_inject_lines_or_escape_sequences() {
        let text = log(Level::Traffic, |log| {
            log.sent_to_client(b"a\nb\x1b[2J\x07\0\x7f\xe2\x80\x94\\'\n");
            log.event(format_args!("refused: a\nb\u{1b}"));
        });
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains(r"'a\x0ab\x1b[2J\x07\x00\x7f\xe2\x80\x94\''"), "{text}");
        assert!(text.contains(r"refused: a\x0ab\x1b"), "{text}");
    }

    #[test]
    fn names_are_escaped_too() {
        let mut log = Log::new("Zo\u{eb}", Level::Traffic);
        log.sent_to_server("Ana\u{ef}s", b"AT");
        assert_eq!(
            log.lines(),
            br"Zo\xc3\xab sent to server Ana\xc3\xafs 'AT'".iter().chain(b"\n").copied().collect::<Vec<_>>()
        );
    }

    #[test]
    fn each_level_includes_those_before_it() {
        let act = |log: &mut Log| {
            log.sent_to_client(b"a");
            log.event(format_args!("b"));
        };
        assert_eq!(log(Level::Traffic, act).lines().count(), 2);
        assert_eq!(log(Level::Events, act).lines().count(), 1);
        assert_eq!(log(Level::Off, act), "");
    }

    #[test]
    fn a_long_message_is_truncated() {
        let text = log(Level::Traffic, |log| log.sent_to_client(&vec![b'x'; MESSAGE_MAX + 1]));
        assert!(text.ends_with(&format!("x... ({} bytes)'\n", MESSAGE_MAX + 1)));
        assert!(text.len() < MESSAGE_MAX + 100);
    }

    #[test]
    fn dates_are_right_around_leap_days() {
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
