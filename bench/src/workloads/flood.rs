//! Workload (e): the delay until a statement is visible at all other servers.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::near::until_known;
use super::{Bench, steady};
use crate::comparison::{Effort, median};
use crate::load::{Generator, Load, histogram};
use crate::report::plots::{self, Line};
use crate::report::{Bound, Section, short, thousands};
use crate::servers::Kind;
use crate::servers::cluster::Cluster;
use crate::servers::herd_file::{Graph, Links};
use crate::watch::Watchers;

/// A kind of herd, and its links.
#[derive(Clone, Copy)]
struct Contender(Kind, Links);

impl Contender {
    fn name(self) -> String {
        let Contender(kind, links) = self;
        format!("{}{}", kind.name(), if links == Links::Tls { ", TLS links" } else { "" })
    }
}

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
         sent without waiting, until the last server has all of them. Links are plain text, as in the other \
         programs, except where it says TLS; there the bench is a neighbour over TLS, too.",
    );
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for (graph, others) in [
        (Graph::built_in(), &[Kind::Java, Kind::Node, Kind::Asyncio][..]),
        (Graph::line(5), &[]),
        (Graph::ring(20), &[]),
    ] {
        let plain = |kind| Contender(kind, Links::Plain);
        let mut contenders = vec![plain(Kind::Relay), plain(Kind::Herd), Contender(Kind::Herd, Links::Tls)];
        contenders.extend(others.iter().copied().filter(|kind| kind.is_present()).map(plain));
        let results = compare(&graph, &contenders, bench.effort)?;
        let mut latencies = Vec::new();
        for (&contender, (results, all)) in contenders.iter().zip(&results) {
            let figure = |values: &[f64]| short(median(values.iter().copied()));
            rows.push(vec![
                format!("{}: {}", graph.title, contender.name()),
                figure(&results.reply),
                figure(&results.last),
                figure(&results.last_p99),
                thousands(median(results.rate.iter().copied())),
            ]);
            // One line for each kind, which has one colour.
            if contender.1 == Links::Plain {
                latencies.push(Line::of_latency(contender.0, all));
            }
        }
        let [relay, herd, tls] = [0, 1, 2].map(|number| &results[number].0);
        let (ratio, last) = (quotient(&herd.last, &relay.last), median(herd.last.iter().copied()));
        let (tls_delay, tls_rate) = (quotient(&tls.last, &herd.last), quotient(&tls.rate, &herd.rate));
        for (title, delay, rate) in
            [("herd ÷ relay", ratio, String::new()), ("TLS ÷ plain", tls_delay, format!("{tls_rate:.2} ×"))]
        {
            let title = format!("{}: {title}", graph.title);
            rows.push(vec![title, String::new(), format!("{delay:.2} ×"), String::new(), rate]);
        }
        if graph.title == "built-in" {
            bench.report.goal(
                "(e) five servers: p50 until visible at the last",
                Bound::AtMost,
                60.0,
                "µs",
                Some(last),
            );
            bench.report.goal("(e) five servers: that ÷ bare relay's", Bound::AtMost, 1.5, "×", Some(ratio));
            let name = "(e) five servers: that over TLS ÷ in plain text";
            bench.report.goal(name, Bound::AtMost, 1.25, "×", Some(tls_delay));
            lines = latencies;
        }
    }
    section.table(&["herd", "reply p50 µs", "at the last p50 µs", "p99", "statements/s to all"], &rows);
    section.plot("e-visible.svg", "Until a statement is visible at the last of five servers");
    plots::quantiles(&bench.plot("e-visible.svg"), "Until visible at the last of five servers", &lines)?;
    section.paragraph(
        "Fifty clients in plain text, sixteen messages in flight on each, at one of five servers, alternately with \
         plain links and with TLS links. The statements per second count until the last server has all of them, \
         the replies per second until the last reply.",
    );
    busy(bench, &mut section)?;
    bench.report.add(section);
    Ok(())
}

/// The median over the rounds of the ratio of two figures.
fn quotient(one: &[f64], other: &[f64]) -> f64 {
    median(one.iter().zip(other).map(|(one, other)| one / other))
}

/// The figures of fifty clients, with plain links and with TLS links.
fn busy(bench: &mut Bench, section: &mut Section) -> io::Result<()> {
    #[derive(Default)]
    struct Figures {
        replies: Vec<f64>,
        statements: Vec<f64>,
        microseconds: Vec<f64>,
    }
    let count: u32 = if bench.effort.quick { 50_000 } else { 400_000 };
    let graph = Graph::built_in();
    let herds = [Links::Plain, Links::Tls].map(|links| Cluster::start_linked(&graph, links));
    let herds = herds.into_iter().collect::<io::Result<Vec<_>>>()?;
    let mut figures = [Figures::default(), Figures::default()];
    for round in 0..bench.effort.rounds {
        for number in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let (herd, figures) = (&herds[number], &mut figures[number]);
            let address = herd.servers[0].address;
            let before = herd.cpu();
            // No statement replaces another.
            let load = Load { address, clients: CLIENTS.max(count), ..steady::load(50, 16) };
            let begin = Instant::now();
            let replied = Generator::connect(load)?.send(u64::from(count))?;
            let last = steady::report_new_client(address, load.clients + round as u32)?;
            for server in &herd.servers[1..] {
                until_known(server.address, &last, MANY_MAX)?;
            }
            let known = begin.elapsed();
            figures.replies.push(f64::from(count) / replied.as_secs_f64());
            figures.statements.push(f64::from(count) / known.as_secs_f64());
            figures.microseconds.push((herd.cpu() - before).as_secs_f64() * 1e6 / f64::from(count));
            herd.folder.empty_logs();
        }
    }
    let row = |title: &str, each: &Figures| {
        let figure = |values: &[f64]| median(values.iter().copied());
        let (replies, statements) = (figure(&each.replies), figure(&each.statements));
        vec![title.to_owned(), thousands(replies), thousands(statements), short(figure(&each.microseconds))]
    };
    let [plain, tls] = &figures;
    let replies = quotient(&tls.replies, &plain.replies);
    let statements = quotient(&tls.statements, &plain.statements);
    let cost = quotient(&tls.microseconds, &plain.microseconds);
    let ratios = [replies, statements, cost].map(|ratio| format!("{ratio:.2} ×"));
    let mut ratio_row = vec!["TLS ÷ plain".to_owned()];
    ratio_row.extend(ratios);
    section.table(
        &["links", "replies/s", "statements/s to all", "CPU µs per statement, all servers"],
        &[row("plain text", plain), row("TLS", tls), ratio_row],
    );
    let mut goal = |figure: &str, ratio: f64| {
        let name = format!("(e) 50 × 16 at one of five: {figure} over TLS ÷ in plain text");
        bench.report.goal(&name, Bound::AtLeast, 0.8, "×", Some(ratio));
    };
    goal("replies/s", replies);
    goal("statements/s to all", statements);
    Ok(())
}

fn compare(
    graph: &Graph,
    contenders: &[Contender],
    effort: Effort,
) -> io::Result<Vec<(Results, hdrhistogram::Histogram<u64>)>> {
    let many = if effort.quick { 5_000 } else { 20_000 };
    let mut herds = Vec::new();
    for &Contender(kind, links) in contenders {
        herds.push(Cluster::start_watched(kind, links, graph, CLIENTS)?);
    }
    let mut results: Vec<_> = contenders.iter().map(|_| (Results::default(), histogram())).collect();
    for round in 0..effort.rounds {
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for number in order {
            let (cluster, watchers) = &mut herds[number];
            let (results, all) = &mut results[number];
            let with_name = |error: io::Error| {
                let name = contenders[number].name();
                io::Error::new(error.kind(), format!("{name} on {}: {error}", graph.title))
            };
            delays(watchers, effort, results, all).map_err(with_name)?;
            let many = if contenders[number].0 == Kind::Asyncio { many / 4 } else { many };
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

/// The least number of client IDs: more than statements are sent at once, so that none replaces another.
const CLIENTS: u32 = 100_000;
/// The pause between two statements whose delay is measured.
const PAUSE: Duration = Duration::from_micros(150);
/// The bound of a flood.
const MANY_MAX: Duration = Duration::from_secs(30);
