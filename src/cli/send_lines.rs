//! The text that `herd send` sends and receives: `now` as a time, and the reasons of refusals.

use super::Failure;
use super::refusal::{Refusal, explain};
use crate::config::words::quoted;
use crate::log::warn;
use crate::text::fields::fields;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lines on their way to a server. In an IAMAT, the time `now` is replaced by the present.
#[derive(Default)]
pub(super) struct Lines {
    /// The beginning of a line that has not ended.
    partial: Vec<u8>,
    /// The beginning of the present line was sent, because it is too long for an IAMAT with `now`.
    is_long: bool,
}

impl Lines {
    /// Appends `bytes` to `sent`, except a line that has not ended.
    pub(super) fn push(&mut self, bytes: &[u8], sent: &mut Vec<u8>) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(piece);
            let has_ended = piece.ends_with(b"\n");
            if has_ended || self.partial.len() > LINE_MAX {
                self.end(sent);
                self.is_long = !has_ended;
            }
        }
    }

    /// Appends the line that has not ended to `sent`.
    pub(super) fn end(&mut self, sent: &mut Vec<u8>) {
        match with_time(&self.partial, now()) {
            Some(line) if !self.is_long => sent.extend_from_slice(&line),
            _ => sent.extend_from_slice(&self.partial),
        }
        self.partial.clear();
    }
}

/// `IAMAT kiwi +34-118 now` with this time, in nanoseconds since 1970. `None`: it is another line.
fn with_time(line: &[u8], now: u64) -> Option<Vec<u8>> {
    let words: Vec<&[u8]> = fields(line).take(5).collect();
    let &[b"IAMAT", _, _, time @ b"now"] = words.as_slice() else { return None };
    let start = line.windows(time.len()).rposition(|window| window == time)?;
    let (second, nanosecond) = (now / 1_000_000_000, now % 1_000_000_000);
    let mut changed = line[..start].to_vec();
    changed.extend_from_slice(format!("{second}.{nanosecond:09}").as_bytes());
    changed.extend_from_slice(&line[start + time.len()..]);
    Some(changed)
}

fn now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}

/// The replies of a server. Each refused command is explained on standard error.
///
/// A refused line that is no command, such as `FOO`, may be sent on purpose beside others. It is a failure only
/// if the server has understood nothing else.
pub(super) struct Replies {
    server: String,
    /// The beginning of a reply that has not ended.
    partial: Vec<u8>,
    has_refused: bool,
    has_accepted: bool,
    is_unquoted: bool,
    unknown: Option<String>,
    /// The stream of a FOLLOW has begun and not ended.
    is_streaming: bool,
}

impl Replies {
    /// The replies of the server of this name.
    pub(super) fn new(server: &str) -> Replies {
        Replies {
            server: server.to_owned(),
            partial: Vec::new(),
            has_refused: false,
            has_accepted: false,
            is_unquoted: false,
            unknown: None,
            is_streaming: false,
        }
    }

    /// Reads replies. Writes the reasons of refusals to standard error.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.partial.len() < LINE_MAX {
                self.partial.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                if let Some(reason) = self.reply(&line) {
                    warn(format_args!("{reason}"));
                }
            }
        }
    }

    /// Whether the stream of a FOLLOW goes on, so that the server may be silent for [`STREAM_SILENCE_MAX`].
    pub(super) fn are_streaming(&self) -> bool {
        self.is_streaming
    }

    /// The end of all replies.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        let line = std::mem::take(&mut self.partial);
        if let Some(reason) = self.reply(&line) {
            warn(format_args!("{reason}"));
        }
        match self.unknown {
            Some(reason) if !self.has_accepted && !self.has_refused => Err(Failure::at_run_time(reason)),
            _ if self.has_refused => Err(Failure::reported()),
            _ => Ok(()),
        }
    }

    /// The reason of a refusal, unless it is given at the end.
    fn reply(&mut self, line: &[u8]) -> Option<String> {
        let Some(refused) = line.strip_prefix(b"?") else {
            // A line of JSON says nothing that its AT line has not said.
            self.is_streaming = line.starts_with(b"MARK ") || self.is_streaming && line != b"\n";
            self.has_accepted |= line.starts_with(b"AT ") || line.starts_with(b"GONE ") || self.is_streaming;
            return None;
        };
        let command = String::from_utf8_lossy(refused);
        let command: String = command.trim().chars().take(SHOWN_MAX).collect();
        let message = |reason: &str| format!("{} refused {}: {reason}", self.server, quoted(&command));
        match explain(refused, now()) {
            Refusal::Mistake(reason) => {
                let message = message(&reason);
                self.has_refused = true;
                Some(message)
            }
            // The words that follow are refused for the same reason.
            Refusal::Unquoted(_) if self.is_unquoted => None,
            Refusal::Unquoted(reason) => {
                let message = message(&reason);
                (self.has_refused, self.is_unquoted) = (true, true);
                Some(message)
            }
            Refusal::Unknown(reason) => {
                let message = message(&reason);
                self.unknown.get_or_insert(message);
                None
            }
        }
    }
}

/// Bytes of a line that is looked at; a longer one is no IAMAT with `now`, and its beginning tells enough.
const LINE_MAX: usize = 64 * 1024;

/// The longest silence in a stream: two of the pauses between MARKs.
pub(super) const STREAM_SILENCE_MAX: Duration = Duration::from_secs(30);

/// `char`s of a refused line in a message.
const SHOWN_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(pieces: &[&str]) -> String {
        let (mut lines, mut sent) = (Lines::default(), Vec::new());
        pieces.iter().for_each(|piece| lines.push(piece.as_bytes(), &mut sent));
        lines.end(&mut sent);
        String::from_utf8(sent).unwrap()
    }

    #[test]
    fn now_is_the_present_in_an_iamat_alone() {
        let changed = |line: &str| {
            with_time(line.as_bytes(), 5_000_000_007).map(|line| String::from_utf8(line).unwrap())
        };
        assert_eq!(changed("IAMAT now +1-1 now\r\n").unwrap(), "IAMAT now +1-1 5.000000007\r\n");
        for line in ["IAMAT kiwi +1-1 Now", "IAMAT kiwi +1-1 now now", "WHATSAT kiwi 1 now", "iamat a b now"]
        {
            assert_eq!(changed(line), None, "{line}");
            assert_eq!(sent(&[line]), line);
        }
        let line = sent(&["A\nIAMAT k", "iwi +1-1 n", "ow\n", "B"]);
        let time = line.strip_prefix("A\nIAMAT kiwi +1-1 ").unwrap().strip_suffix("\nB").unwrap();
        let time: f64 = time.parse().unwrap();
        assert!((time - now() as f64 / 1e9).abs() < 60.0, "{line}");
    }

    #[test]
    fn a_long_line_is_sent_unchanged() {
        let long = format!("{} IAMAT a b now", "x".repeat(LINE_MAX));
        assert_eq!(sent(&[&long, " IAMAT a b now\n"]), format!("{long} IAMAT a b now\n"));
    }

    fn replies(text: &[&str]) -> (Vec<String>, Result<(), String>) {
        let mut replies = Replies::new("Riley");
        let reasons = text.iter().filter_map(|line| replies.reply(line.as_bytes())).collect();
        (reasons, replies.end().map_err(|failure| failure.to_string()))
    }

    #[test]
    fn a_refused_command_is_explained_and_a_failure() {
        let (reasons, end) = replies(&["? WHATSAT kiwi 10 21\n", "AT Riley +1 kiwi +1-1 5\n"]);
        let expected =
            "Riley refused \"WHATSAT kiwi 10 21\": bound: expected an integer from 0 to 20, got \"21\"";
        assert_eq!((reasons, end), (vec![expected.to_owned()], Err(String::new())));
    }

    #[test]
    fn unquoted_words_are_explained_once() {
        let (reasons, end) = replies(&["? IAMAT\n", "? kiwi\n", "? +34-118\n", "? 5\n"]);
        assert_eq!(end, Err(String::new()));
        assert_eq!(reasons.len(), 1);
        assert!(reasons[0].starts_with("Riley refused \"IAMAT\": its operands are missing"), "{reasons:?}");
    }

    #[test]
    fn a_line_that_is_no_command_is_a_failure_if_nothing_else_was_understood() {
        let unknown =
            "Riley refused \"FOO\": unknown command \"FOO\": expected IAMAT, WHATSAT, NEAR, FOLLOW or FORGET";
        assert_eq!(replies(&["? FOO\n"]), (vec![], Err(unknown.to_owned())));
        assert_eq!(replies(&["AT Riley +1 kiwi +1-1 5\n", "? FOO\n"]), (vec![], Ok(())));
        assert_eq!(replies(&["AT Riley +1 kiwi +1-1 5\n"]), (vec![], Ok(())));
        assert_eq!(replies(&["GONE Riley +0.000000000 kiwi 5.000000000\n", "? FOO\n"]), (vec![], Ok(())));
    }
}
