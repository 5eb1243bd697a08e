//! Workload (l): fifty clients with several messages in flight, with the traffic log on.

use std::io;

use super::{Bench, steady};
use crate::comparison::{Comparison, Contender, load_for};
use crate::load::{Generator, Load, Measured};
use crate::process::Affinity;
use crate::report::{Bound, Section, short, thousands};
use crate::servers::{Kind, SingleServer};

/// Runs workload (l).
pub fn logged(bench: &mut Bench) -> io::Result<()> {
    let mut titles = Vec::new();
    let mut servers = Vec::new();
    for (title, affinity, level) in [
        ("herd, log off, one processor", Affinity::OwnProcessor, "off"),
        ("herd, log on, one processor", Affinity::OwnProcessor, "traffic"),
        ("herd, log on, two processors", Affinity::TwoProcessors, "traffic"),
    ] {
        titles.push(title);
        servers.push(SingleServer::start_on(affinity, Kind::Herd, |herd, _| {
            herd.log_level = level;
            Ok(())
        })?);
    }
    if Kind::RedisSet.is_present() {
        // It has one thread, too, which the system may move between the two.
        for (title, affinity) in [
            ("Redis SET, one processor", Affinity::OwnProcessor),
            ("Redis SET, two processors", Affinity::TwoProcessors),
        ] {
            titles.push(title);
            servers.push(SingleServer::start_on(affinity, Kind::RedisSet, |_, _| Ok(()))?);
        }
    }
    let clients = if bench.effort.quick { 20_000 } else { 200_000 };
    let known = |depth: usize| Load { clients, ..steady::load(50, depth) };
    for server in &servers {
        Generator::connect(load_for(server, known(128)))?.send(u64::from(clients))?;
        server.empty_log()?;
    }
    let mut section = Section::new("(l) Fifty connections, with the traffic log on");
    section.paragraph(
        "Each message and each reply is a line of the log. After each round the bench counts the lines. A round \
         with a lost line does not count for the goals. With two processors, the server can write the log on the \
         second one, which is also the load generator's if the machine has no more.",
    );
    for (depth, goal) in GOALS {
        let comparison = Comparison::of_load(&servers, bench.effort, known(depth))?;
        let contenders = &comparison.contenders;
        let redis = |number: usize| contenders.get(REDIS[number]?);
        let rows: Vec<_> = titles
            .iter()
            .enumerate()
            .map(|(number, title)| row(title, &contenders[number], redis(number)))
            .collect();
        section.paragraph(&format!("**{depth} messages in flight on each**"));
        section.table(&COLUMNS, &rows);
        let ratio = redis(TWO).and_then(|redis| contenders[TWO].to(redis, Measured::rate));
        let name = format!("(l) 50 × {depth}, log on, two processors: rate ÷ Redis SET's");
        bench.report.goal(&name, Bound::AtLeast, goal, "×", ratio);
    }
    bench.report.add(section);
    Ok(())
}

fn row(title: &str, contender: &Contender, redis: Option<&Contender>) -> Vec<String> {
    let rate = contender.median(Measured::rate);
    let ratio = redis.map(|redis| {
        contender.to(redis, Measured::rate).map_or("not counted".into(), |ratio| format!("{ratio:.2} ×"))
    });
    let log = contender.rounds.iter().find_map(|round| round.log.as_ref());
    let microseconds = |quantile: f64| short(contender.latency.value_at_quantile(quantile) as f64 / 1000.0);
    vec![
        title.to_owned(),
        thousands(rate),
        ratio.unwrap_or("·".into()),
        short(contender.median(|round| round.microseconds(0.5))),
        microseconds(0.99),
        microseconds(0.999),
        microseconds(1.0),
        short(contender.median(Measured::server_cpu_each)),
        log.map_or("·".into(), |log| short(rate * log.bytes_each() / 1e6)),
        log.map_or("·".into(), |_| thousands(contender.log_lost() as f64)),
    ]
}

const COLUMNS: [&str; 10] = [
    "server",
    "messages/s",
    "it ÷ Redis",
    "p50 µs",
    "p99",
    "p99.9",
    "max",
    "its CPU µs each",
    "log MB/s",
    "log lines lost",
];
/// The messages in flight on each connection, and the least ratio to Redis with two processors.
const GOALS: [(usize, f64); 2] = [(16, 2.0), (128, 2.5)];
/// The position of the server with two processors.
const TWO: usize = 2;
/// For each server the position of the Redis on as many processors.
const REDIS: [Option<usize>; 5] = [Some(3), Some(3), Some(4), None, None];
