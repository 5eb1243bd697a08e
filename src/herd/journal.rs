//! The way of the changes to the disk: what a batch has, when it is written, and when a snapshot replaces the log. It
//! opens no file.
//!
//! The disk is one more reader of the list of changes. The log has a cursor, and a batch has the changes after it, so that a
//! slow disk gets the newest statement of each client only, and no queue grows. A snapshot is a second cursor, which begins
//! before all records, and is complete at the change that was the newest when it was begun. There is one batch, which is on
//! its way to the disk or waits here: the changes that arrive while it is written are the next one.

mod beside;
mod opening;

use std::any::Any;
use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::mem;
use std::time::Duration;

pub use self::beside::STORE_READER;
use self::beside::{Beside, ReadOn};
pub use self::opening::Reads;
use super::{Command, Tag};
use crate::clock::Moment;
use crate::config::Sync;
use crate::conversation::Server;
use crate::log;
use crate::protocol::{Lane, Task, Work};
use crate::store::journal::{Batch, Failure, Frame, Position, State};
use crate::store::{Cursor, Store};
use crate::text::peer_line::Epoch;

/// The driver of the store on disk.
#[derive(Debug)]
pub struct JournalDriver {
    sync: Sync,
    /// `None`: it is being carried out.
    batch: Option<Box<Batch>>,
    carried_out: CarriedOut,
    generation: u64,
    /// The cursor of the log. `None`: the disk fails.
    log: Option<Cursor>,
    snapshot: Option<Snapshot>,
    /// The files that are still being read.
    beside: Option<Box<Beside>>,
    /// The files lack something: a snapshot is to be begun.
    must_repair: bool,
    /// Bytes of the snapshot that is complete, of the logs since then except the last one, and of that.
    snapshot_bytes: u64,
    earlier_log_bytes: u64,
    log_bytes: u64,
    /// The number of these logs.
    logs: usize,
    /// When the changes that are not in the log are written; [`Moment::NEVER`]: there are none.
    write_at: Moment,
    /// When the log is synced; [`Moment::NEVER`]: nothing was written since.
    sync_at: Moment,
    /// When a snapshot replaces the logs because they have the last location of a client that was forgotten;
    /// [`Moment::NEVER`]: they have none.
    forget_at: Moment,
    /// A timer runs for that, apart from that for what is due sooner.
    forget_is_timed: bool,
    /// When another generation begins after a failure.
    retry_at: Moment,
    /// The pause before the next failure is retried.
    retry_after: Duration,
    /// The moment of the timer that runs; [`Moment::NEVER`]: none does.
    timer_at: Moment,
    /// The positions that were noted last.
    positions: Vec<Position>,
    has_ended: bool,
}

/// What the batch that is being carried out does, as far as it matters afterwards.
#[derive(Clone, Copy, Debug, Default)]
struct CarriedOut {
    /// The newest change, if the log then has all up to it; 0: it has not.
    newest: u64,
    begins: bool,
    syncs: bool,
    completes: bool,
    handed_over: Option<Moment>,
}

/// A snapshot that is being written.
#[derive(Debug)]
struct Snapshot {
    cursor: Cursor,
    /// The cursor has walked far enough when it has passed this change.
    until: u64,
    bytes: u64,
    /// Until it is complete, the files do not have everything that they should: some were damaged, or could not be
    /// written.
    is_repair: bool,
}

impl JournalDriver {
    /// Fills the batch and hands it over, unless it is being carried out, or nothing is due. `is_last`: the server ends.
    pub(super) fn hand_over(
        &mut self,
        server: &mut Server,
        now: Moment,
        is_last: bool,
        commands: &mut VecDeque<Command>,
    ) {
        if !is_last {
            self.read_on(server, now, commands);
        }
        let Some(mut batch) = self.batch.take() else { return };
        if !self.has_ended {
            self.fill(&mut batch, server, now, is_last);
        }
        if batch.is_empty() {
            self.batch = Some(batch);
            self.set_timer(now, commands);
            return;
        }
        self.carried_out = CarriedOut {
            newest: self
                .log
                .filter(|&log| is_at_end(log, &server.store))
                .map_or(0, |_| server.store.sequence()),
            begins: batch.begins.is_some(),
            syncs: batch.syncs || batch.ends,
            completes: batch.completes,
            handed_over: Some(now),
        };
        commands.push_back(Command::Run { tag: Tag::Store, work: Work::Run(batch) });
    }

    /// Sets a timer for what is due next.
    fn set_timer(&mut self, now: Moment, commands: &mut VecDeque<Command>) {
        if !self.forget_is_timed && self.forget_at != Moment::NEVER {
            self.forget_is_timed = true;
            commands.push_back(Command::Timer { at: self.forget_at, tag: Tag::Store });
        }
        let mut next = self.write_at.min(self.sync_at).min(self.retry_at);
        if self.snapshot.is_some() {
            next = now;
        }
        if next < self.timer_at && !self.has_ended {
            self.timer_at = next;
            commands.push_back(Command::Timer { at: next, tag: Tag::Store });
        }
    }

    /// The timer has fired: the end of the turn hands over what is due.
    pub(super) fn timer_fired(&mut self) {
        self.timer_at = Moment::NEVER;
    }

    fn fill(&mut self, batch: &mut Batch, server: &mut Server, now: Moment, is_last: bool) {
        if self.log.is_none() {
            // A snapshot has everything.
            if now < self.retry_at || is_last || self.is_reading() {
                return;
            }
            self.retry_at = Moment::NEVER;
            self.begin(batch, &mut server.store, true);
        } else if self.snapshot.is_none() && !is_last && !self.is_reading() && self.should_begin(now) {
            let is_repair = mem::take(&mut self.must_repair);
            self.begin(batch, &mut server.store, is_repair);
        }
        let Some(log) = self.log else { return };
        // One that is no repair is of no use any more.
        if !is_last || self.is_repairing() {
            self.fill_snapshot(batch, &mut server.store);
        }
        // A record that has changed since the snapshot was begun may have left its place before the snapshot came there.
        // Then only the log has it, when the files before are removed.
        let has_walked = |snapshot: &Snapshot| server.store.seen(snapshot.cursor) >= snapshot.until;
        let is_walked = self.snapshot.as_ref().is_some_and(has_walked);
        self.fill_log(log, batch, &mut server.store, now, is_last || is_walked);
        batch.completes = is_walked && is_at_end(log, &server.store);
        // As long as the files are not read, the positions in them are not known.
        if !self.is_repairing() && !self.is_reading() {
            self.note(log, batch, server, is_last);
        }
        batch.syncs = now >= self.sync_at
            || self.sync == Sync::Always && !batch.log.is_empty()
            || batch.completes
            || is_last && (self.sync_at != Moment::NEVER || !batch.log.is_empty());
        if !batch.log.is_empty() && self.sync_at == Moment::NEVER {
            self.sync_at = now + SYNC_INTERVAL;
        }
    }

    /// Whether a snapshot is wanted, or the logs are so long that it pays.
    fn should_begin(&self, now: Moment) -> bool {
        let logs = self.earlier_log_bytes + self.log_bytes;
        self.must_repair
            || now >= self.forget_at
            || logs > self.snapshot_bytes + LOGS_EXTRA
            || self.logs > LOGS_MAX
    }

    /// Whether the files lack something until the snapshot is complete.
    fn is_repairing(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| snapshot.is_repair)
    }

    /// Begins another generation.
    fn begin(&mut self, batch: &mut Batch, store: &mut Store, is_repair: bool) {
        self.generation += 1;
        (batch.begins, batch.begins_snapshot) = (Some(self.generation), true);
        batch.records = store.records() as u64;
        let until = store.sequence();
        self.snapshot = Some(Snapshot { cursor: store.follow(0), until, bytes: 0, is_repair });
        self.log.get_or_insert_with(|| store.follow(until));
        (self.forget_at, self.forget_is_timed) = (Moment::NEVER, false);
        // The files that have the last note are about to be removed.
        self.positions.clear();
    }

    /// Puts the changes after the cursor of the log into the batch, if they are due or wanted at once.
    fn fill_log(&mut self, log: Cursor, batch: &mut Batch, store: &mut Store, now: Moment, at_once: bool) {
        let behind = store.sequence() - store.seen(log);
        let is_due = self.sync == Sync::Always || at_once || now >= self.write_at;
        if behind > 0 && is_due {
            while batch.log.len() < BATCH_BYTES
                && let Some(change) = store.next_change(log)
            {
                Frame { number: change.sequence, content: change.line }.write(&mut batch.log);
                if change.is_gone {
                    self.forget_at = self.forget_at.min(now + FORGET_MAX);
                }
            }
            // The others are due at once.
            self.write_at = if store.seen(log) < store.sequence() { now } else { Moment::NEVER };
        } else if behind > 0 && self.write_at == Moment::NEVER {
            self.write_at = now + DELAY;
        }
    }

    /// Puts a portion of the records into the snapshot.
    fn fill_snapshot(&mut self, batch: &mut Batch, store: &mut Store) {
        let Some(snapshot) = &mut self.snapshot else { return };
        while batch.snapshot.len() < BATCH_BYTES && store.seen(snapshot.cursor) < snapshot.until {
            let Some(change) = store.next_change(snapshot.cursor) else { break };
            Frame { number: change.sequence, content: change.line }.write(&mut batch.snapshot);
        }
        snapshot.bytes += batch.snapshot.len() as u64;
    }

    /// Notes the server's numbers in the log, after all changes that they cover.
    fn note(&mut self, log: Cursor, batch: &mut Batch, server: &Server, is_last: bool) {
        if batch.log.is_empty() && batch.begins.is_none() && !is_last {
            return;
        }
        if !is_at_end(log, &server.store) {
            return;
        }
        if !positions(server).eq(self.positions.iter().map(Position::parts)) {
            self.note_state(batch, server, false);
        }
        if is_last {
            self.note_state(batch, server, true);
            batch.ends = true;
            self.has_ended = true;
        }
    }

    /// Adds the numbers of the server to the log.
    fn note_state(&mut self, batch: &mut Batch, server: &Server, is_end: bool) {
        self.positions = positions(server)
            .map(|(name, epoch, received)| Position { name: name.to_owned(), epoch, received })
            .collect();
        let (epoch, sequence) = (server.identity.epoch, server.store.sequence());
        let state = State { is_end, epoch, sequence, positions: self.positions.clone() };
        let mut content = Vec::new();
        state.write(&mut content);
        Frame { number: 0, content: &content }.write(&mut batch.log);
    }

    /// The batch was carried out.
    pub(super) fn ran(
        &mut self,
        server: &mut Server,
        task: Box<dyn Task>,
        now: Moment,
        commands: &mut VecDeque<Command>,
    ) {
        let task = match (task as Box<dyn Any>).downcast::<ReadOn>() {
            Ok(read) => return self.has_read(read),
            Err(other) => other,
        };
        let Ok(mut batch) = task.downcast::<Batch>() else { return };
        let (bytes, of_snapshot) = (batch.log.len() as u64, batch.snapshot.len() as u64);
        let outcome = batch.take_outcome();
        self.batch = Some(batch);
        let written = server.durability.written_mut();
        let took = self.carried_out.handed_over.map_or(0, |at| now.nanoseconds_since(at));
        written.times.note(took, 1);
        if let Err(failure) = outcome {
            written.errors += 1;
            return self.failed(server, &failure, now, commands);
        }
        written.batches += 1;
        written.bytes += bytes + of_snapshot;
        written.last = Some(now);
        let CarriedOut { newest, begins, syncs, completes, .. } = self.carried_out;
        if begins {
            self.earlier_log_bytes += mem::take(&mut self.log_bytes);
            self.logs += 1;
        }
        self.log_bytes += bytes;
        if syncs {
            self.sync_at = Moment::NEVER;
        }
        if completes && let Some(snapshot) = self.snapshot.take() {
            server.store.unfollow(snapshot.cursor);
            (self.snapshot_bytes, self.earlier_log_bytes, self.logs) = (snapshot.bytes, 0, 1);
            if server.durability.fails() {
                self.retry_after = RETRY_MIN;
                server.durability.works_again();
                server.log.event(format_args!("The store is written to the disk again"));
            }
        }
        if syncs && !self.is_repairing() {
            server.durability.reached(newest);
        }
    }

    /// The batch has failed: another generation begins later.
    fn failed(
        &mut self,
        server: &mut Server,
        failure: &Failure,
        now: Moment,
        commands: &mut VecDeque<Command>,
    ) {
        let cursors = [self.log.take(), self.snapshot.take().map(|snapshot| snapshot.cursor)];
        cursors.into_iter().flatten().for_each(|cursor| server.store.unfollow(cursor));
        (self.write_at, self.sync_at) = (Moment::NEVER, Moment::NEVER);
        (self.forget_at, self.forget_is_timed) = (Moment::NEVER, false);
        // An end that was not written is none.
        self.has_ended = false;
        self.retry_at = now + self.retry_after;
        self.retry_after = (2 * self.retry_after).min(RETRY_MAX);
        if !server.durability.fails() {
            server.log.event(format_args!("The store cannot be written to the disk: {failure}"));
            let name = server.identity.name.clone();
            let warning = Warning { text: format!("store of {name}: {failure}; {ADVICE}") };
            commands.push_back(Command::Run { tag: Tag::Store, work: Work::Run(Box::new(warning)) });
        }
        server.durability.failed();
    }
}

/// Whether a cursor has passed every change. Until then a record that it has not reached may have moved, so that no file
/// has a change whose number it has passed.
fn is_at_end(cursor: Cursor, store: &Store) -> bool {
    store.seen(cursor) == store.sequence()
}

/// How far the changes of each neighbour were received.
fn positions(server: &Server) -> impl Iterator<Item = (&str, Epoch, u64)> {
    let all = server.neighbours.ids().map(|id| server.neighbours.get(id));
    all.filter_map(|known| known.received_last().map(|(epoch, received)| (&*known.name, epoch, received)))
}

impl Task for Batch {
    fn lane(&self) -> Lane {
        STORE
    }

    fn run(&mut self) {
        self.write();
    }
}

/// A warning on standard error, which may block, too.
struct Warning {
    text: String,
}

impl Debug for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Warning")
    }
}

impl Task for Warning {
    fn lane(&self) -> Lane {
        super::log_pages::WARNINGS
    }

    fn run(&mut self) {
        log::warn(format_args!("{}", self.text));
    }
}

/// The lane that writes the store.
pub const STORE: Lane = Lane("store");
const ADVICE: &str = "the server goes on in memory, and writes everything as soon as the disk takes it: make room, or look \
    for the reason in the log of the operating system";
/// The longest time that changes wait for others before they are written, apart from the time that the batch before
/// takes. Short enough for the promise of 100 ms before a SIGKILL, and long enough that the statements of a client that
/// reports often are written once.
const DELAY: Duration = Duration::from_millis(20);
/// The time from a write to the sync after it, unless every batch is synced. With the time of the sync itself it keeps the
/// promise of a second.
const SYNC_INTERVAL: Duration = Duration::from_millis(800);
/// The length from which on a batch is full, in bytes, and the same for its part of a snapshot: about 1,200 changes, which
/// are copied in less than 0.2 ms.
const BATCH_BYTES: usize = 128 * 1024;
/// Bytes of the logs on top of those of the snapshot before the next one is begun. So the files of a small store are small,
/// and what is written for snapshots is no more than what is written for changes.
const LOGS_EXTRA: u64 = 8 << 20;
/// Logs before a snapshot replaces them: each start begins one.
const LOGS_MAX: usize = 16;
/// The longest time for which the last location of a client that was forgotten stays in the files of a running server, apart
/// from the time that a snapshot takes (docs/protocol.md, section 7).
const FORGET_MAX: Duration = Duration::from_secs(3600);
/// The pause before a failure is retried, which doubles from the least to the greatest.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests;
