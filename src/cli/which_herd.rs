//! The herd that a command is about.

use super::Failure;
use super::arguments::Given;
use crate::config::words::{did_you_mean, listed, quoted};
use crate::config::{Herd, ServerSection};
use std::path::PathBuf;

/// A herd and where it stands.
pub(super) struct WhichHerd {
    /// The herd itself.
    pub(super) herd: Herd,
    /// Its file, or `None` for the built-in herd.
    pub(super) file: Option<PathBuf>,
}

impl WhichHerd {
    /// The herd of `-c FILE`, of `herd.json`, or the built-in one.
    pub(super) fn find(given: &Given) -> Result<WhichHerd, Failure> {
        let file = Herd::file(given.herd_file().as_deref());
        let herd = Herd::find(file.as_deref())?;
        Ok(WhichHerd { herd, file })
    }

    /// The server of that name, or a failure that says which there are.
    pub(super) fn server(&self, name: &str) -> Result<&ServerSection, Failure> {
        self.herd.server(name).ok_or_else(|| {
            let names = || self.herd.servers.iter().map(|server| server.name.as_str());
            let place = match &self.file {
                Some(file) => format!("the herd {} ({})", self.herd.name, file.display()),
                None => format!("the built-in herd {}", self.herd.name),
            };
            Failure::of_the_question(format!(
                "unknown server {} in {place}: its servers are {}{}",
                quoted(name),
                listed(names()),
                did_you_mean(name, names())
            ))
        })
    }

    /// ` -c FILE` if it takes that to name this herd again.
    pub(super) fn option(&self, given: &Given) -> String {
        given.option.as_ref().map(|file| format!(" -c {}", in_a_shell(file))).unwrap_or_default()
    }
}

/// `text` as a shell reads it as one word.
pub(super) fn in_a_shell(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:+,@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// `name` as an argument in a shell, also if it begins with a dash.
pub(super) fn as_operand(name: &str) -> String {
    let dashes = if name.starts_with('-') { "-- " } else { "" };
    format!("{dashes}{}", in_a_shell(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_no_server_hears_who_is() {
        let built_in = WhichHerd { herd: Herd::built_in(), file: None };
        assert_eq!(built_in.server("Riley").unwrap().name, "Riley");
        let failure = built_in.server("riley").unwrap_err();
        assert_eq!(failure.status, 2);
        assert_eq!(
            failure.to_string(),
            "unknown server \"riley\" in the built-in herd bruins: its servers are Riley, Jaquez, Juzang, \
             Campbell, Bernard; did you mean Riley?"
        );
        let named = WhichHerd { herd: Herd::built_in(), file: Some("x/h.json".into()) };
        let failure = named.server("Mallory").unwrap_err().to_string();
        assert!(failure.starts_with("unknown server \"Mallory\" in the herd bruins (x/h.json): its"));
        assert!(failure.ends_with("Bernard"), "{failure}");
    }

    #[test]
    fn a_file_is_named_again_as_the_shell_reads_it() {
        let which = WhichHerd { herd: Herd::built_in(), file: None };
        let given = |file: Option<&str>| Given { option: file.map(str::to_owned), operands: Vec::new() };
        assert_eq!(which.option(&given(None)), "");
        assert_eq!(which.option(&given(Some("herds/a.json"))), " -c herds/a.json");
        assert_eq!(which.option(&given(Some("my herd's"))), " -c 'my herd'\\''s'");
        assert_eq!((as_operand("-A"), as_operand("A")), ("-- -A".to_owned(), "A".to_owned()));
    }
}
