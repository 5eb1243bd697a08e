//! Running many seeds on all cores.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::plan::Plan;
use crate::simulation::{Report, Simulation};
use crate::world::{Time, show};

/// The number in an environment variable.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs one seed. The error is the broken promise.
pub fn run(seed: u64, is_verbose: bool) -> Result<Report, String> {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut chance = Chance::new(seed);
        let plan = Plan::new(&mut chance);
        Simulation::new(chance, plan, is_verbose).run()
    }));
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(format!("panicked: {text}"))
    })
}

/// Runs one seed of a large herd.
pub fn large(seed: u64) -> Result<Report, String> {
    let mut chance = Chance::new(seed);
    let plan = Plan::large(&mut chance);
    Simulation::new(chance, plan, false).run()
}

/// The results of many seeds.
pub struct Summary {
    pub passed: u64,
    pub failed: Vec<u64>,
    took: Duration,
    agreement_max: (Time, u64),
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (agreement, seed) = self.agreement_max;
        writeln!(f, "agreed within {} s at most, in seed {seed}", show(agreement))?;
        let seeds = self.passed + self.failed.len() as u64;
        writeln!(f, "{:.1} seeds per second", seeds as f64 / self.took.as_secs_f64())?;
        write!(f, "{} passed, {} failed", self.passed, self.failed.len())
    }
}

/// Runs seeds from `first` on, not longer than until `end`.
pub fn search(first: u64, seeds: u64, end: Option<Instant>) -> Summary {
    let begin = Instant::now();
    let failures_max = number("FAILURES", FAILURES_MAX);
    let next = AtomicU64::new(first);
    let summary =
        Mutex::new(Summary { passed: 0, failed: Vec::new(), took: Duration::ZERO, agreement_max: (0, 0) });
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= first + seeds || end.is_some_and(|end| Instant::now() > end) {
            return;
        }
        let result = run(seed, false);
        let Ok(mut summary) = summary.lock() else { return };
        if summary.failed.len() as u64 >= failures_max {
            return;
        }
        match result {
            Ok(report) => {
                summary.passed += 1;
                summary.agreement_max = summary.agreement_max.max((report.agreement, seed));
            }
            Err(why) => {
                summary.failed.push(seed);
                println!("seed {seed}: {why}");
                println!(
                    "    SEED={seed} VERBOSE=1 cargo test --release --test simulation replay -- --ignored --nocapture"
                );
            }
        }
        let seeds = summary.passed + summary.failed.len() as u64;
        if end.is_none() && seeds.is_multiple_of(PROGRESS_EVERY) {
            println!("{seeds} seeds, {:.1} per second", seeds as f64 / begin.elapsed().as_secs_f64());
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let mut summary = summary.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    summary.took = begin.elapsed();
    summary
}

/// The number of seeds between two lines about the progress.
const PROGRESS_EVERY: u64 = 5000;
/// The number of failures that ends the search: one defect often fails many seeds.
const FAILURES_MAX: u64 = 20;
