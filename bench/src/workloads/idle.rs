//! Workload (g): ten thousand idle connections.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Bench, steady};
use crate::comparison::{Effort, load_for, median};
use crate::load::{Generator, Measured};
use crate::report::{Bound, Section, short, thousands};
use crate::servers::{Kind, SingleServer};

/// Runs workload (g).
pub fn idle(bench: &mut Bench) -> io::Result<()> {
    allow_descriptors()?;
    let count = if bench.effort.quick { COUNT_QUICK } else { COUNT };
    let mut section = Section::new(&format!("(g) {} idle connections", thousands(count as f64)));
    section.paragraph(
        "The growth of the server's memory (RSS) with the connections, divided by their number. The kernel's \
         memory for a socket is the same for all servers and not counted.",
    );
    let mut rows = Vec::new();
    for kind in [
        Kind::Herd,
        Kind::Echo,
        Kind::RedisSet,
        Kind::Nats,
        Kind::Java,
        Kind::Node,
        Kind::AsyncioProtocol,
        Kind::Asyncio,
    ] {
        if !kind.is_present() {
            continue;
        }
        let (each, before) = bytes_per_connection(kind, count)?;
        rows.push(vec![kind.name().to_owned(), thousands(each), short(before as f64 / 1e6)]);
        if kind == Kind::Herd {
            bench.report.goal("(g) RSS for an idle connection", Bound::AtMost, 300.0, "bytes", Some(each));
        }
    }
    section.table(&["server", "bytes per connection", "MB without them"], &rows);
    section.paragraph("Workload (b) on the herd, with and without idle connections:");
    let rows = meanwhile(bench.effort, count)?;
    section.table(&["", "messages/s", "p50 µs", "p99 µs"], &rows);
    bench.report.add(section);
    Ok(())
}

/// Lets the bench, and servers that it starts, open as many files as the system allows.
pub fn allow_descriptors() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(())
}

/// The growth of a server's memory for each of `count` idle connections, and its memory without them, in bytes.
pub fn bytes_per_connection(kind: Kind, count: usize) -> io::Result<(f64, u64)> {
    let server = SingleServer::start(kind, |_| {})?;
    // Allocates what a server needs only once.
    let load = load_for(&server, steady::load(50, 1));
    Generator::connect(load)?.send(20_000)?;
    thread::sleep(Duration::from_millis(100));
    let before = server.process.memory();
    let idle = open(server.process.address, count)?;
    thread::sleep(Duration::from_millis(300));
    let each = server.process.memory().saturating_sub(before) as f64 / idle.len() as f64;
    Ok((each, before))
}

fn meanwhile(effort: Effort, count: usize) -> io::Result<Vec<Vec<String>>> {
    let server = SingleServer::start(Kind::Herd, |_| {})?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds.min(3) {
        let measure = || {
            let load = load_for(&server, steady::load(50, 1));
            Generator::connect(load)?.measure(server.process.id(), effort.warm_up, effort.time)
        };
        without.push(measure()?);
        let idle = open(server.process.address, count)?;
        with.push(measure()?);
        drop(idle);
        thread::sleep(Duration::from_millis(300));
        server.folder.empty_logs();
    }
    let row = |name: &str, rounds: &[Measured]| {
        let figure = |figure: &dyn Fn(&Measured) -> f64| median(rounds.iter().map(figure));
        vec![
            name.to_owned(),
            thousands(figure(&|round| round.rate())),
            short(figure(&|round| round.microseconds(0.5))),
            short(figure(&|round| round.microseconds(0.99))),
        ]
    };
    Ok(vec![row("without", &without), row("with", &with)])
}

fn open(address: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut idle = Vec::with_capacity(count);
    for number in 0..count {
        idle.push(TcpStream::connect(address)?);
        // No more at once than fit the backlog of a server.
        if number % 250 == 249 {
            thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(idle)
}

const COUNT: usize = 10_000;
/// In a quick run.
const COUNT_QUICK: usize = 3_000;
