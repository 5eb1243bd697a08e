//! What is wrong with a herd file, in one line for the person who wrote it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a herd file cannot be used.
///
/// Shown as one line, file first, then the place in it, why, and what to do:
/// `herd.json: servers.Riley.listen: "127.0.0.1" has no port; …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    file: PathBuf,
    mistake: Mistake,
}

impl Error {
    pub(super) fn new(file: &Path, mistake: Mistake) -> Error {
        Error { file: file.to_owned(), mistake }
    }

    /// The key that is wrong, from the top of the file (`servers.Riley.listen`), or the line and column
    /// of what is no JSON; empty when the whole file is meant.
    pub fn place(&self) -> &str {
        &self.mistake.place
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", escaped(&self.file.to_string_lossy()))?;
        if !self.mistake.place.is_empty() {
            write!(f, "{}: ", self.mistake.place)?;
        }
        f.write_str(&self.mistake.why)
    }
}

impl std::error::Error for Error {}

/// An [`Error`] by someone who does not know the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) place: String,
    pub(super) why: String,
}

impl Mistake {
    pub(super) fn new(place: impl Into<String>, why: impl Into<String>) -> Mistake {
        Mistake { place: place.into(), why: why.into() }
    }
}

/// A text that is not what it should be (an address, a URL), with the reason. It is part of no file yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub(super) String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// `text` from a herd file, in quotes, fit for a message: one line, and not longer than a person reads.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", shortened(text))
}

/// `text` without line ends and control characters, cut to what a person reads.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => escaped(&text[..end]) + "…",
        None => escaped(text),
    }
}

fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // Alone of what escape_debug escapes, an apostrophe does no harm in a message.
        if c == '\'' {
            shown.push(c);
        } else {
            shown.extend(c.escape_debug());
        }
    }
    shown
}

/// A herd file may hold a megabyte in one value; a message that repeats it explains nothing.
const MAX_SHOWN_CHARS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_the_file_holds() {
        let error = Error::new(
            Path::new("a\nb.json"),
            Mistake::new(shortened("x\ny"), quoted("\r\n\u{1b}[2J \"it's\"")),
        );
        assert_eq!(error.to_string(), "a\\nb.json: x\\ny: \"\\r\\n\\u{1b}[2J \\\"it's\\\"\"");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(shortened(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(shortened(&"é".repeat(81)), "é".repeat(80) + "…");
    }
}
