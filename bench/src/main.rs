//! Benchmarks of the herd, side by side with alternatives that people would choose.
//!
//!     cargo run --release -- quick            all workloads, short
//!     cargo run --release -- all              all workloads, as long as the goals require
//!     cargo run --release -- [quick] c e      some workloads, by their letters
//!
//! The program under test is `../target/release/herd`, or the path in HERD_BIN; workload x compares it with an earlier
//! one in HERD_BASE. With
//! `BENCH_ONLY='herd,bare echo'` workloads a to d measure only these servers.

#![forbid(unsafe_code)]

mod comparison;
mod load;
mod process;
mod report;
mod servers;
mod traffic_log;
mod watch;
mod wire;
mod workloads;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use comparison::Effort;
use servers::Kind;
use workloads::{ALL, Bench};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("herd-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> io::Result<()> {
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidInput, message);
    let address = |word: &String| {
        word.parse::<SocketAddr>().map_err(|_| invalid(format!("{word}: expected an address, HOST:PORT")))
    };
    // The bench starts itself as its own small servers.
    match words.first().map(String::as_str) {
        Some("serve-echo") if words.len() == 2 => return servers::echo::serve(address(&words[1])?),
        Some("serve-places") if words.len() == 2 => return servers::places::serve(address(&words[1])?, None),
        Some("serve-places") if words.len() == 4 => {
            let secured = (address(&words[2])?, Path::new(&words[3]));
            return servers::places::serve(address(&words[1])?, Some(secured));
        }
        Some("serve-relay") if words.len() >= 2 => {
            let neighbours = words[2..].iter().map(address).collect::<io::Result<Vec<_>>>()?;
            return servers::relay::serve(address(&words[1])?, &neighbours);
        }
        _ => {}
    }
    let effort = if words.iter().any(|word| word == "quick") { Effort::QUICK } else { Effort::FULL };
    let mut letters = String::new();
    for word in words {
        match word.as_str() {
            "quick" => {}
            "all" => letters.push_str(ALL),
            letter if letter.len() == 1 && ALL.contains(letter) => letters.push_str(letter),
            _ => {
                return Err(invalid(format!(
                    "usage: herd-bench [quick] [all | LETTER ...], LETTER: one of {ALL}"
                )));
            }
        }
    }
    if letters.is_empty() {
        letters.push_str(ALL);
    }
    let program = Kind::Herd.program();
    if !program.is_file() {
        let program = program.display();
        return Err(io::Error::other(format!("{program} is missing: build the herd, or set HERD_BIN")));
    }
    let mut bench = Bench::new(effort, &letters);
    let result = bench.run();
    let file = bench.page();
    bench.report.write(&file, &format!("cargo run --release -- {}", words.join(" ")))?;
    eprintln!("written: {}", file.display());
    result
}
