//! The workloads.

mod asking;
mod base;
mod disturbed;
mod engines;
mod field;
mod flood;
mod follow;
mod growing;
mod handshakes;
mod idle;
mod logged;
mod million;
mod near;
mod nearest;
mod proxy;
mod restart;
mod size;
mod slow_disk;
mod slow_log;
mod steady;
mod stored;
mod streams;
mod visits;
mod web;

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::comparison::Effort;
use crate::process::{Affinity, run_anywhere, stay_on_last_processor};
use crate::report::Report;
use crate::servers::bench_folder;

/// One run of the bench.
pub struct Bench {
    /// The length of the run.
    pub effort: Effort,
    /// The report.
    pub report: Report,
    /// The letters of the selected workloads.
    letters: Vec<char>,
    /// The folder of the report and its plots.
    folder: PathBuf,
}

/// The letters of all workloads.
pub const ALL: &str = "abcdefghijklmnopqrstuvwx";

impl Bench {
    /// A run of these workloads.
    pub fn new(effort: Effort, letters: &str) -> Bench {
        // Only a complete run replaces the report in the repository.
        let is_complete =
            ALL.chars().all(|letter| letters.contains(letter)) && std::env::var_os("BENCH_ONLY").is_none();
        let folder = if is_complete { bench_folder() } else { bench_folder().join("target") };
        Bench { effort, report: Report::default(), letters: letters.chars().collect(), folder }
    }

    /// The path of the report.
    pub fn page(&self) -> PathBuf {
        self.folder.join("RESULTS.md")
    }

    /// Runs all selected workloads. A workload that fails is reported, and the others are run. Returns the
    /// first failure.
    pub fn run(&mut self) -> io::Result<()> {
        fs::create_dir_all(self.folder.join("plots"))?;
        let mut result = Ok(());
        for (letters, affinity, workload) in WORKLOADS {
            if !letters.chars().any(|letter| self.wants(letter)) {
                continue;
            }
            match affinity {
                Affinity::OwnProcessor | Affinity::TwoProcessors => stay_on_last_processor(),
                Affinity::Anywhere => run_anywhere(),
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

type Workload = fn(&mut Bench) -> io::Result<()>;

/// The letters of each workload, and the processors of its load generator.
const WORKLOADS: [(&str, Affinity, Workload); 23] = [
    ("ab", Affinity::OwnProcessor, steady::one_at_a_time),
    ("c", Affinity::OwnProcessor, steady::pipelined),
    ("d", Affinity::OwnProcessor, visits::connection_per_message),
    ("e", Affinity::Anywhere, flood::flood),
    ("f", Affinity::OwnProcessor, near::near),
    ("g", Affinity::OwnProcessor, idle::idle),
    ("h", Affinity::Anywhere, million::million),
    ("i", Affinity::OwnProcessor, disturbed::disturbed),
    ("j", Affinity::Anywhere, size::size),
    ("k", Affinity::OwnProcessor, growing::growing),
    ("l", Affinity::OwnProcessor, logged::logged),
    ("m", Affinity::OwnProcessor, slow_log::slow_log),
    ("n", Affinity::OwnProcessor, handshakes::handshakes),
    ("o", Affinity::OwnProcessor, asking::asking),
    ("p", Affinity::OwnProcessor, nearest::nearest),
    ("q", Affinity::OwnProcessor, follow::follow),
    ("r", Affinity::OwnProcessor, stored::every_second),
    ("s", Affinity::OwnProcessor, stored::always),
    ("t", Affinity::Anywhere, restart::restart),
    ("u", Affinity::Anywhere, engines::engines),
    ("v", Affinity::OwnProcessor, web::web),
    ("w", Affinity::OwnProcessor, streams::streams),
    ("x", Affinity::OwnProcessor, base::base),
];
