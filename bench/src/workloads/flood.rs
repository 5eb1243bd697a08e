//! Workload (e): the delay until a statement is visible at all other servers.

use std::io;
use std::thread;
use std::time::Duration;

use super::Bench;
use crate::comparison::{Effort, median};
use crate::load::histogram;
use crate::report::plots::{self, Line};
use crate::report::{Bound, Section, short, thousands};
use crate::servers::Kind;
use crate::servers::cluster::Cluster;
use crate::servers::herd_file::Graph;
use crate::watch::Watchers;

/// The results of one kind of herd on one graph, one value for each round.
#[derive(Default)]
struct Results {
    /// The median and p99 of the delay at the last server, in microseconds.
    last: Vec<f64>,
    last_p99: Vec<f64>,
    /// The median of the delay of the reply, in microseconds.
    reply: Vec<f64>,
    /// The statements per second until the last server has all.
    rate: Vec<f64>,
}

/// Runs workload (e).
pub fn flood(bench: &mut Bench) -> io::Result<()> {
    let mut section = Section::new("(e) From one server to all others");
    section.paragraph(
        "One client sends a statement to one server. The bench is a neighbour of each other server and records \
         when the statement arrives there. The relay forwards the same bytes over the same hops and does no \
         other work. All servers share the processors of this machine. For the last column many statements are \
         sent without waiting, until the last server has all of them.",
    );
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for (graph, kinds) in [
        (Graph::built_in(), &[Kind::Relay, Kind::Herd, Kind::Java, Kind::Node, Kind::Asyncio][..]),
        (Graph::line(5), &[Kind::Relay, Kind::Herd]),
        (Graph::ring(20), &[Kind::Relay, Kind::Herd]),
    ] {
        let results = compare(&graph, kinds, bench.effort)?;
        let mut latencies = Vec::new();
        for (&kind, (results, all)) in kinds.iter().zip(&results) {
            let figure = |values: &[f64]| short(median(values.iter().copied()));
            rows.push(vec![
                format!("{}: {}", graph.title, kind.name()),
                figure(&results.reply),
                figure(&results.last),
                figure(&results.last_p99),
                thousands(median(results.rate.iter().copied())),
            ]);
            latencies.push(Line::of_latency(kind, all));
        }
        let ratios = results[1].0.last.iter().zip(&results[0].0.last).map(|(herd, relay)| herd / relay);
        let (ratio, last) = (median(ratios), median(results[1].0.last.iter().copied()));
        rows.push(vec![
            format!("{}: herd ÷ relay", graph.title),
            String::new(),
            format!("{ratio:.2} ×"),
            String::new(),
            String::new(),
        ]);
        if graph.title == "built-in" {
            bench.report.goal(
                "(e) five servers: p50 until visible at the last",
                Bound::AtMost,
                60.0,
                "µs",
                Some(last),
            );
            bench.report.goal("(e) five servers: that ÷ bare relay's", Bound::AtMost, 1.5, "×", Some(ratio));
            lines = latencies;
        }
    }
    section.table(&["herd", "reply p50 µs", "at the last p50 µs", "p99", "statements/s to all"], &rows);
    section.plot("e-visible.svg", "Until a statement is visible at the last of five servers");
    plots::quantiles(&bench.plot("e-visible.svg"), "Until visible at the last of five servers", &lines)?;
    bench.report.add(section);
    Ok(())
}

fn compare(
    graph: &Graph,
    kinds: &[Kind],
    effort: Effort,
) -> io::Result<Vec<(Results, hdrhistogram::Histogram<u64>)>> {
    let many = if effort.quick { 5_000 } else { 20_000 };
    let mut herds = Vec::new();
    for &kind in kinds {
        herds.push(Cluster::start_watched(kind, graph, CLIENTS)?);
    }
    let mut results: Vec<_> = kinds.iter().map(|_| (Results::default(), histogram())).collect();
    for round in 0..effort.rounds {
        let mut order: Vec<usize> = (0..kinds.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for number in order {
            let (cluster, watchers) = &mut herds[number];
            let (results, all) = &mut results[number];
            let with_name = |error: io::Error| {
                io::Error::new(error.kind(), format!("{} on {}: {error}", kinds[number].name(), graph.title))
            };
            delays(watchers, effort, results, all).map_err(with_name)?;
            let many = if kinds[number] == Kind::Asyncio { many / 4 } else { many };
            let took = watchers.send_many(many, MANY_MAX).map_err(with_name)?;
            results.rate.push(many as f64 / took.as_secs_f64());
            cluster.folder.empty_logs();
        }
    }
    Ok(results)
}

fn delays(
    watchers: &mut Watchers,
    effort: Effort,
    results: &mut Results,
    all: &mut hdrhistogram::Histogram<u64>,
) -> io::Result<()> {
    let (mut last, mut reply) = (histogram(), histogram());
    let count = if effort.quick { 150 } else { 1000 };
    for _ in 0..count {
        let delays = watchers.send_one(MANY_MAX)?;
        let at_last = delays.watched.iter().max().copied().unwrap_or_default();
        last.saturating_record(at_last.as_nanos() as u64);
        reply.saturating_record(delays.reply.as_nanos() as u64);
        // Lets the MARK and ACK of this statement pass before the next one.
        thread::sleep(PAUSE);
    }
    let microseconds = |value: u64| value as f64 / 1000.0;
    results.last.push(microseconds(last.value_at_quantile(0.5)));
    results.last_p99.push(microseconds(last.value_at_quantile(0.99)));
    results.reply.push(microseconds(reply.value_at_quantile(0.5)));
    let _ = all.add(&last);
    Ok(())
}

/// The number of client IDs: more than statements are sent at once, so that none replaces another.
const CLIENTS: u32 = 100_000;
/// The pause between two statements whose delay is measured.
const PAUSE: Duration = Duration::from_micros(150);
/// The bound of a flood.
const MANY_MAX: Duration = Duration::from_secs(30);
