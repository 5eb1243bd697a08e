//! The start of a server with a store on disk: its records are read, and another log is begun.

use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::beside::{Beside, ReadOn};
use super::{CarriedOut, JournalDriver, RETRY_MIN, Snapshot};
use crate::clock::Moment;
use crate::config::Sync;
use crate::conversation::Server;
use crate::store::journal::disk::Folder;
use crate::store::journal::{
    Batch, Damage, PORTION, Position, Problem, Reader, Reading, State, Tails, Writer, frames,
};
use crate::store::{Loaded, Loading, Store};

impl JournalDriver {
    /// Reads the store of a server from its folder, and begins to write there. The server has its time and its limits, and
    /// an epoch that is new; it goes on in the last one if it has ended in order. `now_s` is the time in seconds since
    /// 1970. What is left of the files after [`Reads::at_once`] is read while the server runs, unless the ends of the files
    /// are damaged. Returns messages for the operator, too.
    ///
    /// # Errors
    ///
    /// The folder is of another server or of a later version, or cannot be written; as one line.
    pub fn open(
        folder: Box<dyn Folder>,
        sync: Sync,
        server: &mut Server,
        now_s: u64,
        reads: Reads,
    ) -> Result<(JournalDriver, Vec<String>), String> {
        let (herd, name) = (server.identity.herd.clone(), server.identity.name.clone());
        let mut reader = Reader::open(&*folder, &herd, &name).map_err(|refused| refused.to_string())?;
        // An earlier process may have written them, and the machine may still lose its power.
        let is_on_disk = reader.rest().all(|file| folder.sync_file(&file).is_ok());
        let mut loader = Loader::new(&mut server.store, &reader);
        let has_more = loader.read(&mut reader, &mut server.store, reads);
        let tails = if has_more && is_on_disk { Tails::read(&*folder, reader.rest()) } else { None };
        let rest = match tails {
            Some(tails) => Rest::Unread(Box::new(reader), tails),
            None => {
                loader.read(&mut reader, &mut server.store, Reads { at_once: u64::MAX, ..reads });
                let mut places = loader.loading.unsorted().sort();
                while places.locate(&mut server.store) {}
                Rest::Read(Box::new(reader.finish()))
            }
        };
        // The next log gets the name of one that was begun, and must not find it.
        for leftover in rest.leftovers() {
            folder.remove(leftover).map_err(|error| format!("{leftover} cannot be removed: {error}"))?;
        }
        let (generation, last_log_bytes) = rest.last_log();
        let writer = Writer::new(folder, &herd, &name, generation).after_log_of(last_log_bytes);
        let writer = Arc::new(Mutex::new(writer));
        let mut batch = Box::new(Batch::new(writer.clone()));
        let must_repair = !is_on_disk || rest.is_damaged();
        (batch.begins, batch.begins_snapshot) = (Some(generation + 1), must_repair);
        batch.records = server.store.records() as u64;
        batch.write();
        // A start that fails changes nothing.
        batch.take_outcome().map_err(|failure| failure.to_string())?;
        let mut driver = JournalDriver::new(sync, batch, generation + 1);
        let mut messages = Vec::new();
        match rest {
            Rest::Read(reading) => {
                let folder = writer.lock().unwrap_or_else(PoisonError::into_inner);
                messages = keep_aside(folder.folder(), &reading.damage, now_s);
                messages.extend(driver.was_read(server, &reading, loader, Moment::START));
            }
            Rest::Unread(reader, tails) => {
                loader.loading.serve_beside(&mut server.store, tails.newest);
                server.course.store_read = Some(0);
                let bytes = reader.bytes() + tails.bytes;
                let task = ReadOn::new(*reader, reads.portion, writer, now_s);
                driver.beside = Some(Box::new(Beside::new(loader, task, bytes)));
            }
        }
        let until = server.store.sequence();
        let store = &mut server.store;
        driver.carried_out.newest = until;
        driver.log = Some(store.follow(until));
        if must_repair {
            driver.snapshot = Some(Snapshot { cursor: store.follow(0), until, bytes: 0, is_repair: true });
        } else {
            server.durability.reached(until);
        }
        if sync == Sync::Always {
            server.durability.let_replies_wait();
        }
        Ok((driver, messages))
    }

    fn new(sync: Sync, batch: Box<Batch>, generation: u64) -> JournalDriver {
        JournalDriver {
            sync,
            batch: Some(batch),
            carried_out: CarriedOut::default(),
            generation,
            log: None,
            snapshot: None,
            beside: None,
            must_repair: false,
            snapshot_bytes: 0,
            earlier_log_bytes: 0,
            log_bytes: 0,
            logs: 1,
            write_at: Moment::NEVER,
            sync_at: Moment::NEVER,
            forget_at: Moment::NEVER,
            forget_is_timed: false,
            retry_at: Moment::NEVER,
            retry_after: RETRY_MIN,
            timer_at: Moment::NEVER,
            positions: Vec::new(),
            has_ended: false,
        }
    }

    /// The files were read to their end. Returns messages for the operator.
    pub(super) fn was_read(
        &mut self,
        server: &mut Server,
        reading: &Reading,
        loader: Loader,
        now: Moment,
    ) -> Vec<String> {
        let Loader { loading, left_out, has_gone } = loader;
        loading.finish(&mut server.store, reading.end().map_or(0, |end| end.sequence));
        if let Some(State { epoch, .. }) = reading.end() {
            server.identity.epoch = *epoch;
        }
        for Position { name, epoch, received } in reading.state.iter().flat_map(|state| &state.positions) {
            server.neighbours.note_received_before(name, *epoch, *received);
        }
        if has_gone {
            self.forget_at = now + super::FORGET_MAX;
        }
        self.snapshot_bytes = reading.snapshot_bytes;
        self.earlier_log_bytes += reading.log_bytes;
        self.logs += reading.logs;
        let left_out_message =
            || format!("{left_out} statements are left out: limits.max_clients is reached");
        (left_out > 0).then(left_out_message).into_iter().collect()
    }
}

/// How much of a store is read at once.
#[derive(Clone, Copy, Debug)]
pub struct Reads {
    /// Bytes of the files that are read before the server runs.
    pub at_once: u64,
    /// Bytes of changes that are read together.
    pub portion: usize,
}

impl Default for Reads {
    fn default() -> Reads {
        Reads { at_once: READ_AT_ONCE, portion: PORTION }
    }
}

/// The files of a store after the part that is read at once.
enum Rest {
    /// All were read.
    Read(Box<Reading>),
    /// Some are read while the server runs; this is what their ends say.
    Unread(Box<Reader>, Tails),
}

impl Rest {
    fn leftovers(&self) -> impl Iterator<Item = &String> {
        let (leftovers, last) = match self {
            Rest::Read(reading) => (&reading.leftovers, None),
            Rest::Unread(reader, tails) => (reader.leftovers(), tails.leftover.as_ref()),
        };
        leftovers.iter().chain(last)
    }

    /// The last generation, and the length of its log in bytes.
    fn last_log(&self) -> (u64, u64) {
        match self {
            Rest::Read(reading) => (reading.generation, reading.last_log_bytes),
            Rest::Unread(_, tails) => (tails.generation, tails.last_log_bytes),
        }
    }

    /// Whether damage was found so far, and everything was read that can be written anew.
    fn is_damaged(&self) -> bool {
        matches!(self, Rest::Read(reading) if !reading.damage.is_empty())
    }
}

/// Changes that were read, on their way into the store.
#[derive(Debug)]
pub(super) struct Loader {
    pub(super) loading: Loading,
    /// Statements that found no room.
    left_out: u64,
    /// There is the last location of a client that was forgotten.
    has_gone: bool,
}

impl Loader {
    fn new(store: &mut Store, reader: &Reader) -> Loader {
        let records = usize::try_from(reader.records()).unwrap_or(usize::MAX);
        Loader { loading: Loading::begin(store, records), left_out: 0, has_gone: false }
    }

    /// Loads changes.
    pub(super) fn load(&mut self, store: &mut Store, changes: &[u8]) {
        let has_gone = &mut self.has_gone;
        let changes = frames(changes).filter_map(|frame| {
            let statement = frame.statement()?;
            *has_gone |= statement.is_gone();
            Some(Loaded { statement, line: frame.content, number: frame.number })
        });
        self.left_out += self.loading.load(store, changes);
    }

    /// Reads and loads what is read at once. Returns whether there is more. Files that are not short are read by another
    /// thread, while this one loads what that has read.
    fn read(&mut self, reader: &mut Reader, store: &mut Store, reads: Reads) -> bool {
        let Reads { at_once: most, portion } = reads;
        let mut changes = Vec::new();
        let mut has_more = reader.read(&mut changes, portion);
        self.load(store, &changes);
        changes.clear();
        if !has_more || reader.bytes() >= most {
            return has_more;
        }
        let (loaded, empty) = channel();
        let (read, full) = sync_channel(1);
        // Three: one that is read, one that waits, one that is loaded.
        for buffer in [changes, Vec::new(), Vec::new()] {
            let _ = loaded.send(buffer);
        }
        thread::scope(|scope| {
            scope.spawn(move || {
                while let Ok(mut changes) = empty.recv() {
                    let has_more = reader.read(&mut changes, portion);
                    let goes_on = has_more && reader.bytes() < most;
                    if read.send((changes, has_more)).is_err() || !goes_on {
                        break;
                    }
                }
            });
            for (mut changes, more) in full {
                self.load(store, &changes);
                changes.clear();
                has_more = more;
                let _ = loaded.send(changes);
            }
        });
        has_more
    }
}

/// Gives each damaged file a second name, because the first is removed with the next snapshot. Returns a message about
/// each.
pub(super) fn keep_aside(folder: &dyn Folder, damage: &[Damage], now_s: u64) -> Vec<String> {
    let keep = |damage: &Damage| {
        let kept = format!("{}.damaged-{now_s}", damage.file);
        let what_becomes = match &damage.problem {
            Problem::Missing => return format!("{damage}; the neighbours supply what was in it"),
            problem if folder.link(&damage.file, &kept).is_err() => match problem {
                Problem::Torn { .. } => "what stands before them is used",
                _ => "what can be read is used, and the neighbours supply the rest",
            }
            .to_owned(),
            Problem::Torn { .. } => format!("what stands before them is used; the file is kept as {kept}"),
            _ => format!(
                "what can be read is used, and the neighbours supply the rest; the file is kept as {kept}"
            ),
        };
        format!("{damage}; {what_becomes}")
    };
    damage.iter().map(keep).collect()
}

/// Bytes of a store that are read before clients are served: those of about a million records, which take less than a
/// second.
const READ_AT_ONCE: u64 = 128 << 20;
