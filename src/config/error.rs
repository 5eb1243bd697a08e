//! The error of a herd file, or of a file that it names: one line for the person who wrote it.

use super::words::escaped;
use std::fmt;
use std::path::{Path, PathBuf};

/// The reason why such a file cannot be used.
///
/// It is shown as one line: the file, the place in it, the problem, the remedy.
/// `herd.json: servers.Riley.listen: "127.0.0.1" has no port; …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    file: PathBuf,
    place: String,
    problem: String,
}

impl Error {
    /// An error in a file that [`Error::in_file`] names later.
    pub(crate) fn new(place: impl Into<String>, problem: impl Into<String>) -> Error {
        Error { file: PathBuf::new(), place: place.into(), problem: problem.into() }
    }

    pub(crate) fn in_file(self, file: &Path) -> Error {
        Error { file: file.to_owned(), ..self }
    }

    /// The path of the wrong key from the top of the file (`servers.Riley.listen`), or the line and column
    /// at which the file is not JSON. Empty for the whole file.
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", escaped(&self.file.to_string_lossy()))?;
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Error {}

/// The reason why a text is not an address or a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError(pub(super) String);

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line() {
        let error = Error::new("a.b", "no \"c\"").in_file(Path::new("x\ny's.json"));
        assert_eq!(error.to_string(), "x\\ny's.json: a.b: no \"c\"");
        assert_eq!(Error::new("", "empty").in_file(Path::new("f")).to_string(), "f: empty");
    }
}
