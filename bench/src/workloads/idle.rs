//! (g): ten thousand connections that say nothing.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Bench, steady};
use crate::comparison::{Effort, load_for, median};
use crate::load::{Generator, Measured};
use crate::report::{Bound, Section, short, thousands};
use crate::servers::{Alone, Kind};

/// (g).
pub fn idle(bench: &mut Bench) -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let count = if bench.effort.quick { COUNT_QUICK } else { COUNT };
    let said = thousands(count as f64);
    let mut section = Section::new(&format!("(g) {said} connections that say nothing"));
    section.paragraph(
        "Memory that the server holds (RSS) with the connections less that before, divided by their number. \
         The kernel's own memory for a socket, which no server can change, is not counted.",
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
        let server = Alone::start(kind, |_| {})?;
        // What a server needs only once is there before it is measured.
        let load = load_for(&server, steady::load(50, 1));
        Generator::connect(load)?.send(20_000)?;
        thread::sleep(Duration::from_millis(100));
        let before = server.process.memory();
        let held = open(server.process.address, count)?;
        thread::sleep(Duration::from_millis(300));
        let each = server.process.memory().saturating_sub(before) as f64 / held.len() as f64;
        rows.push(vec![kind.name().to_owned(), thousands(each), short(before as f64 / 1e6)]);
        if kind == Kind::Herd {
            bench.report.goal("(g) RSS for an idle connection", Bound::AtMost, 300.0, "bytes", Some(each));
        }
    }
    section.table(&["server", "bytes for a connection", "MB without them"], &rows);
    section.paragraph("Workload (b) at the herd, with and without them:");
    let rows = meanwhile(bench.effort, count)?;
    section.table(&["", "messages/s", "p50 µs", "p99 µs"], &rows);
    bench.report.add(section);
    Ok(())
}

fn meanwhile(effort: Effort, count: usize) -> io::Result<Vec<Vec<String>>> {
    let server = Alone::start(Kind::Herd, |_| {})?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds.min(3) {
        let measure = || {
            let load = load_for(&server, steady::load(50, 1));
            Generator::connect(load)?.measure(server.process.id(), effort.warm_up, effort.time)
        };
        without.push(measure()?);
        let held = open(server.process.address, count)?;
        with.push(measure()?);
        drop(held);
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
    Ok(vec![row("without", &without), row("with them", &with)])
}

fn open(address: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut held = Vec::with_capacity(count);
    for number in 0..count {
        held.push(TcpStream::connect(address)?);
        // No more at once than a server's backlog holds.
        if number % 250 == 249 {
            thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(held)
}

const COUNT: usize = 10_000;
/// In a quick run.
const COUNT_QUICK: usize = 3_000;
