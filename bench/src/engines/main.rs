//! The same job for the journal of the herd and for storage engines: a million records, then durable batches of
//! updates. Everything is in memory, too, as it is in a server, so that nothing is ever looked up.
//!
//!     engines write ENGINE FOLDER CLIENTS UPDATES    prints figures, then waits until it is killed
//!     engines read ENGINE FOLDER                     in another process: reads all into a map, prints figures
//!
//! A figure is a line with its name and its value. Workload (u) of the bench runs both.

#![forbid(unsafe_code)]

#[allow(dead_code)]
#[path = "../load/dialect.rs"]
mod dialect;
mod fjall;
mod journal;
mod redb;
mod sqlite;

use std::collections::HashMap;
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use dialect::{Dialect, Messages};
use hdrhistogram::Histogram;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A storage engine with the records of a folder.
trait Engine {
    /// Writes the newest records of some clients. They are on the disk when it returns. A client may be there
    /// twice.
    fn commit(&mut self, clients: &[u32], records: &Records) -> Result<()>;

    /// Reads everything: calls `found` with an ID and its record. The last call for an ID has its newest record.
    fn read(&mut self, found: &mut dyn FnMut(&[u8], &[u8])) -> Result<()>;
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engines: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<()> {
    match words {
        [verb, engine, folder, clients, updates] if verb == "write" => {
            write(&mut *open(engine, Path::new(folder))?, clients.parse()?, updates.parse()?)?;
            loop {
                thread::park();
            }
        }
        [verb, engine, folder] if verb == "read" => read(engine, Path::new(folder)),
        _ => Err("usage: engines write ENGINE FOLDER CLIENTS UPDATES | engines read ENGINE FOLDER".into()),
    }
}

fn open(engine: &str, folder: &Path) -> Result<Box<dyn Engine>> {
    Ok(match engine {
        "journal" => Box::new(journal::Journal::open(folder)),
        "fjall" => Box::new(fjall::Fjall::open(folder)?),
        "redb" => Box::new(redb::Redb::open(folder)?),
        "sqlite" => Box::new(sqlite::Sqlite::open(folder)?),
        _ => return Err(format!("{engine}: expected journal, fjall, redb or sqlite").into()),
    })
}

fn write(engine: &mut dyn Engine, clients: u32, updates: u32) -> Result<()> {
    if clients == 0 {
        return Err("expected at least one client".into());
    }
    let mut records = Records::new();
    let mut load = Timed::new();
    for begin in (0..clients).step_by(BATCH) {
        let batch: Vec<u32> = (begin..clients.min(begin + BATCH as u32)).collect();
        load.commit(engine, &batch, &mut records)?;
    }
    println!("load-rate {}", load.rate());
    let mut random = Random(SEED);
    let mut any = |count: usize| -> Vec<u32> { (0..count).map(|_| random.below(clients)).collect() };
    let mut single = Timed::new();
    for _ in 0..SINGLE {
        single.commit(engine, &any(1), &mut records)?;
    }
    println!("single-p50-us {}\nsingle-p99-us {}", single.microseconds(0.5), single.microseconds(0.99));
    let mut update = Timed::new();
    for begin in (0..updates as usize).step_by(BATCH) {
        update.commit(engine, &any(BATCH.min(updates as usize - begin)), &mut records)?;
    }
    println!("update-rate {}", update.rate());
    println!("batch-p50-us {}\nbatch-max-us {}", update.microseconds(0.5), update.microseconds(1.0));
    let mut digest = Digest::default();
    (0..clients).for_each(|client| digest.add(records.line(client)));
    println!("records {}\ndigest {:016x}\nwritten", digest.records, digest.sum);
    Ok(())
}

fn read(engine: &str, folder: &Path) -> Result<()> {
    let begin = Instant::now();
    let mut engine = open(engine, folder)?;
    println!("open-s {}", begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    let mut map: HashMap<Box<[u8]>, Box<[u8]>> = HashMap::new();
    engine.read(&mut |id, line| {
        map.insert(id.into(), line.into());
    })?;
    println!("read-s {}", begin.elapsed().as_secs_f64());
    let mut digest = Digest::default();
    map.values().for_each(|line| digest.add(line));
    println!("records {}\ndigest {:016x}", digest.records, digest.sum);
    Ok(())
}

/// The newest record of each client, in memory: an AT line of the herd.
struct Records {
    messages: Messages,
    lines: Vec<Vec<u8>>,
    moves: u32,
}

impl Records {
    fn new() -> Records {
        Records { messages: Messages::new(Dialect::Relay, 1), lines: Vec::new(), moves: 0 }
    }

    /// The number of clients.
    fn len(&self) -> u32 {
        self.lines.len() as u32
    }

    /// The line of a client with its LF.
    fn line(&self, client: u32) -> &[u8] {
        &self.lines[client as usize]
    }

    /// The ID of a client.
    fn id(&self, client: u32) -> &[u8] {
        id_of(self.line(client))
    }

    /// Moves a client, which is known or the next one.
    fn change(&mut self, client: u32) {
        if client == self.len() {
            self.lines.push(Vec::new());
        }
        self.moves = self.moves.wrapping_add(1);
        let line = &mut self.lines[client as usize];
        line.clear();
        self.messages.statement_of(client, self.moves, line);
    }
}

/// The ID in an AT line.
fn id_of(line: &[u8]) -> &[u8] {
    line.split(|&byte| byte == b' ').nth(3).unwrap_or_default()
}

/// The times of commits.
struct Timed {
    each: Histogram<u64>,
    sum: Duration,
    records: usize,
}

impl Timed {
    fn new() -> Timed {
        let each = Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("valid bounds");
        Timed { each, sum: Duration::ZERO, records: 0 }
    }

    /// Moves the clients in memory, which is not timed, and commits their new records.
    fn commit(&mut self, engine: &mut dyn Engine, clients: &[u32], records: &mut Records) -> Result<()> {
        clients.iter().for_each(|&client| records.change(client));
        let begin = Instant::now();
        engine.commit(clients, records)?;
        let took = begin.elapsed();
        self.each.saturating_record(took.as_nanos() as u64);
        self.sum += took;
        self.records += clients.len();
        Ok(())
    }

    /// Records per second.
    fn rate(&self) -> f64 {
        self.records as f64 / self.sum.as_secs_f64()
    }

    fn microseconds(&self, quantile: f64) -> f64 {
        self.each.value_at_quantile(quantile) as f64 / 1000.0
    }
}

/// The number of records and a sum over their contents, in any order.
#[derive(Default)]
struct Digest {
    records: u64,
    sum: u64,
}

impl Digest {
    fn add(&mut self, line: &[u8]) {
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        self.records += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

/// Random numbers, the same in each run (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(value ^ (value >> 31)) * u128::from(end)) >> 64) as u32
    }
}

/// The records of a durable batch.
const BATCH: usize = 10_000;
/// The number of commits of a single record.
const SINGLE: usize = 1000;
const SEED: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// Commits records and updates of them, and reads them by another engine.
    fn check(engine: &str, clients: u32, updates: usize) {
        let folder = std::env::temp_dir().join(format!("herd-bench-{engine}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (mut records, mut random) = (Records::new(), Random(SEED));
        let mut writing = open(engine, &folder).unwrap();
        let all: Vec<u32> = (0..clients).collect();
        let updated: Vec<u32> = (0..updates).map(|_| random.below(clients)).collect();
        for batch in all.chunks(BATCH).chain(updated.chunks(BATCH)) {
            batch.iter().for_each(|&client| records.change(client));
            writing.commit(batch, &records).unwrap();
        }
        drop(writing);
        let mut found = HashMap::new();
        let mut keep = |id: &[u8], line: &[u8]| _ = found.insert(id.to_vec(), line.to_vec());
        open(engine, &folder).unwrap().read(&mut keep).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        assert_eq!(found.len(), clients as usize, "{engine}");
        for client in 0..clients {
            let line = String::from_utf8_lossy(&found[records.id(client)]);
            assert_eq!(line, String::from_utf8_lossy(records.line(client)), "{engine}");
        }
    }

    #[test]
    fn an_engine_reads_the_newest_record_of_each_client() {
        for engine in ["journal", "fjall", "redb", "sqlite"] {
            check(engine, 300, 500);
        }
    }

    #[test]
    fn snapshots_of_the_journal_have_what_they_replace() {
        // Twice the length of logs at which a snapshot begins.
        check("journal", 50_000, 200_000);
    }

    #[test]
    fn random_clients_are_all_clients() {
        let mut random = Random(SEED);
        let mut seen = [false; 100];
        (0..2000).for_each(|_| seen[random.below(100) as usize] = true);
        assert_eq!(seen, [true; 100]);
    }
}
