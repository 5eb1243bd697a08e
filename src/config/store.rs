//! The section `store`.

use super::error::Error;
use super::section::Section;
use std::path::{Path, PathBuf};

/// When statements are on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// A second after they were acknowledged.
    #[default]
    EverySecond,
    /// Before they are acknowledged.
    Always,
}

impl Sync {
    const ALL: [Sync; 2] = [Sync::EverySecond, Sync::Always];

    /// Its value of `store.sync`.
    pub fn name(self) -> &'static str {
        match self {
            Sync::EverySecond => "every second",
            Sync::Always => "always",
        }
    }
}

/// The store on disk of each server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSection {
    /// The folder with a folder for each server, relative to the current folder.
    pub folder: PathBuf,
    /// When statements are on the disk.
    pub sync: Sync,
}

impl StoreSection {
    pub(super) const KEYS: [&str; 2] = ["dir", "sync"];

    /// Reads the section of a file in `herd_folder`. `None`: it names no folder, so there is no store on disk.
    pub(super) fn read(section: &Section<'_>, herd_folder: &Path) -> Result<Option<StoreSection>, Error> {
        let sync = match section.get("sync") {
            None => Sync::default(),
            Some(item) => {
                let name = item.string()?;
                let sync = Sync::ALL.into_iter().find(|sync| sync.name() == name);
                let sync = sync.ok_or_else(|| item.expected("\"every second\" or \"always\""))?;
                // Without a folder nothing would be on the disk, whatever the setting promises.
                section.required("dir", "\"store\"")?;
                sync
            }
        };
        let Some(dir) = section.get("dir") else { return Ok(None) };
        Ok(Some(StoreSection { folder: dir.path(herd_folder)?, sync }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{parse, with, wrong};
    use super::*;

    fn store(section: &str) -> Option<StoreSection> {
        parse(&with(&format!(r#", "store": {section}"#))).unwrap().store
    }

    #[test]
    fn without_a_folder_there_is_no_store_on_disk() {
        assert_eq!((parse(&with("")).unwrap().store, store("{}")), (None, None));
        let folder = PathBuf::from("some/folder/deep/er");
        let every_second = StoreSection { folder, sync: Sync::EverySecond };
        assert_eq!(store(r#"{ "dir": "deep/er" }"#).as_ref(), Some(&every_second));
        assert_eq!(store(r#"{ "dir": "deep/er", "sync": "every second" }"#), Some(every_second));
        let always = StoreSection { folder: "/var/herd".into(), sync: Sync::Always };
        assert_eq!(store(r#"{ "dir": "/var/herd", "sync": "always" }"#), Some(always));
    }

    #[test]
    fn mistakes_in_store() {
        let wrong = |section: &str, place: &str, words: &str| {
            wrong(&with(&format!(r#", "store": {section}"#)), place, words);
        };
        let values = "expected \"every second\" or \"always\", got \"sometimes\"";
        wrong(r#"{ "dir": "x", "sync": "sometimes" }"#, "store.sync", values);
        wrong(r#"{ "dir": "x", "sync": true }"#, "store.sync", "expected a string, got true");
        wrong(r#"{ "dir": 5 }"#, "store.dir", "expected a string, got 5");
        wrong(r#"{ "dir": "" }"#, "store.dir", "expected a path without control characters");
        wrong(r#"{ "dir": "x", "dirr": "x" }"#, "store.dirr", "dir, sync; did you mean dir?");
        wrong(r#"{ "sync": "always" }"#, "store.dir", "is missing; write for example \"store\"");
        wrong(r#""x""#, "store", "expected an object { … }, got \"x\"");
    }
}
