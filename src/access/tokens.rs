//! The tokens that a server accepts.

use super::{Digest, Entry, Grant, TokensFile};
use crate::config::Error;
use std::path::Path;
use std::rc::Rc;

/// The tokens that a server accepts, with what each of them allows.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    all: Vec<(Digest, Rc<Grant>)>,
}

impl Tokens {
    /// Reads a file of tokens. Errors: those of [`TokensFile::read`].
    pub fn read(file: &Path) -> Result<Tokens, Error> {
        TokensFile::read(file).map(|read| Tokens::of(read.entries()))
    }

    /// The tokens of these entries.
    pub fn of(entries: &[Entry]) -> Tokens {
        let grant = |entry: &Entry| (entry.digest, Rc::new(Grant::of(&entry.name, &entry.scopes)));
        Tokens { all: entries.iter().map(grant).collect() }
    }

    /// What this token allows; `None`: it is not one of these. The time does not depend on which it is, nor on
    /// how much of it is right.
    pub fn grant_of(&self, token: &[u8]) -> Option<&Rc<Grant>> {
        let digest = Digest::of(token);
        let mut found = None;
        for (known, grant) in &self.all {
            if *known == digest {
                found = Some(grant);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scope;

    #[test]
    fn a_token_is_found_by_its_text() {
        let entry = |name: &str| {
            let digest = Digest::of(format!("token of {name}").as_bytes());
            Entry { name: name.to_owned(), digest, scopes: Scope::default_of(name) }
        };
        let tokens = Tokens::of(&["ada", "bob", "eve"].map(entry));
        let name = |token: &str| tokens.grant_of(token.as_bytes()).and_then(|grant| grant.name());
        for known in ["ada", "bob", "eve"] {
            assert_eq!(name(&format!("token of {known}")), Some(known));
        }
        let digest = Digest::of(b"token of ada").to_string();
        for unknown in ["", "token of ad", "token of ada ", "token of zoe", &digest] {
            assert_eq!(name(unknown), None, "{unknown}");
        }
        assert!(Tokens::default().grant_of(b"").is_none());
    }
}
