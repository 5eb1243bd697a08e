//! Standard output, which somebody may close at any time.

use super::Failure;
use super::failure::in_words;
use std::io::{self, Write};

/// Whether anybody still reads what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Somebody does, as far as can be known.
    There,
    /// The pipe was closed, as by `| head`: enough was read, which is no failure.
    Gone,
}

/// Writes all of `bytes` at once.
pub(super) fn print(bytes: &[u8]) -> Result<Reader, Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => {
            Err(Failure::at_run_time(format!("standard output cannot be written: {}", in_words(&error))))
        }
    }
}
