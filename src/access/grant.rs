//! What a request may do.

use std::sync::Arc;

use super::Scope;
use crate::text::prefixes::Prefixes;

/// What a request may do: the scopes of its token, or everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    name: Option<Box<str>>,
    report: Prefixes,
    /// Shared with the searches that look for clients on its behalf.
    read: Arc<Prefixes>,
    forget: Prefixes,
    places: bool,
    operate: bool,
}

impl Grant {
    /// Everything: the grant of each request to a server without tokens.
    pub fn everything() -> Grant {
        let all = || Prefixes::of([&b""[..]]);
        Grant { name: None, report: all(), read: Arc::new(all()), forget: all(), places: true, operate: true }
    }

    /// What the token of this name allows.
    pub fn of(name: &str, scopes: &[Scope]) -> Grant {
        let prefixes = |select: fn(&Scope) -> Option<&str>| {
            Prefixes::of(scopes.iter().filter_map(select).map(str::as_bytes))
        };
        Grant {
            name: Some(name.into()),
            report: prefixes(|scope| if let Scope::Report(prefix) = scope { Some(prefix) } else { None }),
            read: Arc::new(prefixes(
                |scope| if let Scope::Read(prefix) = scope { Some(prefix) } else { None },
            )),
            forget: prefixes(|scope| if let Scope::Forget(prefix) = scope { Some(prefix) } else { None }),
            places: scopes.contains(&Scope::Places),
            operate: scopes.contains(&Scope::Operate),
        }
    }

    /// The name of the token; `None`: there are no tokens.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether it may report a location of this client.
    pub fn may_report(&self, id: &[u8]) -> bool {
        self.report.has(id)
    }

    /// Whether it may read what is known of this client.
    pub fn may_read(&self, id: &[u8]) -> bool {
        self.read.has(id)
    }

    /// Whether there are clients that it may read; else a list is refused instead of empty.
    pub fn may_read_some(&self) -> bool {
        !self.read.is_empty()
    }

    /// Whether it may read every client, so that a list needs no look at each.
    pub fn may_read_all(&self) -> bool {
        self.read.is_everything()
    }

    /// The clients that it may read; `None`: all.
    pub fn readable(&self) -> Option<&Arc<Prefixes>> {
        if self.may_read_all() { None } else { Some(&self.read) }
    }

    /// Whether it may delete this client.
    pub fn may_forget(&self, id: &[u8]) -> bool {
        self.forget.has(id)
    }

    /// Whether it may ask Places about a client that it may read.
    pub fn may_ask_places(&self) -> bool {
        self.places
    }

    /// Whether it may read metrics and the state of the herd.
    pub fn may_operate(&self) -> bool {
        self.operate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(scopes: &[&str]) -> Grant {
        let scopes: Vec<Scope> = scopes.iter().map(|text| text.parse().unwrap()).collect();
        Grant::of("ada", &scopes)
    }

    #[test]
    fn each_scope_allows_what_it_says_and_nothing_else() {
        let id = b"bob/1";
        let allowed = |grant: &Grant| {
            [
                grant.may_report(id),
                grant.may_read(id),
                grant.may_read_some(),
                grant.may_read_all(),
                grant.may_forget(id),
                grant.may_ask_places(),
                grant.may_operate(),
            ]
        };
        let (yes, no) = (true, false);
        assert_eq!(allowed(&Grant::everything()), [yes; 7]);
        assert_eq!(allowed(&Grant::default()), [no; 7]);
        assert_eq!(allowed(&grant(&["report:bob*"])), [yes, no, no, no, no, no, no]);
        assert_eq!(allowed(&grant(&["read:bob/*"])), [no, yes, yes, no, no, no, no]);
        assert_eq!(allowed(&grant(&["read:ada*"])), [no, no, yes, no, no, no, no]);
        assert_eq!(allowed(&grant(&["read:*"])), [no, yes, yes, yes, no, no, no]);
        assert_eq!(allowed(&grant(&["forget:bob/1*"])), [no, no, no, no, yes, no, no]);
        assert_eq!(allowed(&grant(&["forget:bob/12*"])), [no; 7]);
        assert_eq!(allowed(&grant(&["places"])), [no, no, no, no, no, yes, no]);
        assert_eq!(allowed(&grant(&["operate"])), [no, no, no, no, no, no, yes]);
        assert_eq!((Grant::everything().name(), grant(&[]).name()), (None, Some("ada")));
    }

    #[test]
    fn readable_clients_are_given_by_prefixes() {
        let grant = grant(&["read:fam/*", "read:ada*", "report:bob*"]);
        let readable = grant.readable().unwrap();
        assert_eq!(readable.iter().collect::<Vec<_>>(), [&b"ada"[..], b"fam/"]);
        assert!(Grant::everything().readable().is_none());
    }
}
