//! Workload (q): FOLLOW, beside what people use to be told of changes.

use std::io;
use std::thread;
use std::time::Duration;

use super::{Bench, steady};
use crate::comparison::{load_for, median};
use crate::load::Generator;
use crate::load::audience::{Audience, Size};
use crate::report::{Bound, Section, short, thousands};
use crate::servers::{Kind, SingleServer};

/// Runs workload (q).
pub fn follow(bench: &mut Bench) -> io::Result<()> {
    let mut section = Section::new("(q) FOLLOW: who moves, as it happens");
    section.paragraph(
        "Each follower has a connection of its own, and one in ten never reads. One connection reports the clients that are \
         followed, as fast as the server replies. Redis and NATS do the same work with PUBLISH and SUBSCRIBE, and messages \
         of the same length. A delivery is a statement or message that a follower has read. The herd sends a follower that \
         is behind the newest statement only, so that it delivers fewer of them when reports come faster than it can send.",
    );
    for (title, size) in [
        (
            "one client, followed by 1,000",
            Size { clients: 1, followers: 1000, depth: 1, pause: Duration::ZERO },
        ),
        (
            "1,000 clients, each followed by 10",
            Size { clients: 1000, followers: 10, depth: 16, pause: Duration::ZERO },
        ),
    ] {
        section.paragraph(&format!("**{title}**"));
        let rows = compare(bench, title, size)?;
        section.table(
            &[
                "server",
                "deliveries/s",
                "herd ÷ it",
                "reports/s",
                "memory MB: before",
                "with followers",
                "at the end",
            ],
            &rows,
        );
    }
    section.paragraph(
        "**Updates of others.** Fifty clients report as in (b), alternately without followers and while a client with 1,000 \
         followers moves ten times in a second.",
    );
    let rows = others(bench)?;
    section.table(&["", "messages/s", "p99 µs"], &rows);
    bench.report.add(section);
    Ok(())
}

/// What one server showed in all rounds.
struct Measured {
    kind: Kind,
    /// Per second.
    deliveries: Vec<f64>,
    /// Per second.
    reports: Vec<f64>,
    /// In bytes: when it was empty, with its followers, and after the last round.
    memory: [u64; 3],
}

fn compare(bench: &mut Bench, title: &str, size: Size) -> io::Result<Vec<Vec<String>>> {
    let mut measured: Vec<Measured> = Vec::new();
    for kind in [Kind::Herd, Kind::RedisSet, Kind::Nats] {
        if kind.is_present() {
            measured.push(Measured { kind, deliveries: Vec::new(), reports: Vec::new(), memory: [0; 3] });
        } else {
            eprintln!("  {} is left out: {} is not installed", kind.name(), kind.program().display());
        }
    }
    for _ in 0..bench.effort.rounds {
        for Measured { kind, deliveries, reports, memory } in &mut measured {
            let server = SingleServer::start(*kind, |_| {})?;
            memory[0] = server.process.memory();
            let mut audience = Audience::connect(server.process.address, kind.dialect(), size)?;
            memory[1] = server.process.memory();
            audience.measure(bench.effort.warm_up)?;
            let delivered = audience.measure(4 * bench.effort.time)?;
            memory[2] = server.process.memory();
            deliveries.push(delivered.rate());
            reports.push(delivered.reports_rate());
        }
    }
    let herd = measured[0].deliveries.clone();
    let grown = measured[0].memory[2].saturating_sub(measured[0].memory[1]) as f64 / 1e6;
    let mut rows = Vec::new();
    for Measured { kind, deliveries, reports, memory } in &measured {
        let ratio = median(herd.iter().zip(deliveries).map(|(herd, other)| herd / other.max(1.0)));
        let mut row = vec![
            followed(*kind).to_owned(),
            thousands(median(deliveries.iter().copied())),
            if *kind == Kind::Herd { "·".into() } else { format!("{ratio:.2} ×") },
            thousands(median(reports.iter().copied())),
        ];
        row.extend(memory.map(|bytes| short(bytes as f64 / 1e6)));
        rows.push(row);
        if *kind != Kind::Herd {
            let name = format!("(q) {title}: deliveries, herd ÷ {}", followed(*kind));
            bench.report.goal(&name, Bound::AtLeast, 1.0, "×", Some(ratio));
        }
    }
    let name = format!("(q) {title}: memory that the herd takes while followers do not read");
    bench.report.goal(&name, Bound::AtMost, GROWTH_MAX_MB, "MB", Some(grown));
    Ok(rows)
}

/// The rate of clients that are not followed.
fn others(bench: &mut Bench) -> io::Result<Vec<Vec<String>>> {
    let server = SingleServer::start(Kind::Herd, |_| {})?;
    let size = Size { clients: 1, followers: 1000, depth: 1, pause: Duration::from_millis(100) };
    let (mut quiet, mut loud) = (Vec::new(), Vec::new());
    for _ in 0..bench.effort.rounds {
        let measure = || {
            let mut generator = Generator::connect(load_for(&server, steady::load(50, 1)))?;
            let measured = generator.measure(server.process.id(), bench.effort.warm_up, bench.effort.time);
            server.folder.empty_logs();
            measured
        };
        quiet.push(measure()?);
        let mut audience = Audience::connect(server.process.address, Kind::Herd.dialect(), size)?;
        let time = bench.effort.warm_up + bench.effort.time;
        let reading = thread::spawn(move || audience.measure(time));
        loud.push(measure()?);
        reading.join().map_err(|_| io::Error::other("the audience has failed"))??;
    }
    let ratio = median(loud.iter().zip(&quiet).map(|(loud, quiet)| loud.rate() / quiet.rate()));
    bench.report.goal(
        "(q) updates of others, with ÷ without followers",
        Bound::AtLeast,
        0.95,
        "×",
        Some(ratio),
    );
    let row = |name: &str, all: &[crate::load::Measured]| {
        let (rate, p99) = (all.iter().map(|one| one.rate()), all.iter().map(|one| one.microseconds(0.99)));
        vec![name.to_owned(), thousands(median(rate)), short(median(p99))]
    };
    Ok(vec![row("without followers", &quiet), row("with 1,000 followers of one", &loud)])
}

fn followed(kind: Kind) -> &'static str {
    match kind {
        Kind::RedisSet => "Redis PUBLISH",
        Kind::Nats => "NATS",
        kind => kind.name(),
    }
}

/// Memory that a thousand followers that never read may take: 64 KiB of output each, and as much again for one in ten of
/// ten thousand.
const GROWTH_MAX_MB: f64 = 140.0;
