//! Workload (w): streams of all changes over HTTP, and the replies to clients meanwhile.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Bench;
use super::idle::allow_descriptors;
use crate::comparison::median;
use crate::load::audience::{Audience, Size};
use crate::load::dialect::Dialect;
use crate::load::probe::{Probe, Probed};
use crate::process::{cpu_of, free_address, run_when_idle};
use crate::report::{Bound, Section, short, thousands};
use crate::servers::{Kind, NAME, SingleServer};

/// Runs workload (w).
pub fn streams(bench: &mut Bench) -> io::Result<()> {
    allow_descriptors()?;
    let mut section = Section::new(&format!("(w) {} streams of all changes", thousands(STREAMS as f64)));
    section.paragraph(&format!(
        "Each stream is a `GET /v1/changes`; one in ten never reads. Eight connections send {} IAMATs per second of {} \
         clients, so that each stream lacks that many events per second. A stream that is behind is sent the newest statement of each client \
         only. Meanwhile one client sends an IAMAT every 0.7 ms, and the time until its reply is measured, alternately \
         without and with the streams. The goal is about the undisturbed time: without that in which other programs used \
         the processor. The thread that reads the streams uses what the load generator leaves of its processor.",
        thousands(RATE as f64),
        thousands(f64::from(CLIENTS)),
    ));
    let server = SingleServer::start(Kind::Herd, |herd| herd.set_http(NAME, free_address()))?;
    let probe = || Probe::connect(server.process.id(), server.process.address, CLIENTS)?.sleeping();
    // All clients are known.
    probe()?.run(2 * u64::from(CLIENTS), 5 * RATE)?;
    let (mut quiet, mut loud) = (Vec::new(), Vec::new());
    for _ in 0..bench.effort.rounds {
        server.empty_log()?;
        let mut probe = probe()?;
        quiet.push(measure(bench, &server, &mut probe, &AtomicU64::new(0))?);
        loud.push(with_streams(bench, &server, &mut probe)?);
    }
    section.table(&COLUMNS, &[row("without streams", &quiet), row("with", &loud)]);
    let least = loud.iter().map(|round| round.least).min().unwrap_or(0);
    section
        .paragraph(&format!("The stream with the fewest events of a round had {}.", thousands(least as f64)));
    if least == 0 {
        return Err(io::Error::other("a stream was sent no event"));
    }
    let ratios = loud.iter().zip(&quiet).map(|(loud, quiet)| loud.undisturbed() / quiet.undisturbed());
    bench.report.goal(
        "(w) p99 of a client, with ÷ without streams",
        Bound::AtMost,
        1.1,
        "×",
        Some(median(ratios)),
    );
    let grown = loud.iter().map(Round::grown).fold(f64::MIN, f64::max);
    bench.report.goal(
        "(w) growth of memory in a round with streams",
        Bound::AtMost,
        GROWTH_MAX_MB,
        "MB",
        Some(grown),
    );
    let [first, .., last] = &loud[..] else { return Err(io::Error::other("expected two rounds or more")) };
    let grown = (last.memory[1] as f64 - first.memory[1] as f64) / 1e6;
    bench.report.goal(
        "(w) growth of memory from the first to the last round",
        Bound::AtMost,
        GROWTH_MAX_MB,
        "MB",
        Some(grown),
    );
    bench.report.add(section);
    Ok(())
}

/// A measurement.
struct Round {
    probed: Probed,
    /// Events per second of all streams.
    deliveries: f64,
    /// The fewest events of a stream.
    least: u64,
    /// The processor time of the server, as a share of the time.
    cpu: f64,
    /// In bytes: at the beginning and at the end.
    memory: [u64; 2],
}

impl Round {
    /// The undisturbed p99 in microseconds.
    fn undisturbed(&self) -> f64 {
        self.probed.undisturbed.value_at_quantile(0.99) as f64 / 1e3
    }

    /// The growth of memory in MB.
    fn grown(&self) -> f64 {
        (self.memory[1] as f64 - self.memory[0] as f64) / 1e6
    }
}

/// Measures a client. `deliveries` counts the events of the streams.
fn measure(
    bench: &Bench,
    server: &SingleServer,
    probe: &mut Probe,
    deliveries: &AtomicU64,
) -> io::Result<Round> {
    let statements = |time: Duration| (RATE as f64 * time.as_secs_f64()) as u64;
    // As long as it takes until the socket buffers of streams that are not read are full.
    probe.run(statements(WARM_UP), RATE)?;
    let process = &server.process;
    let before = (process.memory(), cpu_of(process.id()), deliveries.load(Ordering::Relaxed));
    let begin = Instant::now();
    let probed = probe.run(statements(TIMES * bench.effort.time), RATE)?;
    let elapsed = begin.elapsed().as_secs_f64();
    if probed.wrong > 0 {
        return Err(io::Error::other(format!("{} wrong replies", probed.wrong)));
    }
    Ok(Round {
        probed,
        deliveries: (deliveries.load(Ordering::Relaxed) - before.2) as f64 / elapsed,
        least: 0,
        cpu: (cpu_of(process.id()) - before.1).as_secs_f64() / elapsed,
        memory: [before.0, process.memory()],
    })
}

fn with_streams(bench: &Bench, server: &SingleServer, probe: &mut Probe) -> io::Result<Round> {
    let size = Size { clients: 1, followers: STREAMS, depth: 1, pause: Duration::ZERO };
    let mut audience = Audience::connect(server.web_address(), Dialect::Web, size)?;
    let (over, deliveries) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            run_when_idle()?;
            audience.listen(&over, &deliveries)
        });
        let round = measure(bench, server, probe, &deliveries);
        over.store(true, Ordering::Relaxed);
        let least = reading.join().map_err(|_| io::Error::other("the audience has failed"))??;
        Ok(Round { least, ..round? })
    })
}

fn row(name: &str, rounds: &[Round]) -> Vec<String> {
    let figure = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure));
    let quantile =
        |quantile: f64| figure(&|round| round.probed.latency.value_at_quantile(quantile) as f64 / 1e3);
    vec![
        name.to_owned(),
        thousands(figure(&|round| round.probed.rate)),
        short(quantile(0.5)),
        short(quantile(0.99)),
        short(figure(&Round::undisturbed)),
        thousands(figure(&|round| round.deliveries)),
        short(figure(&|round| round.cpu * 100.0)),
        short(figure(&|round| round.memory[0] as f64 / 1e6)),
        short(figure(&|round| round.memory[1] as f64 / 1e6)),
    ]
}

const COLUMNS: [&str; 9] = [
    "",
    "updates/s",
    "p50 µs",
    "p99",
    "p99, undisturbed",
    "events/s",
    "server's processor %",
    "memory MB, first",
    "last",
];
const STREAMS: usize = 1000;
/// Clients that report, each once per second.
const CLIENTS: u32 = 10_000;
/// IAMATs per second of these clients.
const RATE: u64 = 10_000;
/// The time before a measurement.
const WARM_UP: Duration = Duration::from_secs(2);
/// A measurement is longer than in other workloads by this factor, so that it has a thousand probes or more.
const TIMES: u32 = 4;
/// Memory that does not grow: what the allocator may keep between two looks, for each stream 8 KiB.
const GROWTH_MAX_MB: f64 = 8.0;
