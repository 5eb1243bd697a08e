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

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What this token allows; `None`: it is not one of these. The time does not depend on which it is, nor on
    /// how much of it is right.
    fn grant_of(&self, token: &[u8]) -> Option<&Rc<Grant>> {
        self.find(&Digest::of(token))
    }

    fn find(&self, digest: &Digest) -> Option<&Rc<Grant>> {
        let mut found = None;
        for (known, grant) in &self.all {
            if known == digest {
                found = Some(grant);
            }
        }
        found
    }
}

/// Who may do what at a server: everything, or what tokens allow.
#[derive(Debug)]
pub struct Access {
    /// `None`: no request needs a token.
    tokens: Option<Tokens>,
    everything: Rc<Grant>,
    /// The number of times that the tokens were replaced.
    version: u64,
}

impl Access {
    /// Every request may do everything.
    pub fn open() -> Access {
        Access { tokens: None, everything: Rc::new(Grant::everything()), version: 0 }
    }

    /// Takes over tokens that were read again; `None`: every request may do everything. A token that allows what it
    /// did before keeps its grant.
    pub fn replace(&mut self, mut tokens: Option<Tokens>) {
        if let (Some(new), Some(old)) = (&mut tokens, &self.tokens) {
            for (digest, grant) in &mut new.all {
                if let Some(kept) = old.find(digest).filter(|kept| *kept == grant) {
                    *grant = kept.clone();
                }
            }
        }
        self.tokens = tokens;
        self.version += 1;
    }

    /// Whether a request needs a token.
    pub fn needs_token(&self) -> bool {
        self.tokens.is_some()
    }

    /// What a request with this token may do; `None`: it needs another one. Without tokens any text will do.
    pub fn grant_of(&self, token: Option<&[u8]>) -> Option<&Rc<Grant>> {
        match &self.tokens {
            None => Some(&self.everything),
            Some(tokens) => token.and_then(|token| tokens.grant_of(token)),
        }
    }

    /// The number that changes when tokens are read again.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether a token still allows exactly what it did when it got this grant.
    pub fn still_has(&self, grant: &Rc<Grant>) -> bool {
        match &self.tokens {
            None => Rc::ptr_eq(grant, &self.everything),
            Some(tokens) => tokens.all.iter().any(|(_, known)| Rc::ptr_eq(known, grant)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scope;

    fn entry(name: &str, token: &str) -> Entry {
        Entry { name: name.to_owned(), digest: Digest::of(token.as_bytes()), scopes: Scope::default_of(name) }
    }

    #[test]
    fn a_token_is_found_by_its_text() {
        let tokens = Tokens::of(&["ada", "bob", "eve"].map(|name| entry(name, &format!("token of {name}"))));
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

    #[test]
    fn with_tokens_each_request_needs_one() {
        let mut access = Access::open();
        assert_eq!((access.needs_token(), access.version()), (false, 0));
        assert!(access.grant_of(None).unwrap().may_operate() && access.grant_of(Some(b"x")).is_some());
        access.replace(Some(Tokens::of(&[entry("ada", "secret")])));
        assert_eq!((access.needs_token(), access.version()), (true, 1));
        assert!(access.grant_of(None).is_none() && access.grant_of(Some(b"x")).is_none());
        assert_eq!(access.grant_of(Some(b"secret")).unwrap().name(), Some("ada"));
    }

    #[test]
    fn a_grant_lasts_while_its_token_allows_the_same() {
        let mut access = Access::open();
        let everything = access.grant_of(None).unwrap().clone();
        let mut replace = |entries: &[Entry]| access.replace(Some(Tokens::of(entries)));
        let (ada, bob) = (entry("ada", "1"), entry("bob", "2"));
        replace(&[ada.clone(), bob.clone()]);
        let grant = access.grant_of(Some(b"1")).unwrap().clone();
        assert!(access.still_has(&grant) && !access.still_has(&everything));
        access.replace(Some(Tokens::of(&[bob.clone(), ada.clone()])));
        assert!(access.still_has(&grant), "in another order");
        for changed in [
            vec![bob.clone()],
            vec![entry("ada", "3")],
            vec![Entry { scopes: vec![Scope::Places], ..ada.clone() }],
        ] {
            let mut other = Access::open();
            other.replace(Some(Tokens::of(std::slice::from_ref(&ada))));
            let grant = other.grant_of(Some(b"1")).unwrap().clone();
            other.replace(Some(Tokens::of(&changed)));
            assert!(!other.still_has(&grant), "{changed:?}");
        }
        access.replace(None);
        assert!(!access.still_has(&grant) && access.still_has(&everything));
    }
}
