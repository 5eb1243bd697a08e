//! The herd of a command.

use super::Failure;
use super::arguments::{Arguments, CommandOption};
use crate::config::words::{did_you_mean, listed, quoted};
use crate::config::{HerdFile, ServerSection};
use std::path::PathBuf;

/// A herd and its file.
pub(super) struct LoadedHerd {
    /// The herd.
    pub(super) herd: HerdFile,
    /// The file of the herd. `None`: the built-in herd.
    pub(super) file: Option<PathBuf>,
}

impl LoadedHerd {
    /// Reads `-c FILE`, or `herd.json` if it exists, or takes the built-in herd.
    pub(super) fn find(arguments: &Arguments) -> Result<LoadedHerd, Failure> {
        let file = HerdFile::file(arguments.herd_file().as_deref());
        let herd = HerdFile::find(file.as_deref())?;
        Ok(LoadedHerd { herd, file })
    }

    /// The server of that name. The failure lists the known names.
    pub(super) fn server(&self, name: &str) -> Result<&ServerSection, Failure> {
        self.herd.server(name).ok_or_else(|| {
            let names = || self.herd.servers.iter().map(|server| server.name.as_str());
            let place = match &self.file {
                Some(file) => format!("the herd {} ({})", self.herd.name, file.display()),
                None => format!("the built-in herd {}", self.herd.name),
            };
            Failure::usage(format!(
                "unknown server {} in {place}: its servers are {}{}",
                quoted(name),
                listed(names()),
                did_you_mean(name, names())
            ))
        })
    }

    /// ` -c FILE` for commands to paste, if the user gave it.
    pub(super) fn option(&self, arguments: &Arguments) -> String {
        let file = arguments.value(CommandOption::HERD_FILE);
        file.map(|file| format!(" -c {}", in_a_shell(file))).unwrap_or_default()
    }
}

/// `text` as one word of a shell.
pub(super) fn in_a_shell(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:+,@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// `name` as an operand in a shell, even if it begins with a dash.
pub(super) fn as_operand(name: &str) -> String {
    let dashes = if name.starts_with('-') { "-- " } else { "" };
    format!("{dashes}{}", in_a_shell(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_server_is_an_error_with_the_known_names() {
        let built_in = LoadedHerd { herd: HerdFile::built_in(), file: None };
        assert_eq!(built_in.server("Riley").unwrap().name, "Riley");
        let failure = built_in.server("riley").unwrap_err();
        assert_eq!(failure.status, 2);
        assert_eq!(
            failure.to_string(),
            "unknown server \"riley\" in the built-in herd bruins: its servers are Riley, Jaquez, Juzang, \
             Campbell, Bernard; did you mean Riley?"
        );
        let named = LoadedHerd { herd: HerdFile::built_in(), file: Some("x/h.json".into()) };
        let failure = named.server("Mallory").unwrap_err().to_string();
        assert!(failure.starts_with("unknown server \"Mallory\" in the herd bruins (x/h.json): its"));
        assert!(failure.ends_with("Bernard"), "{failure}");
    }

    #[test]
    fn names_are_quoted_for_the_shell() {
        let loaded = LoadedHerd { herd: HerdFile::built_in(), file: None };
        let arguments = |file: Option<&str>| Arguments {
            options: file.map(|file| ("c", file.to_owned())).into_iter().collect(),
            operands: Vec::new(),
        };
        assert_eq!(loaded.option(&arguments(None)), "");
        assert_eq!(loaded.option(&arguments(Some("herds/a.json"))), " -c herds/a.json");
        assert_eq!(loaded.option(&arguments(Some("my herd's"))), " -c 'my herd'\\''s'");
        assert_eq!((as_operand("-A"), as_operand("A")), ("-- -A".to_owned(), "A".to_owned()));
    }
}
