//! Errors of the operating system, in words.

use std::io;

/// The message of the operating system, without the error number.
pub fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
