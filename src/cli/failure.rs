//! The failure of a command: one line for the user, and the exit status.

use crate::config;
use std::fmt;

pub(super) use crate::service::in_words;

/// The reason why a command failed.
///
/// It is shown as one line: `what failed: why; what to do`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit status of the program.
    pub status: u8,
    /// The problem, its reason and the remedy; empty if they were reported already.
    pub message: String,
}

impl Failure {
    /// A failure at run time: a port is taken, a server does not answer. Exit status 1.
    pub fn at_run_time(message: impl Into<String>) -> Failure {
        Failure { status: AT_RUN_TIME, message: message.into() }
    }

    /// A failure whose message was written to standard error already. Exit status 1.
    pub(super) fn reported() -> Failure {
        Failure::at_run_time("")
    }

    /// A wrong command line or herd file. Exit status 2.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { status: USAGE, message: message.into() }
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Failure {
        Failure::usage(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.message.chars() {
            // A quoted argument may contain line ends and escape sequences.
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

const AT_RUN_TIME: u8 = 1;
const USAGE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::at_run_time("a\nb\u{1b}[2J: it's “so”");
        assert_eq!(failure.to_string(), "a\\nb\\u{1b}[2J: it's “so”");
    }

    #[test]
    fn a_system_error_is_shown_without_its_number() {
        let refused = io::Error::from(rustix::io::Errno::CONNREFUSED);
        assert_eq!(in_words(&refused), "Connection refused");
        assert_eq!(in_words(&io::Error::other("plain words")), "plain words");
    }
}
