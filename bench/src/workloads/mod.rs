//! What is measured.

mod disturbed;
mod flood;
mod idle;
mod million;
mod near;
mod proxy;
mod size;
mod steady;
mod visits;

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::comparison::Effort;
use crate::process::{run_anywhere, stay_on_last_processor};
use crate::report::Report;
use crate::servers::bench_folder;

/// One run of the bench.
pub struct Bench {
    /// How much is measured.
    pub effort: Effort,
    /// What it has found.
    pub report: Report,
    /// The letters of the workloads that are wanted.
    letters: Vec<char>,
    /// Where the report and its plots lie.
    folder: PathBuf,
}

/// The letters of all workloads.
pub const ALL: &str = "abcdefghij";

impl Bench {
    /// A run of these workloads.
    pub fn new(effort: Effort, letters: &str) -> Bench {
        // A run of some workloads is for looking at; the page is that of a whole run.
        let whole =
            ALL.chars().all(|letter| letters.contains(letter)) && std::env::var_os("BENCH_ONLY").is_none();
        let folder = if whole { bench_folder() } else { bench_folder().join("target") };
        Bench { effort, report: Report::default(), letters: letters.chars().collect(), folder }
    }

    /// The page to be written.
    pub fn page(&self) -> PathBuf {
        self.folder.join("RESULTS.md")
    }

    /// Runs them all. A workload that fails is said, and the others go on; the first failure is the result.
    pub fn run(&mut self) -> io::Result<()> {
        fs::create_dir_all(self.folder.join("plots"))?;
        let mut result = Ok(());
        for (letters, place, workload) in WORKLOADS {
            if !letters.chars().any(|letter| self.wants(letter)) {
                continue;
            }
            match place {
                Generator::OwnProcessor => stay_on_last_processor(),
                Generator::Anywhere => run_anywhere(),
            }
            if let Err(error) = workload(self) {
                eprintln!("herd-bench: workload {letters}: {error}");
                result = result.and(Err(error));
            }
        }
        result
    }

    fn wants(&self, letter: char) -> bool {
        self.letters.contains(&letter)
    }

    fn plot(&self, file: &str) -> PathBuf {
        self.folder.join("plots").join(file)
    }
}

/// Where the load generator runs.
#[derive(Clone, Copy)]
enum Generator {
    /// Beside one server, each on its own processor.
    OwnProcessor,
    /// Among the servers of a whole herd.
    Anywhere,
}

type Workload = fn(&mut Bench) -> io::Result<()>;

const WORKLOADS: [(&str, Generator, Workload); 9] = [
    ("ab", Generator::OwnProcessor, steady::one_at_a_time),
    ("c", Generator::OwnProcessor, steady::pipelined),
    ("d", Generator::OwnProcessor, visits::connection_per_message),
    ("e", Generator::Anywhere, flood::flood),
    ("f", Generator::OwnProcessor, near::near),
    ("g", Generator::OwnProcessor, idle::idle),
    ("h", Generator::Anywhere, million::million),
    ("i", Generator::OwnProcessor, disturbed::disturbed),
    ("j", Generator::Anywhere, size::size),
];
