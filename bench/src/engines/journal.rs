//! The journal of the herd: a log, and snapshots that replace it from time to time.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use herd::store::journal::disk::OsFolder;
use herd::store::journal::{Batch, Frame, Writer, read};

use super::{Engine, Records, Result, id_of};

/// The journal in a folder. It begins to write with the first commit.
pub struct Journal {
    folder: PathBuf,
    writing: Option<Writing>,
}

struct Writing {
    batch: Batch,
    generation: u64,
    /// The number of the last change.
    number: u64,
    /// Bytes of the logs since the last snapshot that is complete.
    log_bytes: usize,
    /// Bytes of that snapshot.
    snapshot_bytes: usize,
    snapshot: Option<Snapshot>,
}

/// A snapshot that is being written.
struct Snapshot {
    /// The clients that it does not have yet.
    clients: Range<u32>,
    bytes: usize,
    /// Bytes of the logs that it does not replace.
    log_bytes: usize,
}

impl Journal {
    pub fn open(folder: &Path) -> Journal {
        Journal { folder: folder.to_owned(), writing: None }
    }

    fn begin(&mut self) -> Result<&mut Writing> {
        if self.writing.is_none() {
            let folder = OsFolder::to_write(&self.folder)?.ok_or("another process writes the folder")?;
            let writer = Writer::new(Box::new(folder), HERD, SERVER, 0);
            let mut batch = Batch::new(Arc::new(Mutex::new(writer)));
            batch.begins = Some(1);
            let (number, log_bytes, snapshot_bytes) = (0, 0, 0);
            self.writing =
                Some(Writing { batch, generation: 1, number, log_bytes, snapshot_bytes, snapshot: None });
        }
        self.writing.as_mut().ok_or("not begun".into())
    }
}

impl Engine for Journal {
    fn commit(&mut self, clients: &[u32], records: &Records) -> Result<()> {
        self.begin()?.commit(clients, records)
    }

    fn read(&mut self, found: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let reading = read(&OsFolder::to_read(&self.folder), HERD, SERVER, |Frame { content, .. }| {
            found(id_of(content), content);
        });
        match reading.map_err(|refused| refused.to_string())?.damage.first() {
            None => Ok(()),
            Some(damage) => Err(damage.to_string().into()),
        }
    }
}

impl Writing {
    fn commit(&mut self, clients: &[u32], records: &Records) -> Result<()> {
        if self.snapshot.is_none() && self.log_bytes > self.snapshot_bytes + LOGS_EXTRA {
            self.generation += 1;
            (self.batch.begins, self.batch.begins_snapshot) = (Some(self.generation), true);
            self.snapshot = Some(Snapshot { clients: 0..records.len(), bytes: 0, log_bytes: 0 });
        }
        for &client in clients {
            self.number += 1;
            Frame { number: self.number, content: records.line(client) }.write(&mut self.batch.log);
        }
        let length = self.batch.log.len();
        self.log_bytes += length;
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.log_bytes += length;
            // As much as the log, so that the one grows with the other.
            while self.batch.snapshot.len() < length
                && let Some(client) = snapshot.clients.next()
            {
                // The record is that of this change, or of one before.
                let content = records.line(client);
                Frame { number: self.number, content }.write(&mut self.batch.snapshot);
            }
            snapshot.bytes += self.batch.snapshot.len();
            if snapshot.clients.is_empty() {
                (self.snapshot_bytes, self.log_bytes) = (snapshot.bytes, snapshot.log_bytes);
                self.batch.completes = true;
                self.snapshot = None;
            }
        }
        self.batch.syncs = true;
        self.batch.write();
        Ok(self.batch.take_outcome().map_err(|failure| failure.to_string())?)
    }
}

const HERD: &str = "bench";
const SERVER: &str = "Riley";
/// Bytes of the logs on top of those of the snapshot before the next one is begun, as in a server.
const LOGS_EXTRA: usize = 8 << 20;
