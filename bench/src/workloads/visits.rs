//! Workload (d): a connection for each message.

use std::io;

use super::{Bench, steady};
use crate::comparison::{Comparison, load_for};
use crate::load::{Generator, graders};
use crate::report::{Bound, Section, plots};
use crate::servers::{Kind, SingleServer};

/// Runs workload (d).
pub fn connection_per_message(bench: &mut Bench) -> io::Result<()> {
    let servers = SingleServer::start_all(&[
        Kind::Echo,
        Kind::Herd,
        Kind::Java,
        Kind::Node,
        Kind::AsyncioProtocol,
        Kind::Asyncio,
    ])?;
    let effort = bench.effort;
    let mut section = Section::new("(d) A connection for each message");
    section.paragraph(
        "As the course's graders do it: connect, send one IAMAT, half-close, read to the end. Eight visits \
         at a time.",
    );
    for server in &servers {
        Generator::connect(load_for(server, steady::load(50, 4)))?.send(30_000)?;
        server.empty_log()?;
    }
    let comparison = Comparison::of(&servers, effort, |server| {
        let (address, dialect) = (server.process.address, server.kind.dialect());
        let time = effort.time + effort.warm_up;
        let mut measured = graders::measure(address, dialect, server.process.id(), CONCURRENCY, time)?;
        measured.log = server.log_lines(measured.replies)?;
        Ok(measured)
    })?;
    section.comparison(&comparison);
    section.plot("d-throughput.svg", "Visits per second");
    plots::rates(&bench.plot("d-throughput.svg"), "A connection for each message", &comparison)?;
    let rate = |other| comparison.herd_to(other, |round| round.rate());
    bench.report.goal("(d) rate ÷ asyncio herd's", Bound::AtLeast, 5.0, "×", rate(Kind::Asyncio));
    bench.report.goal("(d) rate ÷ Node herd's", Bound::AtLeast, 3.0, "×", rate(Kind::Node));
    bench.report.add(section);
    Ok(())
}

/// The number of concurrent visits.
const CONCURRENCY: usize = 8;
