//! `herd store`: what a server has on the disk.

use super::Failure;
use super::arguments::{Arguments, CommandOption, Subcommand};
use super::check::tidy;
use super::failure::in_words;
use super::loaded_herd::LoadedHerd;
use super::output::{Output, print};
use crate::config::Limits;
use crate::store::journal::disk::{Folder, OsFolder};
use crate::store::journal::{Damage, Problem, Reading, read};
use crate::store::{Origin, Retention, Store};
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The row of this command in the table of commands.
pub(super) const COMMAND: Subcommand = Subcommand {
    name: "store",
    usage: "store NAME [-c FILE]",
    summary: "what a server has on the disk",
    help: HELP,
    options: &[CommandOption::HERD_FILE, VERIFY, DUMP],
    operands: &["NAME"],
    run,
};

const VERIFY: CommandOption = CommandOption { name: "verify", value: None };
const DUMP: CommandOption = CommandOption { name: "dump", value: None };

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let loaded = LoadedHerd::find(arguments)?;
    let name = &loaded.server(&arguments.operands[0])?.name;
    let Some(section) = &loaded.herd.store else {
        return Err(Failure::usage(
            "the herd file has no store.dir: its servers keep everything in memory; write \"store\": { \"dir\": \"store\" }",
        ));
    };
    if arguments.has(VERIFY) && arguments.has(DUMP) {
        return Err(Failure::usage(
            "--verify and --dump are two questions: give one of them; see herd store --help",
        ));
    }
    let path = tidy(&section.folder.join(name));
    let on_disk = OnDisk::read(&path, &loaded.herd.name, name, &loaded.herd.limits)?;
    if arguments.has(DUMP) {
        return on_disk.dump();
    }
    print(on_disk.report(&path, name, SystemTime::now()).as_bytes())?;
    match on_disk.damage().next() {
        Some(damage) if arguments.has(VERIFY) => Err(Failure::at_run_time(format!(
            "the store of {name} is damaged: {damage}; start {name}: it uses what can be read, and its neighbours supply \
             the rest"
        ))),
        _ => Ok(()),
    }
}

/// The store of a server, as its files have it.
struct OnDisk {
    store: Store,
    reading: Reading,
    files: Vec<(String, u64)>,
    /// When a file was written last.
    written: Option<SystemTime>,
    is_in_use: bool,
}

impl OnDisk {
    /// Reads the files. A running server may replace them by a snapshot meanwhile: then they are read again.
    fn read(path: &Path, herd: &str, name: &str, limits: &Limits) -> Result<OnDisk, Failure> {
        let cannot = |why: &str| {
            Failure::at_run_time(format!("the store of {name} in {} cannot be read: {why}", path.display()))
        };
        let folder = OsFolder::to_read(path);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let is_in_use = OsFolder::is_in_use(path);
            let names = match folder.names() {
                Ok(names) => names,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(cannot(&in_words(&error))),
            };
            let mut store = empty_store(limits);
            let reading = if names.is_empty() {
                Reading::default()
            } else {
                let found = |frame: crate::store::journal::Frame<'_>| {
                    if let Some(statement) = frame.statement() {
                        store.report(&statement, frame.content, Origin::CLIENT);
                    }
                };
                read(&folder, herd, name, found).map_err(|refused| cannot(&refused.to_string()))?
            };
            let may_have_been_replaced = |damage: &Damage| !matches!(damage.problem, Problem::Torn { .. });
            if is_in_use && attempts < ATTEMPTS && reading.damage.iter().any(may_have_been_replaced) {
                continue;
            }
            let facts = |name: &String| folder.facts(name).ok().map(|facts| (name.clone(), facts));
            let facts: Vec<_> =
                names.iter().filter(|name| !name.starts_with("lock")).filter_map(facts).collect();
            let written = facts.iter().map(|(_, (_, written))| *written).max();
            let files = facts.into_iter().map(|(name, (bytes, _))| (name, bytes)).collect();
            return Ok(OnDisk { store, reading, files, written, is_in_use });
        }
    }

    /// What is damaged. The end of the last log is not while the server writes it.
    fn damage(&self) -> impl Iterator<Item = &Damage> {
        let counts = |damage: &&Damage| !(self.is_in_use && matches!(damage.problem, Problem::Torn { .. }));
        self.reading.damage.iter().filter(counts)
    }

    fn report(&self, path: &Path, name: &str, now: SystemTime) -> String {
        let (records, clients) = (self.store.records(), self.store.len());
        let mut text =
            format!("{name} has {} on the disk: {}", counted(records, "record"), counted(clients, "client"));
        let forgotten = records - clients;
        if forgotten > 0 {
            let _ = write!(text, " and {forgotten} forgotten ones");
        }
        let bytes: u64 = self.files.iter().map(|(_, bytes)| bytes).sum();
        let _ = writeln!(text, "\n  folder      {}", path.display());
        let _ = writeln!(text, "  size        {}, {}", in_units(bytes), counted(self.files.len(), "file"));
        let age = self.written.map(|written| now.duration_since(written).unwrap_or_default());
        let last = age.map_or("never".to_owned(), |age| format!("{} ago", in_time(age)));
        let _ = writeln!(text, "  last write  {last}");
        let server = if self.is_in_use { "running" } else { "not running" };
        let _ = writeln!(text, "  server      {server}");
        if self.damage().next().is_none() {
            text.push_str("  sound       yes\n");
        }
        for damage in self.damage() {
            let _ = writeln!(text, "  sound       no: {damage}");
        }
        text
    }

    /// Prints all statements in the order of their changes.
    fn dump(mut self) -> Result<(), Failure> {
        let cursor = self.store.follow(0);
        let mut text = Vec::new();
        loop {
            // `None` may come before the last change, after many statements that are over.
            let is_last = match self.store.next_change(cursor) {
                Some(change) => {
                    text.extend_from_slice(change.line);
                    false
                }
                None => self.store.seen(cursor) >= self.store.sequence(),
            };
            if is_last || text.len() >= PRINTED {
                if print(&text)? == Output::Closed || is_last {
                    return Ok(());
                }
                text.clear();
            }
        }
    }
}

/// A store with the limits of a herd, but room for all records.
fn empty_store(limits: &Limits) -> Store {
    let mut store = Store::new(RECORDS_MAX);
    store.set_retention(Retention { at_s: limits.expire_s, gone_s: limits.remember_gone_s });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    store.set_time(now.as_nanos() as u64);
    store
}

/// `1 file`, `2 files`.
fn counted(count: usize, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}

fn in_units(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} KB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

fn in_time(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// How often files that a running server replaces are read again.
const ATTEMPTS: usize = 5;
/// Bytes that are printed at once.
const PRINTED: usize = 1 << 16;
/// The greatest number of records that a store may have.
const RECORDS_MAX: usize = 1 << 30;

const HELP: &str = "\
herd store NAME [-c FILE]

Prints what a server has on the disk (store.dir of the herd file): how many
records, their size, the age of the last write, and whether all of it can be
read. It changes nothing, and works beside a running server.

Arguments
  NAME         the name of the server in the herd file

Options
  --verify     exit status 1 if anything is damaged
  --dump       print all statements instead, one per line
  -c FILE      the herd file; without it herd.json in the current folder, or
               the built-in herd
  -h, --help   this help

Examples
  herd store Riley
  herd store Riley --verify && cp -r store/Riley /backup/
  herd store Riley --dump | grep '^AT .* kiwi.cs.ucla.edu '

Exit status
  0  printed; with --verify: everything can be read
  1  the folder cannot be read; with --verify: something is damaged
  2  the command line or the herd file is wrong, or there is no store.dir
";
