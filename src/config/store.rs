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

/// The store on disk of each server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSection {
    /// The folder with a folder for each server.
    pub folder: PathBuf,
    /// When statements are on the disk.
    pub sync: Sync,
}

impl StoreSection {
    pub(super) const KEYS: [&str; 2] = ["dir", "sync"];

    pub(super) fn read(section: &Section<'_>, herd_folder: &Path) -> Result<Option<StoreSection>, Error> {
        let Some(dir) = section.get("dir") else { return Ok(None) };
        let folder = dir.path(herd_folder)?;
        let sync = match section.get("sync") {
            None => Sync::default(),
            Some(item) => match &*item.string()? {
                "every second" => Sync::EverySecond,
                "always" => Sync::Always,
                _ => return Err(item.expected("\"every second\" or \"always\"")),
            },
        };
        Ok(Some(StoreSection { folder, sync }))
    }
}
