//! The soak test: real servers under mixed load for minutes or hours. Clients connect and leave, servers are
//! killed and stopped, and every second memory, descriptors and agreement are sampled.
//!
//! `MINUTES=10 cargo test --release --test soak -- --ignored --nocapture` ends with `soak passed` or `soak
//! failed` and the reasons, and writes a plot to `target/soak.svg`.

mod chance;
mod client;
mod herd;
mod load;
mod places;
mod plot;
mod samples;
mod storm;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::herd::Herd;
use crate::load::Load;
use crate::places::Places;
use crate::samples::Samples;
use crate::storm::Storm;

#[test]
#[ignore = "takes minutes: make soak MINUTES=10"]
fn soak() {
    let minutes = minutes();
    let places = Places::start();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak");
    let mut herd = Herd::start(&folder, &places.url());
    thread::sleep(SETTLING);
    let mut samples = Samples::new(&herd);
    let load = Load::start(herd.ports());
    let mut storm = Storm::new(minutes * 60);
    let begin = Instant::now();
    for second in 0..minutes * 60 {
        storm.act(&mut herd, &load, &mut samples);
        samples.take(&herd);
        samples.probe(&herd);
        if second % 60 == 59 {
            println!("minute {}: {}", (second + 1) / 60, samples.summary());
        }
        let next = begin + Duration::from_secs(second + 1);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    storm.end(&mut herd);
    let answered = load.stop();
    samples.agree(&herd, &answered);
    samples.await_baseline(&herd);
    let failures = samples.failures();
    let verdict = if failures.is_empty() { "passed" } else { "failed" };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("soak.svg");
    plot::draw(&file, &samples, verdict).unwrap();
    for failure in &failures {
        println!("{failure}");
    }
    println!("{}", samples.summary());
    println!("the plot is in {}", file.display());
    println!("soak {verdict}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The duration, from the environment variable `MINUTES`.
fn minutes() -> u64 {
    let text = std::env::var("MINUTES").unwrap_or_else(|_| MINUTES_DEFAULT.to_string());
    let minutes = text.parse().ok().filter(|minutes| (1..=MINUTES_MAX).contains(minutes));
    minutes.unwrap_or_else(|| panic!("MINUTES: expected an integer from 1 to {MINUTES_MAX}, got {text:?}"))
}

const MINUTES_DEFAULT: u64 = 10;
/// A night. The plot has no room for more samples.
const MINUTES_MAX: u64 = 600;
/// The time until all links are up and the memory of an idle herd is allocated.
const SETTLING: Duration = Duration::from_secs(3);
