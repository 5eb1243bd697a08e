//! The names of the files of a store.

use std::fmt;

/// The kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Every record, as it was when the log of its generation was begun, or later.
    Snapshot,
    /// Changes, in the order of their numbers.
    Log,
    /// A snapshot that is not complete.
    New,
}

/// The name of a file of a store: `00000007.log`. Names are ordered as the files are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) generation: u64,
    pub(super) kind: Kind,
}

impl Name {
    pub(super) fn of(generation: u64, kind: Kind) -> Name {
        Name { generation, kind }
    }

    /// `None`: the file is none that the journal reads.
    pub(super) fn parse(text: &str) -> Option<Name> {
        let (digits, ending) = text.split_once('.')?;
        let kind = match ending {
            "snapshot" => Kind::Snapshot,
            "log" => Kind::Log,
            "new" => Kind::New,
            _ => return None,
        };
        let name = Name { generation: digits.parse().ok()?, kind };
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = match self.kind {
            Kind::Snapshot => "snapshot",
            Kind::Log => "log",
            Kind::New => "new",
        };
        write!(f, "{:08}.{ending}", self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for kind in [Kind::Snapshot, Kind::Log, Kind::New] {
            for generation in [1, 99_999_999, 1_000_000_000] {
                let name = Name::of(generation, kind);
                assert_eq!(Name::parse(&name.to_string()), Some(name));
            }
        }
        for text in ["lock", "7.log", "00000007.log.damaged-5", "00000007.txt", "+0000007.log", ".log"] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_snapshot_is_read_before_the_log_of_its_generation() {
        assert!(Name::of(1, Kind::Log) < Name::of(2, Kind::Snapshot));
        assert!(Name::of(2, Kind::Snapshot) < Name::of(2, Kind::Log));
    }
}
