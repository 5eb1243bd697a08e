//! Standard output, whose reader may close it at any time.

use super::Failure;
use super::failure::in_words;
use std::io::{self, Write};

/// The state of standard output after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Everything was written.
    Open,
    /// The reader closed the pipe, as `| head` does. This is not a failure.
    Closed,
}

/// Writes all of `bytes` at once.
pub(super) fn print(bytes: &[u8]) -> Result<Output, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Output::Open),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Output::Closed),
        Err(error) => {
            Err(Failure::at_run_time(format!("standard output cannot be written: {}", in_words(&error))))
        }
    }
}
