//! Workload (n): the cost of TLS for connections: redials, idle ones, half-done handshakes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use socket2::{Domain, Socket, Type};

use super::idle::allow_descriptors;
use super::{Bench, steady};
use crate::comparison::{load_for, median};
use crate::load::{Generator, Load, Measured};
use crate::process::free_address;
use crate::report::{Bound, Section, short, thousands};
use crate::servers::herd_file::Links;
use crate::servers::{Kind, SingleServer};
use crate::watch::Watchers;
use crate::wire::{Keys, Wire, client_hello, without_resumption};

/// Runs workload (n).
pub fn handshakes(bench: &mut Bench) -> io::Result<()> {
    allow_descriptors()?;
    let mut section = Section::new("(n) TLS: redials, idle connections, half-done handshakes");
    redials(bench, &mut section)?;
    idle(bench, &mut section)?;
    half_done(bench, &mut section)?;
    bench.report.add(section);
    Ok(())
}

/// A server with a number of neighbours, which the bench is. Without `Links::Tls` there are no keys.
fn server(links: Links, neighbours: usize) -> io::Result<(SingleServer, Option<Keys>)> {
    let server = SingleServer::start(Kind::Herd, |herd| {
        herd.links = links;
        for number in 0..neighbours {
            herd.add_neighbour("Riley", &Watchers::name(number), free_address());
        }
    })?;
    let keys = (links == Links::Tls).then(|| Keys::make(server.folder.path())).transpose()?;
    Ok((server, keys))
}

type Settings<'a> = Option<&'a Arc<ClientConfig>>;

/// Connects, sends a line, and waits for the first byte of the reply.
fn ask(server: &SingleServer, settings: Settings<'_>, line: &str, begins: u8) -> io::Result<Wire<TcpStream>> {
    let stream = TcpStream::connect(server.process.address)?;
    stream.set_nodelay(true)?;
    let mut wire = Wire::dialled(stream, "Riley", settings)?;
    wire.write_all(line.as_bytes())?;
    wire.flush()?;
    let mut reply = [0; 256];
    let length = wire.read(&mut reply)?;
    if length > 0 && reply[0] == begins {
        return Ok(wire);
    }
    Err(io::Error::other(format!("reply to {line:?}: {:?}", String::from_utf8_lossy(&reply[..length]))))
}

/// Says HELLO as a neighbour, and waits for WELCOME.
fn hello(server: &SingleServer, settings: Settings<'_>, name: &str) -> io::Result<Wire<TcpStream>> {
    ask(server, settings, &format!("HELLO herd/1 bench {name} 0123456789abcdef\n"), b'W')
}

fn redials(bench: &Bench, section: &mut Section) -> io::Result<()> {
    let (plain, _) = server(Links::Plain, 1)?;
    let (secured, keys) = server(Links::Tls, 1)?;
    let name = Watchers::name(0);
    let resuming = Arc::new(keys.as_ref().expect("the keys of TLS links").dialling(&name)?);
    let ways: [(&str, &SingleServer, Settings<'_>); 3] = [
        ("plain text", &plain, None),
        ("TLS, a new session", &secured, Some(&without_resumption(&resuming))),
        ("TLS, a resumed session", &secured, Some(&resuming)),
    ];
    // The first ticket.
    hello(&secured, Some(&resuming), &name)?;
    let redials = if bench.effort.quick { 100 } else { 500 };
    let mut medians = [const { Vec::new() }; 3];
    let mut costs = [const { Vec::new() }; 3];
    for _ in 0..bench.effort.rounds {
        for (number, (title, server, settings)) in ways.iter().enumerate() {
            let before = crate::process::cpu_of(server.process.id());
            let mut times = Vec::new();
            for _ in 0..redials {
                let begin = Instant::now();
                let link = hello(server, *settings, &name)?;
                times.push(begin.elapsed().as_secs_f64() * 1e6);
                if link.is_resumed() != (number == 2) {
                    return Err(io::Error::other(format!("{title}: resumed: {}", link.is_resumed())));
                }
            }
            medians[number].push(median(times));
            let cpu = crate::process::cpu_of(server.process.id()) - before;
            costs[number].push(cpu.as_secs_f64() * 1e6 / f64::from(redials));
        }
    }
    section.paragraph(
        "**Redials.** The bench dials one server as a neighbour, again and again: the time from the dial to WELCOME. \
         TLS is a handshake with the certificates of both sides.",
    );
    let figure = |values: &Vec<f64>| short(median(values.iter().copied()));
    let rows: Vec<_> = ways
        .iter()
        .zip(medians.iter().zip(&costs))
        .map(|((title, ..), (time, cost))| vec![(*title).to_owned(), figure(time), figure(cost)])
        .collect();
    section.table(&["a redial in", "p50 µs until WELCOME", "CPU µs of the server"], &rows);
    Ok(())
}

fn idle(bench: &Bench, section: &mut Section) -> io::Result<()> {
    let clients = if bench.effort.quick { 2_000 } else { 10_000 };
    let mut rows = Vec::new();
    for (title, links) in [("plain text", Links::Plain), ("TLS", Links::Tls)] {
        let (server, keys) = server(links, NEIGHBOURS + 1)?;
        let settings = keys.as_ref().map(Keys::client).transpose()?.map(Arc::new);
        let ping = || ask(&server, settings.as_ref(), "PING\n", b'?');
        let linked = |number: usize| {
            let name = Watchers::name(number);
            let settings = keys.as_ref().map(|keys| keys.dialling(&name)).transpose()?.map(Arc::new);
            hello(&server, settings.as_ref(), &name)
        };
        // Allocates what a server needs only once.
        let load = load_for(&server, steady::load(50, 1));
        Generator::connect(load)?.send(20_000)?;
        let _warm = (ping()?, linked(NEIGHBOURS)?);
        let grown = |before: u64| {
            thread::sleep(SETTLED);
            server.process.memory().saturating_sub(before) as f64
        };
        thread::sleep(SETTLED);
        let before = server.process.memory();
        let connections = (0..clients).map(|_| ping()).collect::<io::Result<Vec<_>>>()?;
        let client = grown(before) / clients as f64;
        let before = server.process.memory();
        let neighbours = (0..NEIGHBOURS).map(linked).collect::<io::Result<Vec<_>>>()?;
        let link = grown(before) / NEIGHBOURS as f64;
        drop((connections, neighbours));
        rows.push(vec![title.to_owned(), thousands(client), thousands(link)]);
    }
    section.paragraph(&format!(
        "**Idle connections.** The growth of the server's memory (RSS) with {} clients that have had one reply, and with \
         {NEIGHBOURS} neighbours that have said HELLO, divided by their numbers.",
        thousands(clients as f64)
    ));
    section.table(&["", "bytes for a client", "bytes for a link that a neighbour has dialled"], &rows);
    Ok(())
}

fn half_done(bench: &mut Bench, section: &mut Section) -> io::Result<()> {
    let count = if bench.effort.quick { 3_000 } else { 10_000 };
    let (server, keys) = server(Links::Tls, 0)?;
    let settings = Arc::new(keys.as_ref().expect("the keys of TLS links").client()?);
    let hello = client_hello(settings)?;
    let half = &hello[..hello.len() / 2];
    let address = server.process.address;
    let effort = bench.effort;
    Generator::connect(load_for(&server, steady::load(50, 1)))?.send(20_000)?;
    let measure = || {
        let load = Load { rate: Some(RATE), ..load_for(&server, steady::load(50, 1)) };
        let measured = Generator::connect(load)?.measure(server.process.id(), effort.warm_up, effort.time);
        server.folder.empty_logs();
        measured
    };
    // First, because other connections would leave memory that is used again.
    let before = server.process.memory();
    crowded(address, half, count, measure)?;
    let most = server.process.memory_max();
    let grown = most.saturating_sub(before);
    let (mut without, mut plain, mut with) = (Vec::new(), Vec::new(), Vec::new());
    let mut ended = usize::MAX;
    for _ in 0..effort.rounds {
        without.push(measure()?);
        plain.push(crowded(address, b"half a li", count, measure)?.0);
        thread::sleep(SETTLED);
        let (measured, replaced) = crowded(address, half, count, measure)?;
        with.push(measured);
        ended = ended.min(replaced);
        thread::sleep(SETTLED);
    }
    if ended == 0 {
        return Err(io::Error::other("the server has ended no half-done handshake"));
    }
    let row = |title: &str, rounds: &[Measured]| {
        let figure = |quantile: f64| short(median(rounds.iter().map(|each| each.microseconds(quantile))));
        let cpu = short(median(rounds.iter().map(Measured::server_cpu_each)));
        vec![title.to_owned(), figure(0.5), figure(0.99), figure(0.999), cpu]
    };
    let crowd = thousands(count as f64);
    section.paragraph(&format!(
        "**Half-done handshakes.** Fifty clients at {} messages per second in an open loop: alone, while {crowd} \
         connections stand that have sent half a line, and while {crowd} stand that have sent half a ClientHello. The \
         server keeps at most 64 of these handshakes and ends the others; the bench begins new ones in their place, \
         {AGAIN} each {} ms. It keeps its side of all connections open.",
        thousands(f64::from(RATE)),
        AGAIN_EACH.as_millis(),
    ));
    section.table(
        &["", "p50 µs", "p99", "p99.9", "CPU µs each"],
        &[
            row("alone", &without),
            row(&format!("{crowd} half lines"), &plain),
            row(&format!("{crowd} half-done handshakes"), &with),
        ],
    );
    section.paragraph(&format!(
        "In each round at least {} handshakes were begun in the place of ended ones. The memory of the fresh server grew \
         by at most {} kB with the half-done handshakes, to {} MB.",
        thousands(ended as f64),
        thousands(grown as f64 / 1e3),
        short(most as f64 / 1e6)
    ));
    let ratios =
        with.iter().zip(&without).map(|(with, without)| with.microseconds(0.99) / without.microseconds(0.99));
    let name = format!("(n) {crowd} half-done handshakes: p99 of others ÷ without");
    bench.report.goal(&name, Bound::AtMost, 1.1, "×", Some(median(ratios)));
    let name = format!("(n) {crowd} half-done handshakes: growth of memory");
    bench.report.goal(&name, Bound::AtMost, GROWTH_KB_MAX, "kB", Some(grown as f64 / 1e3));
    Ok(())
}

/// Opens connections that send `bytes` and no more, and measures while they stand. Returns also how many were opened
/// in the place of others that the server had ended.
fn crowded(
    address: SocketAddr,
    bytes: &[u8],
    count: usize,
    measure: impl FnOnce() -> io::Result<Measured>,
) -> io::Result<(Measured, usize)> {
    let mut crowd = Vec::with_capacity(count);
    for number in 0..count {
        crowd.push(begun(address, number, bytes)?);
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let again = scope.spawn(|| {
            let (mut next, mut replaced) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                for _ in 0..AGAIN {
                    // Only those that the server has ended.
                    if has_ended(&mut crowd[next]) {
                        crowd[next] = begun(address, next, bytes)?;
                        replaced += 1;
                    }
                    next = (next + 1) % count;
                }
                thread::sleep(AGAIN_EACH);
            }
            Ok(replaced)
        });
        let measured = measure();
        over.store(true, Ordering::Relaxed);
        let replaced = again.join().unwrap_or_else(|_| Err(io::Error::other("the crowd failed")));
        Ok((measured?, replaced?))
    })
}

/// A connection that has sent `bytes`. Each thousand has a source address of its own, since a server may bound the
/// connections of an address.
fn begun(address: SocketAddr, number: usize, bytes: &[u8]) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let source = Ipv4Addr::new(127, 0, 1, 1 + (number / 1000) as u8);
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    // The server may have ended it already.
    let _ = stream.write_all(bytes);
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn has_ended(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Neighbours whose links are measured; a herd has at most 128 servers.
const NEIGHBOURS: usize = 100;
/// Messages per second of the fifty clients: a fraction of what a server can do, so that a slow reply is a long turn
/// and not a queue.
const RATE: u32 = 10_000;
/// Handshakes that begin at the same time while others are measured.
const AGAIN: usize = 16;
/// The time between these.
const AGAIN_EACH: Duration = Duration::from_millis(20);
/// The time after which memory no longer changes.
const SETTLED: Duration = Duration::from_millis(300);
/// 64 sessions of some 30 kB, and as much again for the entries of the connections of one turn.
const GROWTH_KB_MAX: f64 = 4096.0;
