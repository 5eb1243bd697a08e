//! Workload (p): the ten nearest of a million clients, while fifty thousand of them move in a second.

use std::io;
use std::time::{Duration, Instant};

use super::Bench;
use crate::comparison::{Comparison, median};
use crate::load::Measured;
use crate::load::nearest::{Askers, NEAREST, Towns, Updates, report_all};
use crate::process::{cpu_of, cpu_of_this_process};
use crate::report::{Bound, Section, short, thousands};
use crate::servers::{Kind, SingleServer};

/// Runs workload (p).
pub fn nearest(bench: &mut Bench) -> io::Result<()> {
    let clients: u32 = if bench.effort.quick { 100_000 } else { 1_000_000 };
    let servers = SingleServer::start_all(&[Kind::Herd, Kind::RedisGeoadd])?;
    let towns = Towns::new();
    for server in &servers {
        report_all(server.process.address, server.kind.dialect(), &towns, clients)?;
        server.empty_log()?;
    }
    let mut section =
        Section::new(&format!("(p) The {NEAREST} nearest of {} clients", thousands(f64::from(clients))));
    section.paragraph(&format!(
        "The clients are in and around a thousand towns, and so are the centres. Fifty connections ask for the \
         {NEAREST} nearest, each again when it has the answer: NEAR, and GEOSEARCH … ASC COUNT {NEAREST} WITHDIST WITHCOORD \
         without ANY, which would not find the nearest. Meanwhile another connection sends {} updates a second, each \
         a move of up to 70 m. The load generator has one processor, the server the other.",
        thousands(f64::from(UPDATES))
    ));
    for km in [1, 100, 1000] {
        let mut updates: Vec<(Kind, f64)> = Vec::new();
        let comparison = Comparison::of(&servers, bench.effort, |server| {
            let (measured, rate) = measure(bench, server, clients, km)?;
            updates.push((server.kind, rate));
            Ok(measured)
        })?;
        section.paragraph(&format!("**within {km} km**"));
        section.comparison(&comparison);
        let of = |kind: Kind| median(updates.iter().filter(|(own, _)| *own == kind).map(|(_, rate)| *rate));
        let rows: Vec<Vec<String>> = servers
            .iter()
            .map(|server| vec![server.kind.name().to_owned(), thousands(of(server.kind))])
            .collect();
        section.table(&["server", "updates/s meanwhile"], &rows);
        let rate = comparison.herd_to(Kind::RedisGeoadd, Measured::rate);
        let p99 = comparison.herd_to(Kind::RedisGeoadd, |round| round.microseconds(0.99));
        bench.report.goal(
            &format!("(p) within {km} km: rate ÷ Redis GEOSEARCH's"),
            Bound::AtLeast,
            3.0,
            "×",
            rate,
        );
        bench.report.goal(
            &format!("(p) within {km} km: p99 ÷ Redis GEOSEARCH's"),
            Bound::AtMost,
            1.0,
            "×",
            p99,
        );
        let updated = of(Kind::Herd) / f64::from(UPDATES);
        let name = format!("(p) within {km} km: updates carried out ÷ sent");
        bench.report.goal(&name, Bound::AtLeast, 0.98, "×", Some(updated));
        eprintln!("  within {km} km: {} × the rate", rate.map_or_else(String::new, short));
    }
    bench.report.add(section);
    Ok(())
}

/// One measurement, and the updates in a second meanwhile.
fn measure(bench: &Bench, server: &SingleServer, clients: u32, km: u32) -> io::Result<(Measured, f64)> {
    let (address, dialect, process) = (server.process.address, server.kind.dialect(), server.process.id());
    let updates = Updates::begin(address, dialect, clients, UPDATES)?;
    let mut askers = Askers::connect(address, dialect, CONNECTIONS, km)?;
    askers.ask_for(bench.effort.warm_up)?;
    let (server_before, own_before) = (cpu_of(process), cpu_of_this_process());
    let begin = Instant::now();
    let mut answers = askers.ask_for(bench.effort.time.max(Duration::from_millis(500)))?;
    let elapsed = begin.elapsed();
    if answers.count == 0 {
        // All questions still wait for their answers: they take longer than this.
        answers.latency.saturating_record(elapsed.as_nanos() as u64);
    }
    let measured = Measured {
        latency: answers.latency,
        replies: answers.count,
        // Questions are asked where clients are, so that answers without one client are wrong.
        wrong: answers.wrong + u64::from(answers.found < answers.count),
        elapsed,
        server_cpu: cpu_of(process).saturating_sub(server_before),
        own_cpu: cpu_of_this_process().saturating_sub(own_before),
        log: None,
    };
    Ok((measured, updates.end()?))
}

/// Connections that ask.
const CONNECTIONS: usize = 50;
/// Updates in a second.
const UPDATES: u32 = 50_000;
