//! Counting of the lines in the traffic log of a server, to check that none was lost.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The lines of a log so far.
#[derive(Clone, Default)]
pub struct LogLines {
    /// The number of whole lines that have a message of a client or a reply.
    pub written: u64,
    /// The number of lines that the log itself counts as lost.
    pub noted: u64,
    /// The number of lines that are lost, as far as it was found out by [`count`].
    pub lost: u64,
    /// The number of bytes of all lines.
    pub bytes: u64,
    /// The beginning of a line whose end is not read yet.
    rest: Vec<u8>,
}

impl LogLines {
    /// Counts the lines in the next bytes of the log.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let line = &bytes[begin..end];
            begin = end + 1;
            if self.rest.is_empty() {
                self.line(line);
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.line(&whole);
            }
        }
        self.rest.extend_from_slice(&bytes[begin..]);
    }

    /// The number of lines that the log does not have, if `messages` were received and as many replies were
    /// sent.
    pub fn missing(&self, messages: u64) -> u64 {
        (LINES_EACH * messages).saturating_sub(self.written)
    }

    /// The bytes of the log per message.
    pub fn bytes_each(&self) -> f64 {
        (LINES_EACH * self.bytes) as f64 / self.written.max(1) as f64
    }

    fn line(&mut self, line: &[u8]) {
        if let Some(number) = noted(line) {
            self.noted += number;
        } else {
            // A write that fails in the middle of a line leaves a line without its last character.
            let is_whole = matches!(line.last(), Some(b'\'' | b')'));
            let head = &line[..line.len().min(HEAD_MAX)];
            let is_message = [&b" received '"[..], b" sent to client '"]
                .map(|text| memchr::memmem::find(head, text).is_some());
            self.written += u64::from(is_whole && is_message.contains(&true));
        }
    }
}

/// The number in a note of lost lines.
fn noted(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line.strip_prefix(b"(")?).ok()?;
    let (number, text) = line.split_once(' ')?;
    text.starts_with("lines of this log could not be written").then(|| number.parse().ok())?
}

/// Counts the lines of the log at `path`, and waits for those that the server has not written yet. Returns
/// when the log has all lines of `messages`, or has not grown for a second.
pub fn count(path: &Path, messages: u64) -> io::Result<LogLines> {
    let mut lines = LogLines::default();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; BUFFER];
    let mut grown = Instant::now();
    while lines.missing(messages) > 0 && grown.elapsed() < STALL_MAX {
        match file.read(&mut buffer)? {
            0 => thread::sleep(PAUSE),
            length => {
                lines.add(&buffer[..length]);
                grown = Instant::now();
            }
        }
    }
    // The log notes lost lines only with the next line that it can write.
    lines.lost = lines.noted.max(lines.missing(messages));
    Ok(lines)
}

/// Waits until the log has not grown for a while, so that no line of an earlier run is counted in a later one.
pub fn until_settled(path: &Path) -> io::Result<()> {
    let (mut length, mut grown) = (0, Instant::now());
    while grown.elapsed() < SETTLED_AFTER {
        let now = std::fs::metadata(path)?.len();
        if now != length {
            (length, grown) = (now, Instant::now());
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// The lines of a message in the log: it and its reply.
const LINES_EACH: u64 = 2;
/// The bytes of a line that can have its time, the name of the server and the direction.
const HEAD_MAX: usize = 64;
/// The greatest number of bytes of one read.
const BUFFER: usize = 1 << 20;
/// The time without growth after which the missing lines count as lost. A writer whose disk is slow may sleep
/// for tenths of a second.
const STALL_MAX: Duration = Duration::from_secs(1);
/// The time without growth after which a log is complete. The server writes after 10 ms.
const SETTLED_AFTER: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const RECEIVED: &str = "2026-11-21 02:11:51.123456 Riley received 'IAMAT a +1-1 1' from (127.0.0.1, 5)\n";
    const SENT: &str = "2026-11-21 02:11:51.123456 Riley sent to client 'AT Riley +0.2 a +1-1 1'\n";

    fn lines_of(text: &str, piece: usize) -> LogLines {
        let mut lines = LogLines::default();
        text.as_bytes().chunks(piece).for_each(|bytes| lines.add(bytes));
        lines
    }

    #[test]
    fn whole_lines_of_messages_are_counted_in_pieces_of_any_size() {
        let event = "2026-11-21 02:11:51.123456 New connection from (127.0.0.1, 5)\n";
        let text = format!("{event}{RECEIVED}{SENT}{RECEIVED}{SENT}{event}");
        for piece in [1, 7, 80, 1000] {
            let lines = lines_of(&text, piece);
            assert_eq!((lines.written, lines.noted, lines.bytes), (4, 0, text.len() as u64));
            assert_eq!((lines.missing(2), lines.missing(3)), (0, 2));
        }
    }

    #[test]
    fn noted_and_cut_lines_are_lost() {
        let cut = RECEIVED.strip_suffix("5)\n").unwrap();
        let text = format!("{SENT}{cut}\n(3 lines of this log could not be written and are lost)\n{SENT}");
        let lines = lines_of(&text, 10);
        assert_eq!((lines.written, lines.noted, lines.missing(3)), (2, 3, 4));
    }

    #[test]
    fn counting_waits_for_lines_that_come_later_and_finds_lost_ones() {
        let path = std::env::temp_dir().join(format!("herd-bench-count-{}.log", std::process::id()));
        std::fs::write(&path, RECEIVED).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        let writer = thread::spawn(move || {
            thread::sleep(10 * PAUSE);
            file.write_all(SENT.as_bytes()).unwrap();
        });
        let lines = count(&path, 1).unwrap();
        writer.join().unwrap();
        assert_eq!((lines.written, lines.lost), (2, 0));
        assert_eq!(count(&path, 2).unwrap().lost, 2);
        std::fs::remove_file(path).unwrap();
    }
}
