//! Writes the files of a store: a batch after the other, on a thread of its own. It does not decide what is written.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::{Folder, Output};
use super::frame::{Frame, seal};
use super::names::{Kind, Name};
use super::notes::{Header, VERSION, WHOLE};
use crate::text::system_error::in_words;

/// The writer of one store. A batch that fails ends its generation: what was written is of unknown worth, and is not
/// written again, since an operating system that has reported an error once may drop the data and report none the
/// next time. Another generation has to begin, with a snapshot.
#[derive(Debug)]
pub struct Writer {
    folder: Box<dyn Folder>,
    herd: String,
    server: String,
    generation: u64,
    /// The length of the last log of an earlier process, in bytes; 0: there is none.
    before: u64,
    log: Option<LogFile>,
    snapshot: Option<Box<dyn Output>>,
    /// Bytes of the snapshot since it was synced last.
    snapshot_unsynced: usize,
    /// Without its snapshot, which is not complete, the log of the generation is worth nothing: the log before it may have
    /// lost its end. Both are removed if they fail, so that they take no room.
    is_worthless: bool,
    /// A generation was begun.
    has_begun: bool,
}

/// A log, and its length in bytes.
#[derive(Debug)]
struct LogFile {
    output: Box<dyn Output>,
    length: u64,
}

/// A piece of work of a writer, with the buffers for it. The steps are carried out in the order of the fields.
pub struct Batch {
    writer: Arc<Mutex<Writer>>,
    /// The generation of this number begins, after the one before is on the disk.
    pub begins: Option<u64>,
    /// The generation that begins has a snapshot.
    pub begins_snapshot: bool,
    /// The number of records that the store has when the generation begins.
    pub records: u64,
    /// Frames for the log, without checksums.
    pub log: Vec<u8>,
    /// The log is then on the disk.
    pub syncs: bool,
    /// Frames for the snapshot, without checksums.
    pub snapshot: Vec<u8>,
    /// The snapshot is complete and takes the place of all files of earlier generations.
    pub completes: bool,
    /// The log is complete: the server ends.
    pub ends: bool,
    outcome: Result<(), Failure>,
}

/// The failure of a batch.
#[derive(Debug)]
pub struct Failure {
    what: String,
    error: io::Error,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, in_words(&self.error))
    }
}

impl Batch {
    /// An empty batch of a writer.
    pub fn new(writer: Arc<Mutex<Writer>>) -> Batch {
        Batch {
            writer,
            begins: None,
            begins_snapshot: false,
            records: 0,
            log: Vec::new(),
            syncs: false,
            snapshot: Vec::new(),
            completes: false,
            ends: false,
            outcome: Ok(()),
        }
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
            && self.snapshot.is_empty()
            && self.begins.is_none()
            && !self.syncs
            && !self.completes
            && !self.ends
    }

    /// Carries it out. May block.
    pub fn write(&mut self) {
        let writer = self.writer.clone();
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.outcome = writer.carry_out(self);
        if self.outcome.is_err() {
            writer.fail();
        }
    }

    /// Empties it, and returns how it went. The buffers stay, unless they are very large.
    pub fn take_outcome(&mut self) -> Result<(), Failure> {
        for buffer in [&mut self.log, &mut self.snapshot] {
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
        (self.begins, self.begins_snapshot) = (None, false);
        (self.syncs, self.completes, self.ends) = (false, false, false);
        std::mem::replace(&mut self.outcome, Ok(()))
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} and {} bytes)", self.log.len(), self.snapshot.len())
    }
}

impl Writer {
    /// The writer of the store of a server, whose last generation is this one.
    pub fn new(folder: Box<dyn Folder>, herd: &str, server: &str, generation: u64) -> Writer {
        Writer {
            folder,
            herd: herd.into(),
            server: server.into(),
            generation,
            before: 0,
            log: None,
            snapshot: None,
            snapshot_unsynced: 0,
            is_worthless: false,
            has_begun: false,
        }
    }

    /// The last log that is there has this length in bytes.
    pub fn after_log_of(self, bytes: u64) -> Writer {
        Writer { before: bytes, ..self }
    }

    /// The folder that it writes to.
    pub fn folder(&self) -> &dyn Folder {
        &*self.folder
    }

    fn carry_out(&mut self, batch: &mut Batch) -> Result<(), Failure> {
        if let Some(generation) = batch.begins {
            self.begin(generation, batch)?;
        }
        self.write_log(batch)?;
        if !batch.snapshot.is_empty() {
            seal(&mut batch.snapshot);
            let snapshot = self.snapshot.as_mut().ok_or_else(not_begun)?;
            let name = Name::of(self.generation, Kind::New);
            snapshot.append(&batch.snapshot).map_err(failed(name, "cannot be written"))?;
            self.snapshot_unsynced += batch.snapshot.len();
            if self.snapshot_unsynced >= SNAPSHOT_UNSYNCED_MAX {
                self.snapshot_unsynced = 0;
                snapshot.sync().map_err(failed(name, "cannot be written to the disk"))?;
            }
        }
        if batch.completes {
            self.complete()?;
        }
        Ok(())
    }

    /// Begins a generation.
    fn begin(&mut self, generation: u64, batch: &Batch) -> Result<(), Failure> {
        let Batch { begins_snapshot: with_snapshot, records, .. } = *batch;
        // A log that is not the last one has to be whole.
        let before = Name::of(self.generation, Kind::Log);
        let is_repair = self.log.is_none() && with_snapshot;
        let mut length_before = std::mem::take(&mut self.before);
        if let Some(mut log) = self.log.take() {
            length_before = log.length;
            log.output.truncate().map_err(failed(before, "cannot be cut to its length"))?;
            log.output.sync().map_err(failed(before, "cannot be written to the disk"))?;
        } else if self.is_worthless {
            let _ = self.folder.remove(&before.to_string());
        }
        self.snapshot = None;
        let _ = self.folder.remove(&Name::of(self.generation, Kind::New).to_string());
        self.generation = generation;
        self.is_worthless = is_repair;
        let name = Name::of(generation, Kind::Log);
        let mut log = LogFile { output: self.create(name)?, length: 0 };
        log.append(&self.header(length_before, records)).map_err(failed(name, "cannot be written"))?;
        log.output.sync().map_err(failed(name, "cannot be written to the disk"))?;
        self.log = Some(log);
        if with_snapshot {
            let name = Name::of(generation, Kind::New);
            let mut snapshot = self.create(name)?;
            snapshot.append(&self.header(0, records)).map_err(failed(name, "cannot be written"))?;
            self.snapshot = Some(snapshot);
        }
        // Before a change number of this generation is known to another server: otherwise the end of the generation
        // before could be taken for the last one.
        self.sync_names()?;
        self.has_begun = true;
        Ok(())
    }

    fn write_log(&mut self, batch: &mut Batch) -> Result<(), Failure> {
        let name = Name::of(self.generation, Kind::Log);
        let log = self.log.as_mut().ok_or_else(not_begun)?;
        if !batch.log.is_empty() {
            seal(&mut batch.log);
            log.append(&batch.log).map_err(failed(name, "cannot be written"))?;
        }
        if batch.ends {
            log.output.truncate().map_err(failed(name, "cannot be cut to its length"))?;
        }
        if batch.syncs || batch.ends {
            log.output.sync().map_err(failed(name, "cannot be written to the disk"))?;
        }
        Ok(())
    }

    /// The snapshot takes the place of all files of earlier generations.
    fn complete(&mut self) -> Result<(), Failure> {
        let (new, whole) = (Name::of(self.generation, Kind::New), Name::of(self.generation, Kind::Snapshot));
        let mut snapshot = self.snapshot.take().ok_or_else(not_begun)?;
        snapshot.append(&note(WHOLE)).map_err(failed(new, "cannot be written"))?;
        snapshot.sync().map_err(failed(new, "cannot be written to the disk"))?;
        let renamed = self.folder.rename(&new.to_string(), &whole.to_string());
        renamed.map_err(failed(new, "cannot be renamed"))?;
        self.sync_names()?;
        self.is_worthless = false;
        // What stays is removed when the next snapshot is complete; it is not read any more.
        for name in self.folder.names().unwrap_or_default() {
            if Name::parse(&name).is_some_and(|name| name.generation < self.generation) {
                let _ = self.folder.remove(&name);
            }
        }
        Ok(())
    }

    /// A batch has failed.
    fn fail(&mut self) {
        self.log = None;
        self.snapshot = None;
        if !self.has_begun {
            // The server does not start, so that the folder stays as it was.
            for kind in [Kind::Log, Kind::New] {
                let _ = self.folder.remove(&Name::of(self.generation, kind).to_string());
            }
        }
    }

    fn create(&self, name: Name) -> Result<Box<dyn Output>, Failure> {
        self.folder.create(&name.to_string()).map_err(failed(name, "cannot be made"))
    }

    fn sync_names(&self) -> Result<(), Failure> {
        self.folder
            .sync()
            .map_err(|error| Failure { what: "the folder cannot be written to the disk".into(), error })
    }

    fn header(&self, before: u64, records: u64) -> Vec<u8> {
        let (herd, server, generation) = (self.herd.clone(), self.server.clone(), self.generation);
        let mut content = Vec::new();
        Header { version: VERSION, herd, server, generation, before, records }.write(&mut content);
        note(&content)
    }
}

impl LogFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len() as u64;
        let step = (self.length / 8).clamp(RESERVED_MIN, RESERVED_MAX).next_power_of_two();
        self.output.reserve(self.length.next_multiple_of(step))?;
        self.output.append(bytes)
    }
}

/// The frame of a note.
fn note(content: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    Frame { number: 0, content }.write(&mut frame);
    seal(&mut frame);
    frame
}

fn failed(name: Name, problem: &'static str) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure { what: format!("{name} {problem}"), error }
}

/// The batches after one that has failed.
fn not_begun() -> Failure {
    Failure { what: "an earlier batch has failed".into(), error: io::Error::other("no file is open") }
}

/// Bytes by which a log is made longer before it is written: enough for a thousand records, so that a sync of few of them
/// seldom has to write the length of the file, too. A long log gets more at once, an eighth of its length at most.
const RESERVED_MIN: u64 = 128 * 1024;
const RESERVED_MAX: u64 = 8 << 20;
/// Bytes of a snapshot that are not synced: the batch that syncs them has changes of the log behind it.
const SNAPSHOT_UNSYNCED_MAX: usize = 4 << 20;
/// Bytes of a buffer that is kept.
const KEPT: usize = 512 * 1024;
