//! A real herd for as long as one likes: mixed load, clients that come and go, neighbours that are
//! killed and stopped, and every second a look at memory, descriptors and agreement.
//!
//! `MINUTES=10 cargo test --release --test soak -- --ignored --nocapture` ends with `soak passed` or
//! `soak failed` and why, and leaves a plot in `target/soak.svg`.

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
    let acknowledged = load.stop();
    samples.agree(&herd, &acknowledged);
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

/// How long it takes, from the environment.
fn minutes() -> u64 {
    let text = std::env::var("MINUTES").unwrap_or_else(|_| MINUTES_DEFAULT.to_string());
    let minutes = text.parse().ok().filter(|minutes| (1..=MINUTES_MAX).contains(minutes));
    minutes.unwrap_or_else(|| panic!("MINUTES is from 1 to {MINUTES_MAX}, not {text:?}"))
}

const MINUTES_DEFAULT: u64 = 10;
/// A night. The samples of more would not fit the plot, nor anybody's patience.
const MINUTES_MAX: u64 = 600;
/// Until all links are up and everything is allocated that an idle herd needs.
const SETTLING: Duration = Duration::from_secs(3);
