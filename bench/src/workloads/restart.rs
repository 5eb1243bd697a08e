//! Workload (t): the time to start again with many records, and the room that they take on the disk, beside Redis.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::near::is_known;
use super::{Bench, steady};
use crate::comparison::{load_for, median};
use crate::load::dialect::Messages;
use crate::load::{Generator, Load};
use crate::process::{Affinity, End, Folder, check_disk};
use crate::report::{Bound, Section, short, thousands};
use crate::servers::herd_file::Store;
use crate::servers::{Kind, SingleServer};

/// Runs workload (t).
pub fn restart(bench: &mut Bench) -> io::Result<()> {
    check_disk()?;
    let mut section = Section::new("(t) Starting again, and the room on the disk");
    section.paragraph(
        "The time from the start of the process to the first answer about a known client, one of the last that were \
         reported, and until a hundred others are known, too. The files are in the page cache. The log is off. Redis has its \
         default settings: it rewrites its append-only file in the background as it grows.",
    );
    // The clients, the rounds, and the bound for the herd in seconds.
    let quick = [(200_000, bench.effort.rounds, 0.15)];
    let full = [(1_000_000, bench.effort.rounds, 0.75), (10_000_000, 2, 8.0)];
    let mut rows = Vec::new();
    for &(clients, rounds, bound) in if bench.effort.quick { &quick[..] } else { &full } {
        let times = times(clients, rounds)?;
        for times in &times {
            let each: Vec<_> = times.first.iter().map(|&seconds| short(seconds)).collect();
            rows.push(vec![
                format!("{}, {} clients", times.title, thousands(f64::from(clients))),
                short(median(times.first.iter().copied())),
                each.join(" "),
                short(median(times.all.iter().copied())),
                short(times.bytes as f64 / 1e6),
            ]);
        }
        for times in times.iter().filter(|times| times.title.starts_with(Kind::Herd.name())) {
            let name = format!("(t) {}: {} clients until known", times.title, thousands(f64::from(clients)));
            let seconds = median(times.first.iter().copied());
            bench.report.goal(&name, Bound::AtMost, bound, "s", Some(seconds));
        }
    }
    section.table(&["server", "first answer, s", "each", "all known, s", "MB on the disk"], &rows);
    room(bench, &mut section)?;
    bench.report.add(section);
    Ok(())
}

/// The times of one way to start again.
struct Times {
    title: &'static str,
    /// Seconds until the first answer about a known client, for each round.
    first: Vec<f64>,
    /// Seconds until all samples are known.
    all: Vec<f64>,
    /// The room on the disk.
    bytes: u64,
}

/// Starts each server again in each round, in alternating order.
fn times(clients: u32, rounds: usize) -> io::Result<Vec<Times>> {
    let mut servers = Vec::new();
    for (titles, kind, store) in ENTRANTS.into_iter().filter(|(_, kind, _)| kind.is_present()) {
        let server = start(kind, store)?;
        let load = Load { clients, ..steady::load(50, 128) };
        Generator::connect(load_for(&server, load))?.send(u64::from(clients))?;
        if store == Store::Off {
            save(&server)?;
        }
        let bytes = server.folder.until_settled()?;
        let time = |&(title, end)| (Times { title, first: Vec::new(), all: Vec::new(), bytes }, end);
        servers.push((server, titles.iter().map(time).collect::<Vec<_>>()));
    }
    for round in 0..rounds {
        let mut order: Vec<_> = servers.iter_mut().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for (server, ways) in order {
            for (times, end) in ways {
                let begin = server.start_again(*end)?;
                // The last one that was reported.
                until_known(server, Messages::client_of(clients, clients))?;
                times.first.push(begin.elapsed().as_secs_f64());
                for sample in (0..clients).step_by((clients / SAMPLES) as usize) {
                    until_known(server, sample)?;
                }
                times.all.push(begin.elapsed().as_secs_f64());
                server.folder.until_settled()?;
            }
        }
    }
    Ok(servers.into_iter().flat_map(|(_, ways)| ways).map(|(times, _)| times).collect())
}

/// The room on the disk that clients take after many updates.
fn room(bench: &mut Bench, section: &mut Section) -> io::Result<()> {
    let (clients, updates) = if bench.effort.quick { (200_000, 2_000_000) } else { (1_000_000, 100_000_000) };
    let of_clients = thousands(f64::from(clients));
    section.paragraph(&format!(
        "**{} updates of {of_clients} clients.** The room is what the file system counts, reserved blocks included, when the \
         files have their size, and the most of it while the updates were written. Workload (u) has that of storage \
         engines.",
        thousands(updates as f64)
    ));
    let mut rows = Vec::new();
    for (title, kind) in [("herd, every second", Kind::Herd), ("Redis SET, everysec", Kind::RedisSet)] {
        if !kind.is_present() {
            continue;
        }
        let server = start(kind, Store::EverySecond)?;
        let load = Load { clients, ..steady::load(50, 128) };
        let mut generator = Generator::connect(load_for(&server, load))?;
        let (took, most) = while_watched(&server.folder, || generator.send(updates))?;
        let bytes = server.folder.until_settled()?;
        rows.push(vec![
            title.to_owned(),
            thousands(updates as f64 / took.as_secs_f64()),
            short(bytes as f64 / 1e6),
            short(most.max(bytes) as f64 / 1e6),
            short(bytes as f64 / f64::from(clients)),
        ]);
        if kind == Kind::Herd {
            let name = format!(
                "(t) room on the disk, {of_clients} clients after {} updates",
                thousands(updates as f64)
            );
            let bound = ROOM_EACH * f64::from(clients) / 1e6;
            bench.report.goal(&name, Bound::AtMost, bound, "MB", Some(bytes as f64 / 1e6));
        }
    }
    section.table(&["server", "updates/s", "MB after", "MB at most", "bytes per client"], &rows);
    Ok(())
}

/// Runs `work`. Returns its result and the most room that the files of the folder took meanwhile.
fn while_watched<T>(folder: &Folder, work: impl FnOnce() -> io::Result<T>) -> io::Result<(T, u64)> {
    let (is_over, most) = (AtomicBool::new(false), AtomicU64::new(0));
    let done = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                most.fetch_max(folder.bytes_on_disk(), Ordering::Relaxed);
                thread::sleep(WATCH_PAUSE);
            }
        });
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        done
    })?;
    Ok((done, most.load(Ordering::Relaxed)))
}

fn start(kind: Kind, store: Store) -> io::Result<SingleServer> {
    SingleServer::start_on(Affinity::Anywhere, kind, |herd, _| {
        (herd.store, herd.log_level) = (store, "off");
        Ok(())
    })
}

/// Has Redis write its snapshot, which it loads when it starts.
fn save(server: &SingleServer) -> io::Result<()> {
    let mut stream = TcpStream::connect(server.process.address)?;
    stream.write_all(b"SAVE\r\n")?;
    let mut answer = [0; 3];
    stream.read_exact(&mut answer)?;
    if &answer == b"+OK" { Ok(()) } else { Err(io::Error::other("Redis has not saved its records")) }
}

/// Asks until the client is known.
fn until_known(server: &SingleServer, client: u32) -> io::Result<()> {
    let (address, name) = (server.process.address, Messages::client_name(client));
    let end = Instant::now() + KNOWN_MAX;
    loop {
        let is_known = match server.kind {
            Kind::Herd => is_known(address, &name)?,
            _ => is_in_redis(server, &name)?,
        };
        if is_known {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{name} is not known after a restart"),
            ));
        }
        thread::sleep(Duration::from_micros(300));
    }
}

/// Whether Redis has a client. While it loads, it answers that it does.
fn is_in_redis(server: &SingleServer, client: &str) -> io::Result<bool> {
    let Ok(mut stream) = TcpStream::connect(server.process.address) else {
        return Ok(false);
    };
    stream.set_nodelay(true)?;
    stream.write_all(format!("GET {client}\r\n").as_bytes())?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer)?;
    Ok(answer[0] == b'$' && answer[1] != b'-')
}

/// The ways of one server to end before it starts again.
type Ways = &'static [(&'static str, End)];

/// The servers, with the ways in which each is started again. Redis without an append-only file loads its snapshot.
const ENTRANTS: [(Ways, Kind, Store); 3] = [
    (
        &[("herd, ended in order", End::InOrder), ("herd, killed", End::Killed)],
        Kind::Herd,
        Store::EverySecond,
    ),
    (&[("Redis, append-only file", End::InOrder)], Kind::RedisSet, Store::EverySecond),
    (&[("Redis, snapshot (RDB)", End::InOrder)], Kind::RedisSet, Store::Off),
];
/// The clients that must be known after a restart.
const SAMPLES: u32 = 100;
/// The room for a client, in bytes.
const ROOM_EACH: f64 = 400.0;
/// The bound until a client is known.
const KNOWN_MAX: Duration = Duration::from_secs(120);
/// The pause between two looks at the room.
const WATCH_PAUSE: Duration = Duration::from_millis(20);
