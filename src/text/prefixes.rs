//! Sets of IDs that are given by their prefixes.

/// The IDs that begin with one of some prefixes. The empty prefix is that of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefixes(
    /// In order, and none of them begins with another one.
    Vec<Box<[u8]>>,
);

impl Prefixes {
    /// The set with these prefixes.
    pub fn of<'a>(prefixes: impl IntoIterator<Item = &'a [u8]>) -> Prefixes {
        let mut sorted: Vec<Box<[u8]>> = prefixes.into_iter().map(Box::from).collect();
        sorted.sort();
        // Those that begin with a prefix follow it in this order.
        sorted.dedup_by(|later, kept| later.starts_with(kept));
        Prefixes(sorted)
    }

    /// Whether it has this ID: the greatest prefix that is not after `id` is the only candidate.
    pub fn has(&self, id: &[u8]) -> bool {
        let after = self.0.partition_point(|prefix| **prefix <= *id);
        after.checked_sub(1).is_some_and(|at| id.starts_with(&self.0[at]))
    }

    /// Whether it has no ID.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it has every ID.
    pub fn is_everything(&self) -> bool {
        self.has(b"")
    }

    /// The prefixes in order, none of which begins with another one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|prefix| &**prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_prefix_begins_with_another_one() {
        let prefixes = Prefixes::of([&b"fam/"[..], b"b", b"fam", b"ada", b"b"]);
        assert_eq!(prefixes.iter().collect::<Vec<_>>(), [&b"ada"[..], b"b", b"fam"]);
        assert!(!prefixes.is_everything() && !prefixes.is_empty());
        assert!(Prefixes::of([&b"a"[..], b""]).is_everything());
        assert!(Prefixes::default().is_empty() && !Prefixes::default().has(b""));
    }

    proptest! {
        #[test]
        fn ids_are_those_of_a_plain_search(prefixes in prop::collection::vec("[ab]{0,3}", 0..6), id in "[abc]{0,4}") {
            let expected = prefixes.iter().any(|prefix| id.starts_with(prefix.as_str()));
            let found = Prefixes::of(prefixes.iter().map(|prefix| prefix.as_bytes())).has(id.as_bytes());
            prop_assert_eq!(found, expected);
        }
    }
}
