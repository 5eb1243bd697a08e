//! The layout of the rows of several servers, on a terminal or in a file.

use std::io::{self, IsTerminal};
use std::{env, iter};

/// One line of a server's log or standard error, or what is shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The index of the server in the herd file; the local Places server comes after the last.
    pub(super) server: usize,
    /// The time as in a log line, if there is one, and the text.
    pub(super) line: String,
}

/// Standard output and the names of the servers.
pub(super) struct Screen {
    names: Vec<String>,
    name_width: usize,
    is_terminal: bool,
    has_colours: bool,
}

impl Screen {
    /// Standard output, for servers of these names.
    pub(super) fn new(names: Vec<String>) -> Screen {
        let is_terminal = io::stdout().is_terminal();
        // An empty variable counts as not set (https://no-color.org).
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
        let has_colours = is_terminal && !is_set("NO_COLOR") && !is_dumb;
        let name_width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        Screen { names, name_width, is_terminal, has_colours }
    }

    /// The width of the terminal. `None`: no limit.
    pub(super) fn columns(&self) -> Option<usize> {
        if !self.is_terminal {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
    }

    /// Whether Ctrl-C leaves a `^C` in the row that comes next.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Draws rows, cut to so many columns.
    pub(super) fn draw(&self, rows: &[Row], columns: Option<usize>) -> String {
        rows.iter().map(|row| self.draw_row(row, columns)).collect()
    }

    /// Draws a message of `run-all` itself, so that it stands out from the rows.
    pub(super) fn draw_notice(&self, text: &str) -> String {
        let text = wrapped(&format!("*** {text}"), "    ", self.columns().unwrap_or(usize::MAX));
        if self.has_colours { format!("{BOLD}{RED}{}{PLAIN}\n", text.trim_end()) } else { text }
    }

    fn draw_row(&self, row: &Row, columns: Option<usize>) -> String {
        let name = &self.names[row.server];
        let (time, text) = match split_stamp(&row.line) {
            Some((stamp, text)) => (&stamp[TIME_OF_DAY], text),
            None => ("", row.line.as_str()),
        };
        let is_narrow = columns.is_some_and(|columns| columns < NARROW);
        let name_width = if is_narrow { self.name_width.min(NARROW_NAME) } else { self.name_width };
        let name = shortened(name, Some(name_width));
        let padding: String = iter::repeat_n(' ', name_width - name.chars().count()).collect();
        let time = if is_narrow { String::new() } else { format!("{time:0$}{GAP}", TIME_OF_DAY.len()) };
        let before = time.chars().count() + name_width + GAP.len();
        let text = shortened(text, columns.map(|columns| columns.saturating_sub(before)));
        let (on, off) = if self.has_colours {
            (format!("\x1b[{}m", COLOURS[row.server % COLOURS.len()]), PLAIN)
        } else {
            (String::new(), "")
        };
        let row = format!("{time}{on}{name}{off}{padding}{GAP}{text}");
        format!("{}\n", row.trim_end())
    }
}

/// Breaks a text between words into lines of at most `columns`; the second and later lines begin with
/// `indent`. A longer word stays whole.
pub(super) fn wrapped(text: &str, indent: &str, columns: usize) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_inclusive(' ') {
        // The leading spaces of the text are empty words.
        if !line.trim().is_empty() && line.chars().count() + word.trim_end().chars().count() > columns {
            lines += line.trim_end();
            lines.push('\n');
            line = format!("{indent}{word}");
        } else {
            line += word;
        }
    }
    lines + line.trim_end() + "\n"
}

/// Sorts rows by their times. A row without a time stays after the row before it of the same server.
pub(super) fn in_order(rows: Vec<Row>) -> Vec<Row> {
    let mut last: Option<(usize, String)> = None;
    let mut timed: Vec<(String, Row)> = Vec::with_capacity(rows.len());
    for row in rows {
        let stamp = match (split_stamp(&row.line), &last) {
            (Some((stamp, _)), _) => stamp.to_owned(),
            (None, Some((server, stamp))) if *server == row.server => stamp.clone(),
            (None, _) => String::new(),
        };
        last = Some((row.server, stamp.clone()));
        timed.push((stamp, row));
    }
    timed.sort_by(|(a, _), (b, _)| a.cmp(b));
    timed.into_iter().map(|(_, row)| row).collect()
}

/// Splits `2026-11-21 02:11:51.123456 ` from the rest of a line.
pub(super) fn split_stamp(line: &str) -> Option<(&str, &str)> {
    let (stamp, text) = (line.get(..STAMP.len())?, line.get(STAMP.len()..)?);
    let fits = stamp.bytes().zip(STAMP.bytes()).all(|(byte, form)| match form {
        b'0' => byte.is_ascii_digit(),
        _ => byte == form,
    });
    if fits { Some((stamp, text.strip_prefix(' ')?)) } else { None }
}

/// `text` without control characters, cut to `width` `char`s.
fn shortened(text: &str, width: Option<usize>) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    match width {
        Some(width) if text.chars().count() > width => {
            let kept = text.chars().take(width.saturating_sub(1)).map(plain);
            kept.chain(iter::once('…').take(width)).collect()
        }
        _ => text.chars().map(plain).collect(),
    }
}

/// The format of the time in a log line; each 0 stands for a digit.
const STAMP: &str = "0000-00-00 00:00:00.000000";

/// The part of the time that is shown: the time of day.
const TIME_OF_DAY: std::ops::Range<usize> = 11..19;

/// Columns below which rows have no time, and names at most [`NARROW_NAME`] `char`s.
const NARROW: usize = 60;
const NARROW_NAME: usize = 12;

const GAP: &str = "  ";

/// Cyan, green, yellow, magenta, blue, and their bright forms. Red is for messages of `run-all`.
const COLOURS: [u8; 10] = [36, 32, 33, 35, 34, 96, 92, 93, 95, 94];

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(has_colours: bool) -> Screen {
        let names = vec!["Riley".to_owned(), "Ça".to_owned()];
        Screen { names, name_width: 5, is_terminal: has_colours, has_colours }
    }

    fn row(server: usize, line: &str) -> Row {
        Row { server, line: line.to_owned() }
    }

    #[test]
    fn rows_have_a_time_a_name_and_a_text() {
        let rows = vec![
            row(0, "2026-11-21 02:11:51.123456 received 'FOO' from (127.0.0.1, 5)"),
            row(1, "2026-11-21 02:11:51.123455 New connection to server Riley was made"),
            row(1, "(3 lines of this log could not be written and are lost)"),
            row(0, "the log x\u{1b}[2J cannot be written"),
        ];
        let expected = "          Riley  the log x\u{fffd}[2J cannot be written
02:11:51  Ça     New connection to server Riley was made
          Ça     (3 lines of this log could not be written and are lost)
02:11:51  Riley  received 'FOO' from (127.0.0.1, 5)
";
        assert_eq!(screen(false).draw(&in_order(rows), None), expected);
    }

    #[test]
    fn names_have_colours_and_rows_fit_the_terminal() {
        let screen = screen(true);
        let text = format!("{}é", "x".repeat(45));
        let rows = [row(0, &format!("2026-11-21 02:11:51.123456 {text}"))];
        let whole = format!("02:11:51  \x1b[36mRiley\x1b[0m  {text}\n");
        assert_eq!(screen.draw(&rows, None), whole);
        assert_eq!(screen.draw(&rows, Some(63)), whole);
        assert_eq!(screen.draw(&rows, Some(62)), whole.replace("xé", "…"));
        // A narrow terminal shows no times.
        let narrow = format!("\x1b[36mRiley\x1b[0m  {}…\n", "x".repeat(32));
        assert_eq!(screen.draw(&rows, Some(40)), narrow);
        assert_eq!(screen.draw(&rows, Some(5)), "\x1b[36mRiley\x1b[0m\n");
        assert_eq!(screen.draw_notice("Riley has ended"), "\x1b[1m\x1b[31m*** Riley has ended\x1b[0m\n");
    }

    #[test]
    fn a_text_is_broken_between_words() {
        assert_eq!(wrapped("one two three", "  ", 7), "one two\n  three\n");
        assert_eq!(wrapped("  indented word", "    ", 11), "  indented\n    word\n");
        assert_eq!(wrapped("a-word-that-is-too-long b", "", 5), "a-word-that-is-too-long\nb\n");
    }

    #[test]
    fn a_line_without_a_time_is_recognized() {
        for line in [
            "",
            "2026-11-21",
            "2026-11-21 02:11:51.12345x y",
            "2026-11-21 02:11:51.123456",
            "ééééééééééééééé",
        ] {
            assert_eq!(split_stamp(line), None, "{line}");
        }
        assert_eq!(split_stamp("2026-11-21 02:11:51.123456 "), Some(("2026-11-21 02:11:51.123456", "")));
    }
}
