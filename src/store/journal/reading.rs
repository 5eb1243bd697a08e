//! Reads the files of a store. It changes nothing.

mod file;
mod input;
mod tails;

use std::fmt;
use std::io::{self, Read};

use self::file::FileReading;
use self::input::Input;
pub use self::tails::Tails;
use super::disk::Folder;
use super::frame::{Frame, Front, frames};
use super::names::{Kind, Name};
use super::notes::{Header, State, VERSION};
use crate::text::system_error::in_words;

/// What the files of a store have, apart from their records.
#[derive(Debug, Default)]
pub struct Reading {
    /// The numbers of the server, as they were noted last before the first damage.
    pub state: Option<State>,
    /// What could not be read.
    pub damage: Vec<Damage>,
    /// The greatest generation of a file that was read; 0: there is none.
    pub generation: u64,
    /// The files that were read.
    pub files: Vec<String>,
    /// Files that were being begun when a server ended, and have nothing of worth: incomplete snapshots, and a last log
    /// without a header.
    pub leftovers: Vec<String>,
    /// Bytes of the logs and of the snapshot that were read.
    pub log_bytes: u64,
    /// Bytes of the snapshot.
    pub snapshot_bytes: u64,
    /// The number of logs that were read.
    pub logs: usize,
    /// Bytes of the last log.
    pub last_log_bytes: u64,
}

impl Reading {
    /// The numbers with which the server has ended in order, if nothing is lost since.
    pub fn end(&self) -> Option<&State> {
        self.state.as_ref().filter(|state| state.is_end && self.damage.is_empty())
    }

    fn note(&mut self, file: Name, problem: Problem) {
        self.damage.push(Damage { file: file.to_string(), problem });
    }

    fn was_read(&mut self, file: Name) {
        self.generation = file.generation;
        self.files.push(file.to_string());
    }
}

/// The parts of one file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The name of the file.
    pub file: String,
    /// What was found.
    pub problem: Problem,
}

/// A problem of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// So many bytes, the first of them at an offset, are no records.
    Unreadable {
        /// The offset of the first of them.
        at: u64,
        /// Their number.
        bytes: u64,
    },
    /// The last log ends with a part of a record, so many bytes long: it was being written when the server ended, or
    /// the file was cut.
    Torn {
        /// The length of the part in bytes.
        bytes: u64,
    },
    /// The file ends too early, between two records.
    Cut,
    /// The file is not there.
    Missing,
    /// The operating system cannot read it.
    Failed(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.file;
        match &self.problem {
            Problem::Unreadable { at, bytes } => {
                write!(f, "{file} is damaged: {bytes} bytes, the first of them at byte {at}, are no records")
            }
            Problem::Torn { bytes } => {
                write!(f, "{file} ends with {bytes} bytes of a record that was not written whole")
            }
            Problem::Cut => write!(f, "{file} ends before its end"),
            Problem::Missing => write!(f, "{file} is missing"),
            Problem::Failed(why) => write!(f, "{file} cannot be read to its end: {why}"),
        }
    }
}

/// Why a folder is not read.
#[derive(Debug)]
pub enum Refused {
    /// The names of its files cannot be read.
    Failed(io::Error),
    /// A file belongs to another server.
    OfAnotherServer {
        /// The name of the file.
        file: String,
        /// What its header says.
        header: Header,
    },
    /// A file was written by a later version of the program.
    Later {
        /// The name of the file.
        file: String,
        /// The version of its format.
        version: u64,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Failed(error) => write!(f, "it cannot be read: {}", in_words(error)),
            Refused::OfAnotherServer { file, header: Header { herd, server, .. } } => write!(
                f,
                "{file} is of server {server} of the herd {herd}: move the folder to where that server looks for it, or \
                 give this server another store.dir"
            ),
            Refused::Later { file, version } => write!(
                f,
                "{file} has version {version} of the format, and this program reads versions up to {VERSION}: start the \
                 later program that wrote it"
            ),
        }
    }
}

/// Reads the store of a server. `found` is called with each change in the order in which they are to be stored. The newest
/// statement of a client may be followed by older ones of it.
pub fn read(
    folder: &dyn Folder,
    herd: &str,
    server: &str,
    mut found: impl FnMut(Frame<'_>),
) -> Result<Reading, Refused> {
    let mut reader = Reader::open(folder, herd, server)?;
    let mut changes = Vec::new();
    loop {
        let has_more = reader.read(&mut changes, PORTION);
        frames(&changes).for_each(&mut found);
        changes.clear();
        if !has_more {
            return Ok(reader.finish());
        }
    }
}

/// Reads the files of a store in portions. It has opened all of them, and needs the folder no more.
pub struct Reader {
    /// The files that are still to be read, the first one last.
    files: Vec<(Name, io::Result<Box<dyn Read + Send>>)>,
    current: Option<FileReading>,
    reading: Reading,
    bytes: u64,
    records: u64,
}

impl Reader {
    /// Opens the files of the store of a server.
    pub fn open(folder: &dyn Folder, herd: &str, server: &str) -> Result<Reader, Refused> {
        let names = folder.names().map_err(Refused::Failed)?;
        let mut files: Vec<Name> = names.iter().filter_map(|name| Name::parse(name)).collect();
        files.sort_unstable();
        let mut reading = Reading::default();
        let incomplete = files.extract_if(.., |file| file.kind == Kind::New);
        reading.leftovers.extend(incomplete.map(|file| file.to_string()));
        // What a snapshot replaces was about to be removed.
        let snapshot = files.iter().rposition(|file| file.kind == Kind::Snapshot).unwrap_or(0);
        let records = check_headers(folder, &files, herd, server)?[snapshot..].iter().copied().max();
        files.drain(..snapshot);
        for missing in missing(&files) {
            reading.note(missing, Problem::Missing);
        }
        let open = |file: Name| (file, folder.open(&file.to_string()));
        let files = files.into_iter().rev().map(open).collect();
        Ok(Reader { files, current: None, reading, bytes: 0, records: records.unwrap_or(0) })
    }

    /// The number of records that the store had when the newest of its files were begun; 0: it is unknown.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes that were read.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.current.as_ref().map_or(0, FileReading::bytes)
    }

    /// The names of the files that are still to be read, the one that is being read included.
    pub fn rest(&self) -> impl Iterator<Item = String> {
        let current = self.current.as_ref().map(FileReading::name);
        current.into_iter().chain(self.files.iter().rev().map(|(name, _)| *name)).map(|name| name.to_string())
    }

    /// Files that were found to have nothing of worth so far.
    pub fn leftovers(&self) -> &Vec<String> {
        &self.reading.leftovers
    }

    /// Appends the next changes, as [`frames`] reads them, until there are `portion` bytes. Returns whether there are more.
    /// May block.
    pub fn read(&mut self, changes: &mut Vec<u8>, portion: usize) -> bool {
        while changes.len() < portion {
            let Some(file) = &mut self.current else {
                let Some((name, opened)) = self.files.pop() else { return false };
                match opened {
                    Ok(input) => {
                        let is_last = self.files.is_empty();
                        self.current = Some(FileReading::new(name, is_last, input, &self.reading));
                    }
                    Err(error) => {
                        self.reading.note(name, Problem::Failed(error.to_string()));
                        self.reading.was_read(name);
                    }
                }
                continue;
            };
            if !file.step(&mut self.reading, changes)
                && let Some(file) = self.current.take()
            {
                self.bytes += file.bytes();
                file.finish(&mut self.reading);
            }
        }
        true
    }

    /// What was read.
    pub fn finish(self) -> Reading {
        self.reading
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({} files left)", self.files.len())
    }
}

/// Checks that a folder may be read as the store of this server. It reads the beginning of each file.
pub fn check(folder: &dyn Folder, herd: &str, server: &str) -> Result<(), Refused> {
    let names = folder.names().map_err(Refused::Failed)?;
    let files: Vec<Name> = names.iter().filter_map(|name| Name::parse(name)).collect();
    check_headers(folder, &files, herd, server).map(|_| ())
}

/// Returns the number of records that the header of each file has; 0: it is unknown.
fn check_headers(folder: &dyn Folder, files: &[Name], herd: &str, server: &str) -> Result<Vec<u64>, Refused> {
    let mut records = vec![0; files.len()];
    for (file, records) in files.iter().zip(&mut records) {
        // An error is found again when the file is read.
        let Ok(mut input) = folder.open(&file.to_string()).map(Input::new) else { continue };
        let Front::Frame(frame, _) = input.front() else { continue };
        let Some(header) = Header::parse(frame.content) else { continue };
        let file = file.to_string();
        if header.version > VERSION {
            return Err(Refused::Later { file, version: header.version });
        }
        if (&*header.herd, &*header.server) != (herd, server) {
            return Err(Refused::OfAnotherServer { file, header });
        }
        *records = header.records;
    }
    Ok(records)
}

/// The files that should stand among these.
fn missing(files: &[Name]) -> Vec<Name> {
    let Some(first) = files.first() else { return Vec::new() };
    let begin = match first {
        Name { kind: Kind::Snapshot, .. } => None,
        // The first log of a store needs no snapshot.
        Name { generation: 1, .. } => None,
        _ => Some(Name::of(first.generation, Kind::Snapshot)),
    };
    let logs = first.generation..=files.last().map_or(0, |last| last.generation);
    let lost = logs.map(|generation| Name::of(generation, Kind::Log)).filter(|log| !files.contains(log));
    begin.into_iter().chain(lost).collect()
}

/// Bytes of changes that are read together: some thousand changes.
pub const PORTION: usize = 512 * 1024;
