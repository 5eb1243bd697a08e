//! The error of a file of keys: one line for the operator.

use crate::config::words::escaped;
use std::fmt;
use std::path::{Path, PathBuf};

/// The reason why a file of keys cannot be used.
///
/// It is shown as one line: the file, the problem, the remedy. It never has a part of a private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysError {
    file: PathBuf,
    problem: Problem,
}

/// The kinds of problems, as far as a caller has to tell them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Missing,
    Other(String),
}

impl KeysError {
    pub(super) fn missing(file: &Path) -> KeysError {
        KeysError { file: file.to_owned(), problem: Problem::Missing }
    }

    pub(super) fn new(file: &Path, problem: impl Into<String>) -> KeysError {
        KeysError { file: file.to_owned(), problem: Problem::Other(problem.into()) }
    }

    /// Whether the file does not exist.
    pub fn is_missing(&self) -> bool {
        self.problem == Problem::Missing
    }

    /// What is wrong with the file, without its name and without a remedy for a missing one.
    pub(crate) fn problem(&self) -> &str {
        match &self.problem {
            Problem::Missing => "no such file",
            Problem::Other(problem) => problem,
        }
    }

    /// The file that cannot be used.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", escaped(&self.file.to_string_lossy()))?;
        match &self.problem {
            Problem::Missing => f.write_str(
                "no such file; herd keys makes the keys of a herd, and herd keys --for NAME --out DIR a copy of \
                 those that one host needs",
            ),
            Problem::Other(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for KeysError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_file_in_one_line() {
        let error = KeysError::new(Path::new("a\nb.key"), "no private key");
        assert_eq!((error.to_string().as_str(), error.is_missing()), ("a\\nb.key: no private key", false));
        let error = KeysError::missing(Path::new("run/keys/A.pem"));
        assert!(error.to_string().starts_with("run/keys/A.pem: no such file; herd keys makes "), "{error}");
        assert!(error.is_missing());
    }
}
