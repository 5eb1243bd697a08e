//! The section `log`.

use super::error::Error;
use super::section::Section;
use crate::log::Level;
use std::path::{Path, PathBuf};

/// The log of each server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSection {
    /// The folder of the log files, relative to the current folder.
    pub folder: PathBuf,
    /// How much is logged.
    pub level: Level,
}

impl LogSection {
    pub(super) const KEYS: [&str; 2] = ["dir", "level"];

    /// Reads the section of a file in `herd_folder`.
    pub(super) fn read(section: &Section<'_>, herd_folder: &Path) -> Result<LogSection, Error> {
        let folder = match section.get("dir") {
            Some(item) => item.path(herd_folder)?,
            None => herd_folder.join(DEFAULT_FOLDER),
        };
        let Some(item) = section.get("level") else {
            return Ok(LogSection { folder, level: Level::default() });
        };
        let name = item.string()?;
        let level = Level::ALL.into_iter().find(|level| level.name() == name);
        let level = level
            .ok_or_else(|| item.expected(&format!("one of {}", Level::ALL.map(Level::name).join(", "))))?;
        Ok(LogSection { folder, level })
    }
}

const DEFAULT_FOLDER: &str = "logs";

#[cfg(test)]
mod tests {
    use super::super::testing::{with, wrong};

    #[test]
    fn mistakes_in_log() {
        wrong(
            &with(r#", "log": { "level": "loud" }"#),
            "log.level",
            "expected one of off, events, traffic, got \"loud\"",
        );
        wrong(&with(r#", "log": { "level": 5 }"#), "log.level", "expected a string, got 5");
        wrong(&with(r#", "log": { "dir": 1 }"#), "log.dir", "expected a string, got 1");
        wrong(
            &with(r#", "log": { "dir": "" }"#),
            "log.dir",
            "expected a path without control characters, got \"\"",
        );
        wrong(&with(r#", "log": { "file": "x" }"#), "log.file", "known keys here: dir, level");
    }
}
