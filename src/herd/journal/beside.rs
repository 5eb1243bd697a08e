//! Reads the rest of a large store while the server runs. Clients are served meanwhile, with what was read so far and what
//! they report. Links and streams of FOLLOW wait, since what they are sent has to begin with the first change.

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use super::opening::{Loader, keep_aside};
use super::{JournalDriver, Tag, Warning};
use crate::clock::Moment;
use crate::conversation::Server;
use crate::herd::Command;
use crate::protocol::{Lane, Task, Work};
use crate::store::journal::{Reader, Reading, Writer, frames};
use crate::store::{Places, Unsorted};

/// The files that are read beside clients.
#[derive(Debug)]
pub(super) struct Beside {
    loader: Loader,
    /// Changes that were read.
    changes: Vec<u8>,
    /// Bytes of them that were loaded.
    loaded: usize,
    /// `None`: it is being carried out.
    task: Option<Box<ReadOn>>,
    /// What is being put into the index of locations, after everything was loaded.
    places: Option<Places>,
    /// Bytes of all files.
    bytes: u64,
}

/// Reads the next changes from the files, and sorts the records at last.
pub(super) struct ReadOn {
    reader: Option<Reader>,
    portion: usize,
    changes: Vec<u8>,
    /// Bytes that were read so far.
    bytes: u64,
    /// What the files have, when they were read to their end, and messages for the operator.
    over: Option<(Reading, Vec<String>)>,
    /// Then: what is to be sorted, and what was.
    unsorted: Option<Unsorted>,
    places: Option<Places>,
    writer: Arc<Mutex<Writer>>,
    started_s: u64,
}

impl Beside {
    pub(super) fn new(loader: Loader, task: ReadOn, bytes: u64) -> Beside {
        Beside { loader, changes: Vec::new(), loaded: 0, task: Some(Box::new(task)), places: None, bytes }
    }
}

impl ReadOn {
    /// `portion`: bytes of changes that are read together. `started_s`: the time of the start, in seconds since 1970.
    pub(super) fn new(reader: Reader, portion: usize, writer: Arc<Mutex<Writer>>, started_s: u64) -> ReadOn {
        ReadOn {
            reader: Some(reader),
            portion,
            changes: Vec::new(),
            bytes: 0,
            over: None,
            unsorted: None,
            places: None,
            writer,
            started_s,
        }
    }
}

impl JournalDriver {
    /// Whether the files are still being read.
    pub fn is_reading(&self) -> bool {
        self.beside.is_some()
    }

    /// Loads a portion of what was read, and has the next one read.
    pub(super) fn read_on(&mut self, server: &mut Server, now: Moment, commands: &mut VecDeque<Command>) {
        let Some(beside) = &mut self.beside else { return };
        let rest = &beside.changes[beside.loaded..];
        let mut portion = 0;
        for frame in frames(rest) {
            portion += frame.length();
            if portion >= PORTION {
                break;
            }
        }
        beside.loader.load(&mut server.store, &rest[..portion]);
        beside.loaded += portion;
        if let Some(places) = &mut beside.places {
            if !places.locate(&mut server.store) {
                return self.end_reading(server, now, commands);
            }
        } else if beside.loaded == beside.changes.len()
            && let Some(mut task) = beside.task.take()
        {
            beside.loaded = 0;
            beside.changes.clear();
            mem::swap(&mut beside.changes, &mut task.changes);
            server.course.store_read = Some((task.bytes * 100 / beside.bytes.max(1)).min(99) as u8);
            beside.places = task.places.take();
            if task.over.is_some() && beside.changes.is_empty() && beside.places.is_none() {
                task.unsorted = Some(beside.loader.loading.unsorted());
            }
            if task.over.is_none() || task.unsorted.is_some() {
                commands.push_back(Command::Run { tag: Tag::Store, work: Work::Run(task) });
            } else {
                beside.task = Some(task);
            }
        }
        if beside.loaded < beside.changes.len() || beside.task.is_some() {
            commands.push_back(Command::Timer { at: now, tag: Tag::Store });
        }
    }

    /// The next changes were read.
    pub(super) fn has_read(&mut self, task: Box<ReadOn>) {
        if let Some(beside) = &mut self.beside {
            beside.task = Some(task);
        }
    }

    fn end_reading(&mut self, server: &mut Server, now: Moment, commands: &mut VecDeque<Command>) {
        let Some(beside) = self.beside.take() else { return };
        let Some((reading, mut messages)) = beside.task.and_then(|task| task.over) else { return };
        messages.extend(self.was_read(server, &reading, beside.loader, now));
        server.course.store_read = None;
        // A disk that fails has everything written anew in any case.
        self.must_repair = !reading.damage.is_empty() && self.log.is_some();
        for message in messages {
            server.log.event(format_args!("The store has a problem: {message}"));
            let text = format!("store of {}: {message}", server.identity.name);
            let work = Work::Run(Box::new(Warning { text }));
            commands.push_back(Command::Run { tag: Tag::Store, work });
        }
    }
}

impl Task for ReadOn {
    fn lane(&self) -> Lane {
        STORE_READER
    }

    fn run(&mut self) {
        if let Some(unsorted) = self.unsorted.take() {
            self.places = Some(unsorted.sort());
            return;
        }
        let Some(mut reader) = self.reader.take() else { return };
        let has_more = reader.read(&mut self.changes, self.portion);
        self.bytes = reader.bytes();
        if has_more {
            self.reader = Some(reader);
        } else {
            let reading = reader.finish();
            let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let messages = keep_aside(writer.folder(), &reading.damage, self.started_s);
            self.over = Some((reading, messages));
        }
    }
}

impl Debug for ReadOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadOn({} bytes read)", self.bytes)
    }
}

/// The lane that reads the store. A lane of its own, so that changes are written meanwhile.
pub const STORE_READER: Lane = Lane("store reader");
/// Bytes of changes that are loaded in one turn, apart from the last of them: some hundred, in less than a millisecond.
const PORTION: usize = 48 * 1024;
