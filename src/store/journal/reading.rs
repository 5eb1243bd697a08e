//! Reads the files of a store. It changes nothing.

use std::fmt;
use std::io::Read;

use super::disk::Folder;
use super::frame::{Frame, Front, HEADER, next_candidate};
use super::names::{Kind, Name};
use super::notes::{Header, State, VERSION, WHOLE};
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
    Failed(std::io::Error),
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

/// Reads the store of a server. `found` is called with each change in the order in which they are to be stored, and returns
/// whether it is a statement. The newest statement of a client may be followed by older ones of it.
pub fn read(
    folder: &dyn Folder,
    herd: &str,
    server: &str,
    mut found: impl FnMut(Frame<'_>) -> bool,
) -> Result<Reading, Refused> {
    let names = folder.names().map_err(Refused::Failed)?;
    let mut files: Vec<Name> = names.iter().filter_map(|name| Name::parse(name)).collect();
    files.sort_unstable();
    let mut reading = Reading::default();
    let incomplete = files.extract_if(.., |file| file.kind == Kind::New);
    reading.leftovers.extend(incomplete.map(|file| file.to_string()));
    check_headers(folder, &files, herd, server)?;
    // What a snapshot replaces was about to be removed.
    if let Some(snapshot) = files.iter().rposition(|file| file.kind == Kind::Snapshot) {
        files.drain(..snapshot);
    }
    for missing in missing(&files) {
        reading.note(missing, Problem::Missing);
    }
    for (index, &file) in files.iter().enumerate() {
        let is_last = index + 1 == files.len();
        if read_file(folder, file, is_last, &mut reading, &mut found) {
            reading.generation = file.generation;
            reading.files.push(file.to_string());
        } else {
            reading.leftovers.push(file.to_string());
        }
    }
    Ok(reading)
}

/// Checks that a folder may be read as the store of this server. It reads the beginning of each file.
pub fn check(folder: &dyn Folder, herd: &str, server: &str) -> Result<(), Refused> {
    let names = folder.names().map_err(Refused::Failed)?;
    let files: Vec<Name> = names.iter().filter_map(|name| Name::parse(name)).collect();
    check_headers(folder, &files, herd, server)
}

fn check_headers(folder: &dyn Folder, files: &[Name], herd: &str, server: &str) -> Result<(), Refused> {
    for file in files {
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
    }
    Ok(())
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

/// Reads a file. Returns whether it may have had something.
fn read_file(
    folder: &dyn Folder,
    file: Name,
    is_last: bool,
    reading: &mut Reading,
    found: &mut impl FnMut(Frame<'_>) -> bool,
) -> bool {
    let mut input = match folder.open(&file.to_string()) {
        Ok(input) => Input::new(input),
        Err(error) => {
            reading.note(file, Problem::Failed(error.to_string()));
            return true;
        }
    };
    // The first unreadable byte, how many there are, and whether records follow them.
    let mut unreadable: Option<(u64, u64, bool)> = None;
    let mut state = None;
    // Whether nothing was lost before the place that is being read.
    let mut was_whole = reading.damage.is_empty();
    let mut first = true;
    // Whether a snapshot has its last frame.
    let mut is_whole = false;
    loop {
        let at = input.offset;
        let length = match input.front() {
            Front::Frame(frame, length) => {
                let is_known = match frame.number {
                    0 if first => {
                        let header = Header::parse(frame.content);
                        if file.kind == Kind::Log
                            && header.as_ref().is_some_and(|header| header.before > reading.last_log_bytes)
                            && reading.logs > 0
                            && was_whole
                        {
                            reading.note(Name::of(file.generation - 1, Kind::Log), Problem::Cut);
                            was_whole = false;
                        }
                        header.is_some()
                    }
                    0 if frame.content == WHOLE && file.kind == Kind::Snapshot => {
                        is_whole = true;
                        true
                    }
                    0 => {
                        let note = State::parse(frame.content);
                        let is_known = note.is_some();
                        // Later notes cover changes that were lost.
                        if unreadable.is_none() && was_whole {
                            state = note.or(state);
                        }
                        is_known
                    }
                    _ => found(frame),
                };
                if let Some((_, _, is_followed)) = &mut unreadable {
                    *is_followed = true;
                }
                // A change after the note of an end: another program has written here.
                if frame.number > 0 && state.as_ref().is_some_and(|state: &State| state.is_end) {
                    state = None;
                }
                if !is_known || first && frame.number > 0 {
                    extend(&mut unreadable, at, if is_known { 0 } else { length as u64 }, true);
                }
                length
            }
            Front::End => match input.pass_zeros() {
                None => break,
                // Zeros before something else.
                Some(zeros) => {
                    extend(&mut unreadable, at, zeros, false);
                    0
                }
            },
            Front::Part | Front::Damage => {
                let passed = input.pass_damage();
                extend(&mut unreadable, at, passed, false);
                0
            }
        };
        first = false;
        input.take(length);
    }
    let is_last_log = is_last && file.kind == Kind::Log;
    if first && input.failure.is_none() {
        if is_last_log {
            // Not even a header: it was begun right before the server ended.
            return false;
        }
        unreadable = Some((0, 0, false));
    }
    let bytes = input.offset;
    if let Some(error) = input.failure {
        reading.note(file, Problem::Failed(error.to_string()));
    } else if let Some((at, bytes, is_followed)) = unreadable {
        let is_torn = is_last_log && !is_followed;
        let problem = if is_torn { Problem::Torn { bytes } } else { Problem::Unreadable { at, bytes } };
        reading.note(file, problem);
    } else if file.kind == Kind::Snapshot && !is_whole {
        reading.note(file, Problem::Cut);
    }
    if file.kind == Kind::Log {
        reading.logs += 1;
        reading.log_bytes += bytes;
        reading.last_log_bytes = bytes;
        // A server that was started again and wrote nothing more has not ended in order.
        let ended_before = reading.state.take().map(|state| State { is_end: false, ..state });
        reading.state = state.or(ended_before);
    } else {
        reading.snapshot_bytes += bytes;
    }
    true
}

/// Adds bytes at an offset to the unreadable ones of a file: the first offset, their number, and whether records follow.
fn extend(unreadable: &mut Option<(u64, u64, bool)>, at: u64, bytes: u64, is_followed: bool) {
    let (at, before, _) = unreadable.unwrap_or((at, 0, false));
    *unreadable = Some((at, before + bytes, is_followed));
}

/// A file that is being read from its start to its end.
struct Input {
    file: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// The part of the buffer that was read and not taken.
    start: usize,
    /// The offset of that part in the file.
    offset: u64,
    is_at_end: bool,
    failure: Option<std::io::Error>,
}

impl Input {
    fn new(file: Box<dyn Read + Send>) -> Input {
        Input { file, buffer: Vec::new(), start: 0, offset: 0, is_at_end: false, failure: None }
    }

    /// The front of what was not taken yet. [`Front::Part`]: the file ends there.
    fn front(&mut self) -> Front<'_> {
        loop {
            let needs_more = match Frame::read(&self.buffer[self.start..]) {
                Front::Part => true,
                // Too few bytes to tell.
                Front::End => self.buffer.len() - self.start < HEADER,
                Front::Frame(..) | Front::Damage => false,
            };
            if !needs_more || !self.fill() {
                return Frame::read(&self.buffer[self.start..]);
            }
        }
    }

    fn take(&mut self, length: usize) {
        self.start += length;
        self.offset += length as u64;
    }

    /// Reads on. Returns whether there was more.
    fn fill(&mut self) -> bool {
        if self.is_at_end {
            return false;
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let length = self.buffer.len();
        self.buffer.resize(length + READ, 0);
        let mut filled = length;
        while filled < self.buffer.len() {
            match self.file.read(&mut self.buffer[filled..]) {
                Ok(0) => self.is_at_end = true,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.failure = Some(error);
                    self.is_at_end = true;
                }
            }
            if self.is_at_end {
                break;
            }
        }
        self.buffer.truncate(filled);
        filled > length
    }

    /// Takes zeros. Returns their number, or none if the file ends with them.
    fn pass_zeros(&mut self) -> Option<u64> {
        let mut passed = 0;
        loop {
            let rest = &self.buffer[self.start..];
            let zeros = rest.iter().position(|&byte| byte != 0);
            let count = zeros.unwrap_or(rest.len());
            self.start += count;
            self.offset += count as u64;
            passed += count as u64;
            if zeros.is_some() {
                return Some(passed);
            }
            if !self.fill() {
                self.offset -= passed;
                return None;
            }
        }
    }

    /// Takes bytes up to the next frame, or to the end of the file. Returns their number.
    fn pass_damage(&mut self) -> u64 {
        let mut passed = 0;
        loop {
            let rest = &self.buffer[self.start..];
            let count = match next_candidate(rest) {
                Some(candidate) => candidate,
                // A frame may begin in the last bytes, whose content is not read yet.
                None if !self.is_at_end => {
                    rest.len().saturating_sub(HEADER + CONTENT_START_MAX).max(1).min(rest.len())
                }
                None => rest.len(),
            };
            self.take(count);
            passed += count as u64;
            if self.start == self.buffer.len() && !self.fill() {
                return passed;
            }
            if matches!(self.front(), Front::Frame(..)) {
                return passed;
            }
        }
    }
}

/// Bytes that are read at once.
const READ: usize = 1 << 20;
/// The length of the word that a content begins with, in bytes.
const CONTENT_START_MAX: usize = 8;
