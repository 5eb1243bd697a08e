//! Workload (u): the journal of the herd beside storage engines, with the same records and no server.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Bench;
use crate::comparison::median;
use crate::process::{Folder, check_disk};
use crate::report::{Section, short, thousands};

/// Runs workload (u).
pub fn engines(bench: &mut Bench) -> io::Result<()> {
    let program = std::env::current_exe()?.with_file_name("engines");
    if !program.is_file() {
        let program = program.display();
        eprintln!("  (u) is left out: {program} is missing: cargo build --release --features engines");
        return Ok(());
    }
    check_disk()?;
    let (clients, updates) = if bench.effort.quick { (100_000, 200_000) } else { (1_000_000, 2_000_000) };
    let mut section = Section::new("(u) The journal beside storage engines");
    section.paragraph(&format!(
        "One thread and no server. {} records, the AT lines of the other workloads, in batches of 10,000; then a thousand \
         commits of one record; then {} updates of random clients in batches of 10,000. Each commit is on the disk when it \
         returns. Then the process is killed, and another one opens the files and reads all records into a map. The bench \
         checks that they are those that were committed. The journal makes snapshots as a server does.",
        thousands(f64::from(clients)),
        thousands(f64::from(updates))
    ));
    let mut rounds: [Vec<Figures>; ENGINES.len()] = Default::default();
    for round in 0..bench.effort.rounds.min(ROUNDS_MAX) {
        let mut order: Vec<usize> = (0..ENGINES.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for number in order {
            let (engine, title) = ENGINES[number];
            let figures = run(&program, engine, clients, updates)
                .map_err(|error| io::Error::new(error.kind(), format!("{title}: {error}")))?;
            rounds[number].push(figures);
        }
    }
    let rows: Vec<_> = ENGINES
        .iter()
        .zip(&rounds)
        .map(|((_, title), rounds)| {
            let median_of = |name: &str| median(rounds.iter().filter_map(|figures| figures.number(name)));
            vec![
                (*title).to_owned(),
                thousands(median_of("load-rate")),
                thousands(median_of("update-rate")),
                short(median_of("batch-p50-us") / 1e3),
                short(median_of("batch-max-us") / 1e3),
                short(median_of("single-p50-us")),
                short(median_of("single-p99-us")),
                short(median_of("bytes") / 1e6),
                short(median_of("open-s")),
                short(median_of("read-s")),
            ]
        })
        .collect();
    section.table(&COLUMNS, &rows);
    bench.report.add(section);
    Ok(())
}

/// The figures that the program prints, by their names.
struct Figures(HashMap<String, String>);

impl Figures {
    /// A number; `None`: it is missing.
    fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.parse().ok()
    }

    /// The number of the records and the digest of their contents.
    fn contents(&self) -> (Option<&String>, Option<&String>) {
        (self.0.get("records"), self.0.get("digest"))
    }
}

/// One round of an engine: a process that writes and is killed, and one that reads.
fn run(program: &Path, engine: &str, clients: u32, updates: u32) -> io::Result<Figures> {
    let folder = Folder::new()?;
    let path = folder.path().display().to_string();
    let mut writing = start(program, &["write", engine, &path, &clients.to_string(), &updates.to_string()])?;
    let written = figures(&mut writing);
    writing.kill()?;
    writing.wait()?;
    let written = written?;
    let bytes = folder.until_settled()?;
    let mut reading = start(program, &["read", engine, &path])?;
    let read = figures(&mut reading);
    let status = reading.wait()?;
    let read = read?;
    if !status.success() || written.contents().0.is_none() {
        return Err(io::Error::other("the program failed"));
    }
    if read.contents() != written.contents() {
        let (found, expected) = (read.contents(), written.contents());
        return Err(io::Error::other(format!("it has lost records: found {found:?}, written {expected:?}")));
    }
    let mut all = written.0;
    all.extend(read.0);
    all.insert("bytes".into(), bytes.to_string());
    Ok(Figures(all))
}

/// Starts the program. It is killed when the bench is.
fn start(program: &Path, arguments: &[&str]) -> io::Result<Child> {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
}

/// Reads figures until the program has written everything, or has ended.
fn figures(child: &mut Child) -> io::Result<Figures> {
    let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut figures = HashMap::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        match line.split_once(' ') {
            Some((name, value)) => figures.insert(name.to_owned(), value.to_owned()),
            None => break,
        };
    }
    Ok(Figures(figures))
}

/// The engines, by their names for the program and in the report.
const ENGINES: [(&str, &str); 4] = [
    ("journal", "herd's journal"),
    ("fjall", "fjall (LSM tree)"),
    ("redb", "redb (B-tree)"),
    ("sqlite", "SQLite (B-tree, WAL)"),
];
const COLUMNS: [&str; 10] = [
    "engine",
    "loaded/s",
    "updates/s",
    "batch p50 ms",
    "max",
    "one record p50 µs",
    "p99",
    "MB on the disk",
    "open s",
    "read all s",
];
/// The greatest number of rounds: a slow engine needs a minute for each.
const ROUNDS_MAX: usize = 3;
