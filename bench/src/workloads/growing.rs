//! Workload (k): the replies to one client, while four million others are added and half of them changed.

use std::io;

use super::Bench;
use crate::load::probe::{Probe, Probed};
use crate::process::Affinity;
use crate::report::{Bound, Section, short, thousands};
use crate::servers::{Kind, SingleServer};

/// Runs workload (k).
pub fn growing(bench: &mut Bench) -> io::Result<()> {
    let count: u32 = if bench.effort.quick { CLIENTS_QUICK } else { CLIENTS };
    let title = format!("(k) One client, while {} others are added", thousands(f64::from(count)));
    let mut section = Section::new(&title);
    section.paragraph(&format!(
        "Eight connections send {} statements per second of other clients: first of a thousand known ones, for \
         comparison, then of new ones, then of half of these again. Meanwhile one client sends a statement every \
         0.7 ms, and the time until its reply is measured. The slowest undisturbed reply, which the goals are about, is without the time in \
         which the server or the load generator was ready to run, but other programs used the processor. On a \
         quiet machine that makes no difference.",
        thousands(RATE as f64)
    ));
    let mut rows = Vec::new();
    for level in ["off", "traffic"] {
        let log = if level == "off" { "off" } else { "on" };
        let server = SingleServer::start_on(Affinity::OwnProcessor, Kind::Herd, |herd, _| {
            herd.log_level = level;
            Ok(())
        })?;
        let mut known = Probe::connect(server.process.id(), server.process.address, KNOWN)?;
        known.run(u64::from(KNOWN), RATE)?;
        let mut row = |name: &str, probed: &Probed| {
            let mut name = format!("log {log}: {name}");
            if probed.wrong > 0 {
                name = format!("{name} (**{} wrong replies**)", probed.wrong);
            }
            rows.push(row(name, probed, &server));
        };
        row("known clients", &known.run(u64::from(count / 8), RATE)?);
        // The clients' numbers begin at 0 again, but their statements are newer.
        let mut all = Probe::connect(server.process.id(), server.process.address, count)?;
        let added = all.run(u64::from(count), RATE)?;
        row(&format!("{} added", thousands(f64::from(count))), &added);
        let changed = all.run(u64::from(count / 2), RATE)?;
        row(&format!("{} changed", thousands(f64::from(count / 2))), &changed);
        if let Some(lines) = server.log_lines(known.sent() + all.sent())? {
            section.paragraph(&format!("Lost lines of the log: {}.", thousands(lines.lost as f64)));
        }
        let slowest = milliseconds(added.undisturbed.max().max(changed.undisturbed.max()));
        let name = format!("(k) log {log}: slowest reply while {} are added", thousands(f64::from(count)));
        bench.report.goal(&name, Bound::AtMost, GOAL_MS, "ms", Some(slowest));
    }
    section.table(&COLUMNS, &rows);
    bench.report.add(section);
    Ok(())
}

fn row(name: String, probed: &Probed, server: &SingleServer) -> Vec<String> {
    let quantile = |quantile: f64| short(milliseconds(probed.latency.value_at_quantile(quantile)));
    vec![
        name,
        thousands(probed.rate),
        thousands(probed.latency.len() as f64),
        quantile(0.5),
        quantile(0.99),
        quantile(0.999),
        quantile(1.0),
        short(milliseconds(probed.undisturbed.max())),
        short(server.process.memory() as f64 / 1e6),
    ]
}

fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

const COLUMNS: [&str; 9] = [
    "others",
    "others' statements/s",
    "replies",
    "p50 ms",
    "p99",
    "p99.9",
    "slowest",
    "slowest, undisturbed",
    "server's MB",
];
const CLIENTS: u32 = 4_000_000;
/// In a quick run.
const CLIENTS_QUICK: u32 = 400_000;
/// The clients of the comparison without new ones.
const KNOWN: u32 = 1000;
/// The statements per second of the other clients: a fraction of what a server can do, so that a slow reply
/// is a long turn and not a queue. All of them take half a minute.
const RATE: u64 = 250_000;
/// The bound of any reply.
const GOAL_MS: f64 = 5.0;
