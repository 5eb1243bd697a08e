//! (e): from a reply at one server until the statement is visible at each other one.

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

/// What one kind of herd showed on one graph.
#[derive(Default)]
struct Shown {
    /// In each round, in microseconds: p50 and p99 until the last server has it.
    last: Vec<f64>,
    last_p99: Vec<f64>,
    /// p50 until the reply.
    reply: Vec<f64>,
    /// Statements in a second until the last server has all.
    rate: Vec<f64>,
}

/// (e).
pub fn flood(bench: &mut Bench) -> io::Result<()> {
    let mut section = Section::new("(e) From one server to all others");
    section.paragraph(
        "One client tells one server; the bench is a neighbour of each other server and notes when the \
         statement arrives there. The relay does the same hops with the same bytes and does nothing else. \
         All servers share this machine's processors. The last column tells many statements without \
         waiting, and counts until the last server has all.",
    );
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for (graph, kinds) in [
        (Graph::built_in(), &[Kind::Relay, Kind::Herd, Kind::Java, Kind::Node, Kind::Asyncio][..]),
        (Graph::line(5), &[Kind::Relay, Kind::Herd]),
        (Graph::ring(20), &[Kind::Relay, Kind::Herd]),
    ] {
        let shown = compare(&graph, kinds, bench.effort)?;
        let mut latencies = Vec::new();
        for (&kind, (shown, all)) in kinds.iter().zip(&shown) {
            let figure = |values: &[f64]| short(median(values.iter().copied()));
            rows.push(vec![
                format!("{}: {}", graph.title, kind.name()),
                figure(&shown.reply),
                figure(&shown.last),
                figure(&shown.last_p99),
                thousands(median(shown.rate.iter().copied())),
            ]);
            latencies.push(Line::of_latency(kind, all));
        }
        let ratios = shown[1].0.last.iter().zip(&shown[0].0.last).map(|(herd, relay)| herd / relay);
        let (ratio, last) = (median(ratios), median(shown[1].0.last.iter().copied()));
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
) -> io::Result<Vec<(Shown, hdrhistogram::Histogram<u64>)>> {
    let many = if effort.quick { 5_000 } else { 20_000 };
    let mut herds = Vec::new();
    for &kind in kinds {
        herds.push(Cluster::start_watched(kind, graph, CLIENTS)?);
    }
    let mut shown: Vec<_> = kinds.iter().map(|_| (Shown::default(), histogram())).collect();
    for round in 0..effort.rounds {
        let mut order: Vec<usize> = (0..kinds.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for number in order {
            let (cluster, watchers) = &mut herds[number];
            let (shown, all) = &mut shown[number];
            let told = |error: io::Error| {
                io::Error::new(error.kind(), format!("{} on {}: {error}", kinds[number].name(), graph.title))
            };
            delays(watchers, effort, shown, all).map_err(told)?;
            let many = if kinds[number] == Kind::Asyncio { many / 4 } else { many };
            let took = watchers.tell_many(many, MANY_MAX).map_err(told)?;
            shown.rate.push(many as f64 / took.as_secs_f64());
            cluster.folder.empty_logs();
        }
    }
    Ok(shown)
}

fn delays(
    watchers: &mut Watchers,
    effort: Effort,
    shown: &mut Shown,
    all: &mut hdrhistogram::Histogram<u64>,
) -> io::Result<()> {
    let (mut last, mut reply) = (histogram(), histogram());
    let count = if effort.quick { 150 } else { 1000 };
    for _ in 0..count {
        let sighting = watchers.tell_one(MANY_MAX)?;
        let at_last = sighting.watched.iter().max().copied().unwrap_or_default();
        last.saturating_record(at_last.as_nanos() as u64);
        reply.saturating_record(sighting.reply.as_nanos() as u64);
        // Each statement alone: what links say behind it (MARK, ACK) is over before the next one.
        thread::sleep(PAUSE);
    }
    let microseconds = |value: u64| value as f64 / 1000.0;
    shown.last.push(microseconds(last.value_at_quantile(0.5)));
    shown.last_p99.push(microseconds(last.value_at_quantile(0.99)));
    shown.reply.push(microseconds(reply.value_at_quantile(0.5)));
    let _ = all.add(&last);
    Ok(())
}

/// Clients that statements are about: more than are told at once, so that none replaces another.
const CLIENTS: u32 = 100_000;
/// Between two statements of which the delay is measured.
const PAUSE: Duration = Duration::from_micros(150);
/// How long a flood may take.
const MANY_MAX: Duration = Duration::from_secs(30);
