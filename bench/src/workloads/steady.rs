//! Workloads (a), (b) and (c): one client that waits for each reply, fifty clients that wait, fifty clients
//! with several messages in flight.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::Bench;
use crate::comparison::{Comparison, load_for};
use crate::load::dialect::{Dialect, Messages};
use crate::load::{Generator, Load};
use crate::report::{Bound, Section, plots};
use crate::servers::{Kind, SingleServer};

/// A load of statements of a thousand clients. [`load_for`] sets its address and dialect.
pub fn load(connections: usize, depth: usize) -> Load {
    let placeholder = SocketAddr::from(([127, 0, 0, 1], 9));
    Load {
        address: placeholder,
        dialect: Dialect::Herd,
        connections,
        depth,
        clients: 1000,
        whatsat_every: 0,
        rate: None,
    }
}

/// Reports a client with a number that no other client has, as a marker of the last change. Returns its ID.
pub fn report_new_client(address: SocketAddr, number: u32) -> io::Result<String> {
    let client = Messages::client_name(number);
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(format!("IAMAT {client} +34.068930-118.445127 1621464827.959498503\n").as_bytes())?;
    stream.read_exact(&mut [0; 1])?;
    Ok(client)
}

/// Runs workloads (a) and (b), and (b) at a fixed rate.
pub fn one_at_a_time(bench: &mut Bench) -> io::Result<()> {
    let servers = SingleServer::start_all(&[
        Kind::Echo,
        Kind::Herd,
        Kind::RedisSet,
        Kind::Memcached,
        Kind::Nats,
        Kind::Java,
        Kind::Node,
        Kind::AsyncioProtocol,
        Kind::Asyncio,
    ])?;
    for server in &servers {
        // Lets just-in-time compilers finish.
        Generator::connect(load_for(server, load(50, 4)))?.send(30_000)?;
        server.empty_log()?;
    }
    if bench.wants('a') {
        let comparison = Comparison::of_load(&servers, bench.effort, load(1, 1))?;
        let mut section = Section::new("(a) One connection, one message at a time");
        section.paragraph(
            "The client sends an IAMAT and waits for the reply. This is the latency of an idle server.",
        );
        section.comparison(&comparison);
        section.plot("a-latency.svg", "Latency distribution with one connection");
        plots::latencies(&bench.plot("a-latency.svg"), "One client, one message at a time", &comparison)?;
        let p50 = comparison.herd_to(Kind::Echo, |round| round.microseconds(0.5));
        bench.report.goal("(a) p50 ÷ bare echo's", Bound::AtMost, 1.05, "×", p50);
        bench.report.add(section);
    }
    if bench.wants('b') {
        let comparison = Comparison::of_load(&servers, bench.effort, load(50, 1))?;
        let mut section = Section::new("(b) Fifty connections, one message at a time");
        section.paragraph(
            "Fifty clients, each of which waits for its reply. Nearly all processor time is the kernel's: a read \
             and a write for each message, in the server and in the load generator. The load generator therefore \
             takes as much time as the bare echo and may limit its rate; the processor time per message is not \
             affected.",
        );
        section.comparison(&comparison);
        section.plot("b-throughput.svg", "Messages per second with fifty connections");
        section.plot("b-latency.svg", "Latency distribution with fifty connections");
        plots::rates(&bench.plot("b-throughput.svg"), "Fifty clients, one message at a time", &comparison)?;
        plots::latencies(&bench.plot("b-latency.svg"), "Fifty clients, one message at a time", &comparison)?;
        let rate = |other| comparison.herd_to(other, |round| round.rate());
        bench.report.goal("(b) rate ÷ bare echo's", Bound::AtLeast, 0.97, "×", rate(Kind::Echo));
        bench.report.goal("(b) rate ÷ Redis SET's", Bound::AtLeast, 1.1, "×", rate(Kind::RedisSet));
        bench.report.goal("(b) rate ÷ asyncio herd's", Bound::AtLeast, 15.0, "×", rate(Kind::Asyncio));
        bench.report.goal("(b) rate ÷ Node herd's", Bound::AtLeast, 5.0, "×", rate(Kind::Node));
        bench.report.add(section);
        let at_rate = Load { rate: Some(OPEN_RATE), ..load(50, 1) };
        let comparison = Comparison::of_load(&servers, bench.effort, at_rate)?;
        let mut section = Section::new("(b′) The same in an open loop, at 10,000 messages per second");
        section.paragraph(
            "Messages are due at a fixed rate, and the latency of a reply counts from the time its message was \
             due. A pause of the server therefore shows in every message that it delays.",
        );
        section.comparison(&comparison);
        section.plot("b-open-loop.svg", "Latency distribution at a fixed rate");
        plots::latencies(&bench.plot("b-open-loop.svg"), "10,000 messages per second", &comparison)?;
        bench.report.add(section);
    }
    Ok(())
}

/// Runs workload (c).
pub fn pipelined(bench: &mut Bench) -> io::Result<()> {
    let servers = SingleServer::start_all(&[
        Kind::Echo,
        Kind::Herd,
        Kind::RedisSet,
        Kind::RedisGeoadd,
        Kind::Memcached,
        Kind::Nats,
        Kind::Java,
        Kind::Node,
        Kind::AsyncioProtocol,
        Kind::Asyncio,
    ])?;
    let clients = if bench.effort.quick { 20_000 } else { 200_000 };
    let known = |depth: usize| Load { clients, ..load(50, depth) };
    for server in &servers {
        // All clients are known before the measurement, because updates are the common case.
        Generator::connect(load_for(server, known(128)))?.send(u64::from(clients))?;
        server.empty_log()?;
    }
    for depth in [16, 128] {
        let comparison = Comparison::of_load(&servers, bench.effort, known(depth))?;
        let mut section = Section::new(&format!("(c) Fifty connections, {depth} messages in flight on each"));
        section.paragraph(&format!(
            "{clients} clients, all of them known. The kernel's share is small here, so that the server's own \
             work per message shows."
        ));
        section.comparison(&comparison);
        let file = format!("c-throughput-{depth}.svg");
        section.plot(&file, "Messages per second, pipelined");
        plots::rates(
            &bench.plot(&file),
            &format!("Fifty clients, {depth} messages in flight on each"),
            &comparison,
        )?;
        let rate = |other| comparison.herd_to(other, |round| round.rate());
        let mut goal = |name: &str, other, goal| {
            let name = format!("(c) 50 × {depth}: rate ÷ {name}'s");
            bench.report.goal(&name, Bound::AtLeast, goal, "×", rate(other));
        };
        goal("Redis SET", Kind::RedisSet, 2.5);
        goal("Redis GEOADD", Kind::RedisGeoadd, 4.0);
        goal("NATS publish", Kind::Nats, 1.0);
        bench.report.add(section);
    }
    Ok(())
}

/// A rate that every contender can serve, in messages per second.
const OPEN_RATE: u32 = 10_000;
