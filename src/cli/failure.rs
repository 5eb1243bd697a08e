//! What ends a command other than well, in one line for the person who typed it.

use crate::config;
use std::fmt;
use std::io;

/// Why a command did not do what was asked of it.
///
/// Shown as one line: `what failed: why; what to do about it`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit status of the program.
    pub status: u8,
    /// What failed, why, and what to do about it.
    pub message: String,
}

impl Failure {
    /// Something went wrong while a command ran: a port is taken, nobody answers.
    pub fn at_run_time(message: impl Into<String>) -> Failure {
        Failure { status: AT_RUN_TIME, message: message.into() }
    }

    /// The command line or the herd file is wrong; the same again would fail again.
    pub fn of_the_question(message: impl Into<String>) -> Failure {
        Failure { status: OF_THE_QUESTION, message: message.into() }
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Failure {
        Failure::of_the_question(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.message.chars() {
            // An argument that is repeated here may hold line ends and escape sequences.
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// What the operating system says, without the number that only programs want.
pub(super) fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

const AT_RUN_TIME: u8 = 1;
const OF_THE_QUESTION: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::at_run_time("a\nb\u{1b}[2J: it's “so”");
        assert_eq!(failure.to_string(), "a\\nb\\u{1b}[2J: it's “so”");
    }

    #[test]
    fn an_error_of_the_system_is_said_without_its_number() {
        let refused = io::Error::from(rustix::io::Errno::CONNREFUSED);
        assert_eq!(in_words(&refused), "Connection refused");
        assert_eq!(in_words(&io::Error::other("plain words")), "plain words");
    }
}
