//! The start of a server with a store on disk: its records are read, and another log is begun.

use std::sync::{Arc, Mutex, PoisonError};

use super::{CarriedOut, FORGET_MAX, JournalDriver, RETRY_MIN, Snapshot};
use crate::clock::Moment;
use crate::config::Sync;
use crate::conversation::Server;
use crate::store::journal::disk::Folder;
use crate::store::journal::{Batch, Damage, Frame, Position, Problem, Writer, read};
use crate::store::{Outcome, Store};

impl JournalDriver {
    /// Reads the store of a server from its folder, and begins to write there. The server has its time and its limits, and
    /// an epoch that is new; it goes on in the last one if it has ended in order. `now_s` is the time in seconds since
    /// 1970. Returns messages for the operator, too.
    ///
    /// # Errors
    ///
    /// The folder is of another server or of a later version, or cannot be written; as one line.
    pub fn open(
        folder: Box<dyn Folder>,
        sync: Sync,
        server: &mut Server,
        now_s: u64,
    ) -> Result<(JournalDriver, Vec<String>), String> {
        let (herd, name) = (server.identity.herd.clone(), server.identity.name.clone());
        let (store, mut left_out, mut has_gone) = (&mut server.store, 0, false);
        let reading = read(&*folder, &herd, &name, |frame| {
            has_gone |= frame.content.starts_with(b"GONE ");
            load(store, frame, &mut left_out)
        });
        let reading = reading.map_err(|refused| refused.to_string())?;
        store.finish_loading();
        if let Some(end) = reading.end() {
            server.identity.epoch = end.epoch;
            server.store.continue_at(end.sequence);
        }
        for Position { name, epoch, received } in reading.state.iter().flat_map(|state| &state.positions) {
            server.neighbours.note_received_before(name, *epoch, *received);
        }
        // An earlier process may have written them, and the machine may still lose its power.
        let is_on_disk = reading.files.iter().all(|file| folder.sync_file(file).is_ok());
        // The next log gets the name of one that was begun, and must not find it.
        for leftover in &reading.leftovers {
            folder.remove(leftover).map_err(|error| format!("{leftover} cannot be removed: {error}"))?;
        }
        let writer =
            Writer::new(folder, &herd, &name, reading.generation).after_log_of(reading.last_log_bytes);
        let writer = Arc::new(Mutex::new(writer));
        let mut batch = Box::new(Batch::new(writer.clone()));
        let must_repair = !reading.damage.is_empty() || !is_on_disk;
        let generation = reading.generation + 1;
        (batch.begins, batch.begins_snapshot) = (Some(generation), must_repair);
        batch.write();
        batch.take_outcome().map_err(|failure| failure.to_string())?;
        // A start that fails changes nothing.
        let writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut messages = keep_aside(writer.folder(), &reading.damage, now_s);
        if left_out > 0 {
            messages.push(format!("{left_out} statements are left out: limits.max_clients is reached"));
        }
        let store = &mut server.store;
        let until = store.sequence();
        let snapshot =
            must_repair.then(|| Snapshot { cursor: store.follow(0), until, bytes: 0, is_repair: true });
        let driver = JournalDriver {
            sync,
            batch: Some(batch),
            carried_out: CarriedOut { newest: until, ..CarriedOut::default() },
            generation,
            log: Some(store.follow(until)),
            snapshot,
            snapshot_bytes: reading.snapshot_bytes,
            earlier_log_bytes: reading.log_bytes,
            log_bytes: 0,
            logs: reading.logs + 1,
            write_at: Moment::NEVER,
            sync_at: Moment::NEVER,
            forget_at: if has_gone { Moment::START + FORGET_MAX } else { Moment::NEVER },
            forget_is_timed: false,
            retry_at: Moment::NEVER,
            retry_after: RETRY_MIN,
            timer_at: Moment::NEVER,
            positions: Vec::new(),
            has_ended: false,
        };
        if sync == Sync::Always {
            server.durability.let_replies_wait();
        }
        if !must_repair {
            server.durability.reached(until);
        }
        Ok((driver, messages))
    }
}

/// Stores a change that was read. Returns whether it is a statement.
fn load(store: &mut Store, frame: Frame<'_>, left_out: &mut u64) -> bool {
    let Frame { number, content } = frame;
    let Some(statement) = frame.statement() else { return false };
    *left_out += u64::from(store.load(&statement, content, number) == Outcome::Full);
    true
}

/// Gives each damaged file a second name, because the first is removed with the next snapshot. Returns a message about
/// each.
fn keep_aside(folder: &dyn Folder, damage: &[Damage], now_s: u64) -> Vec<String> {
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
