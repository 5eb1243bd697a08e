//! One thing that a token allows.

use crate::config::words::{did_you_mean, quoted};
use crate::text::fields::is_field;
use std::fmt;
use std::str::FromStr;

/// One thing that a token allows, in the form of `--may`. A prefix is that of client IDs; the empty one is for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `report:PREFIX*`: report locations of these clients.
    Report(String),
    /// `read:PREFIX*`: read what is known of these clients.
    Read(String),
    /// `forget:PREFIX*`: delete these clients.
    Forget(String),
    /// `places`: ask what is near the clients that it may read.
    Places,
    /// `operate`: read metrics and the state of the herd.
    Operate,
}

impl Scope {
    /// The scopes of a token of this name without `--may`.
    pub fn default_of(name: &str) -> Vec<Scope> {
        vec![Scope::Report(name.to_owned()), Scope::Read(name.to_owned())]
    }
}

impl FromStr for Scope {
    type Err = String;

    /// Reads the form of `--may`. The error is one line.
    fn from_str(text: &str) -> Result<Scope, String> {
        let (verb, prefix) = match text.split_once(':') {
            Some((verb, prefix)) => (verb, Some(prefix)),
            None => (text, None),
        };
        let with_prefix = |scope: fn(String) -> Scope| match prefix
            .and_then(|prefix| prefix.strip_suffix('*'))
        {
            Some("") => Ok(scope(String::new())),
            Some(start) if is_field(start.as_bytes()) => Ok(scope(start.to_owned())),
            Some(_) => Err(format!("{} has white space, and no client ID has", quoted(text))),
            None => {
                let prefix = prefix.unwrap_or_default();
                Err(format!("{} has no * at the end; write {verb}:{}*", quoted(text), quoted_start(prefix)))
            }
        };
        let without_prefix = |scope: Scope| match prefix {
            None => Ok(scope),
            Some(_) => Err(format!("{} takes no prefix; write {verb}", quoted(text))),
        };
        match verb {
            "report" => with_prefix(Scope::Report),
            "read" => with_prefix(Scope::Read),
            "forget" => with_prefix(Scope::Forget),
            "places" => without_prefix(Scope::Places),
            "operate" => without_prefix(Scope::Operate),
            _ => Err(format!("expected {FORMS}, got {}{}", quoted(text), did_you_mean(verb, VERBS))),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Report(prefix) => write!(f, "report:{prefix}*"),
            Scope::Read(prefix) => write!(f, "read:{prefix}*"),
            Scope::Forget(prefix) => write!(f, "forget:{prefix}*"),
            Scope::Places => f.write_str("places"),
            Scope::Operate => f.write_str("operate"),
        }
    }
}

/// `prefix` without double quotes around it, for a remedy.
fn quoted_start(prefix: &str) -> String {
    quoted(prefix).trim_matches('"').to_owned()
}

const VERBS: [&str; 5] = ["report", "read", "forget", "places", "operate"];

const FORMS: &str = "report:PREFIX*, read:PREFIX*, forget:PREFIX*, places or operate";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_shown_as_it_is_written() {
        for text in ["report:ada*", "read:*", "forget:bob/*", "read:a*b*", "read:é:x*", "places", "operate"]
        {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        assert_eq!(
            Scope::default_of("ada").iter().map(Scope::to_string).collect::<Vec<_>>(),
            ["report:ada*", "read:ada*"]
        );
    }

    #[test]
    fn a_wrong_scope_is_explained() {
        for (text, words) in [
            ("", "expected report:PREFIX*, read:PREFIX*, forget:PREFIX*, places or operate, got \"\""),
            ("raed:x*", "did you mean read?"),
            ("Read:x*", "did you mean read?"),
            ("read:ada", "\"read:ada\" has no * at the end; write read:ada*"),
            ("read", "write read:*"),
            ("report:", "write report:*"),
            ("read:a b*", "has white space"),
            ("places:x*", "takes no prefix; write places"),
            ("operate:", "write operate"),
            ("read:a\nb", "\"read:a\\nb\""),
        ] {
            let problem = text.parse::<Scope>().unwrap_err();
            assert!(problem.contains(words) && !problem.contains('\n'), "{problem}");
        }
    }
}
