//! Workloads (r) and (s): statements that are stored on the disk, beside Redis with its append-only file.

use std::io;

use super::field::Field;
use super::{Bench, steady};
use crate::comparison::{Comparison, load_for};
use crate::load::{Generator, Load, Measured};
use crate::process::{Affinity, check_disk};
use crate::report::{Bound, Section, thousands};
use crate::servers::herd_file::Store;
use crate::servers::{Kind, SingleServer};

/// A measured server.
struct Entrant {
    title: &'static str,
    kind: Kind,
    store: Store,
    log_level: &'static str,
}

impl Entrant {
    const fn new(title: &'static str, kind: Kind, store: Store) -> Entrant {
        Entrant { title, kind, store, log_level: "off" }
    }
}

/// Runs workload (r).
pub fn every_second(bench: &mut Bench) -> io::Result<()> {
    check_disk()?;
    let clients = if bench.effort.quick { 20_000 } else { 200_000 };
    let mut section = Section::new("(r) Fifty connections, with a store on disk");
    section.paragraph(&format!(
        "{} clients, all of them known. The statements are on the disk about a second after the reply: `store.sync` is \
         `every second`, Redis has an append-only file and `appendfsync everysec`. The traffic log is off where it is not \
         mentioned, because Redis has none. Between two measurements the bench waits until the files of the server have \
         their size, so that no snapshot and no rewrite of one takes time of another.",
        thousands(f64::from(clients))
    ));
    for (affinity, processors) in PROCESSORS {
        let field = start(&EVERY_SECOND, affinity, clients)?;
        for depth in [16, 128] {
            let known = Load { clients, ..steady::load(50, depth) };
            let comparison = compare(&field, bench, known)?;
            section.paragraph(&format!("**{depth} messages in flight on each, {processors}**"));
            field.table(&mut section, &comparison, BESIDE, TO_REDIS);
            let name = |ratio: &str| format!("(r) 50 × {depth}, {processors}: rate with the store ÷ {ratio}");
            let rate = |other| field.ratio(&comparison, STORED, other, Measured::rate);
            bench.report.goal(&name("without"), Bound::AtLeast, 0.9, "×", rate(OFF));
            bench.report.goal(&name("Redis SET's, everysec"), Bound::AtLeast, 2.0, "×", rate(BESIDE));
        }
        let at_rate = Load { clients, rate: Some(OPEN_RATE), ..steady::load(50, 1) };
        let comparison = compare(&field, bench, at_rate)?;
        section.paragraph(&format!(
            "**In an open loop, at {} messages per second, {processors}**",
            thousands(f64::from(OPEN_RATE))
        ));
        field.table(&mut section, &comparison, BESIDE, TO_REDIS);
        let ratio = field.ratio(&comparison, STORED, OFF, |round| round.microseconds(0.999));
        let name = format!("(r) open loop, {processors}: p99.9 with the store ÷ without");
        bench.report.goal(&name, Bound::AtMost, 1.5, "×", ratio);
    }
    bench.report.add(section);
    Ok(())
}

/// Runs workload (s).
pub fn always(bench: &mut Bench) -> io::Result<()> {
    check_disk()?;
    let mut section = Section::new("(s) Fifty connections that wait for the disk");
    section.paragraph(
        "Each client waits for its reply, and each reply until its statement is on the disk: `store.sync` is `always`, \
         Redis has an append-only file and `appendfsync always`. Both sync once for all statements that have arrived \
         meanwhile.",
    );
    for (affinity, processors) in PROCESSORS {
        let field = start(&ALWAYS, affinity, CLIENTS)?;
        let comparison = compare(&field, bench, Load { clients: CLIENTS, ..steady::load(50, 1) })?;
        section.paragraph(&format!("**{processors}**"));
        field.table(&mut section, &comparison, BESIDE_ALWAYS, TO_REDIS);
        let ratio =
            |figure: fn(&Measured) -> f64| field.ratio(&comparison, STORED_ALWAYS, BESIDE_ALWAYS, figure);
        let name = |figure: &str| format!("(s) {processors}: {figure} ÷ Redis SET's, always");
        bench.report.goal(&name("rate"), Bound::AtLeast, 1.0, "×", ratio(Measured::rate));
        let p99 = ratio(|round| round.microseconds(0.99));
        bench.report.goal(&name("p99"), Bound::AtMost, 1.0, "×", p99);
    }
    bench.report.add(section);
    Ok(())
}

/// Starts the servers that are installed, and reports all clients to them.
fn start(entrants: &[Entrant], affinity: Affinity, clients: u32) -> io::Result<Field> {
    let mut field = Field::default();
    for entrant in entrants.iter().filter(|entrant| entrant.kind.is_present()) {
        let server = SingleServer::start_on(affinity, entrant.kind, |herd, _| {
            (herd.store, herd.log_level) = (entrant.store, entrant.log_level);
            Ok(())
        })?;
        let load = Load { clients, ..steady::load(50, 128) };
        Generator::connect(load_for(&server, load))?.send(u64::from(clients))?;
        server.empty_log()?;
        server.folder.until_settled()?;
        field.add(entrant.title, server);
    }
    Ok(field)
}

fn compare(field: &Field, bench: &Bench, load: Load) -> io::Result<Comparison> {
    Comparison::of(&field.servers, bench.effort, |server| {
        let mut generator = Generator::connect(load_for(server, load))?;
        let time = TIMES * bench.effort.time;
        let mut measured = generator.measure(server.process.id(), bench.effort.warm_up, time)?;
        measured.log = server.log_lines(generator.sent())?;
        server.folder.until_settled()?;
        Ok(measured)
    })
}

/// The title of a column: the ratio of a rate to that of Redis with the same promise.
const TO_REDIS: &str = "it ÷ Redis with a file";
/// The servers of workload (r), and the titles of those with goals.
const EVERY_SECOND: [Entrant; 4] = [
    Entrant::new(OFF, Kind::Herd, Store::Off),
    Entrant::new(STORED, Kind::Herd, Store::EverySecond),
    Entrant {
        log_level: "traffic",
        ..Entrant::new("herd, every second, and the log", Kind::Herd, Store::EverySecond)
    },
    Entrant::new(BESIDE, Kind::RedisSet, Store::EverySecond),
];
const OFF: &str = "herd, no store";
const STORED: &str = "herd, every second";
const BESIDE: &str = "Redis SET, everysec";
/// The servers of workload (s), and the titles of those with goals. Those that do not wait for the disk are for comparison.
const ALWAYS: [Entrant; 4] = [
    Entrant::new(STORED_ALWAYS, Kind::Herd, Store::Always),
    Entrant::new("herd, every second", Kind::Herd, Store::EverySecond),
    Entrant::new(BESIDE_ALWAYS, Kind::RedisSet, Store::Always),
    Entrant::new("Redis SET, everysec", Kind::RedisSet, Store::EverySecond),
];
const STORED_ALWAYS: &str = "herd, always";
const BESIDE_ALWAYS: &str = "Redis SET, always";
/// A measurement is longer than in other workloads by this factor, so that it has at least one of the syncs of each
/// second.
const TIMES: u32 = 2;
/// The clients of workload (s).
const CLIENTS: u32 = 1000;
/// With two processors, the thread that writes the files need not share that of the loop. The second one is also the
/// load generator's if the machine has no more.
const PROCESSORS: [(Affinity, &str); 2] =
    [(Affinity::OwnProcessor, "one processor"), (Affinity::TwoProcessors, "two processors")];
/// A rate that every server can serve, in messages per second, high enough that the writing of files takes time.
const OPEN_RATE: u32 = 50_000;
