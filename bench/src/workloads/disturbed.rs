//! Workload (i): the loss of workload (b) when a neighbour, a client or Places misbehaves.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::near::FakePlaces;
use super::{Bench, steady};
use crate::comparison::{load_for, median};
use crate::load::dialect::{Dialect, Messages};
use crate::load::{Generator, Measured};
use crate::process::free_address;
use crate::report::{Bound, Section, short, thousands};
use crate::servers::{Kind, SingleServer};
use crate::watch::{Watchers, answer};

/// Runs workload (i).
pub fn disturbed(bench: &mut Bench) -> io::Result<()> {
    let places = FakePlaces::start()?;
    let neighbour = free_address();
    let url = format!("http://{}/hanging", places.process.address);
    let server = SingleServer::start(Kind::Herd, |herd| {
        herd.places = Some(url);
        herd.places_timeout_ms = 600_000;
        herd.add_neighbour("Riley", &Watchers::name(0), neighbour);
    })?;
    Generator::connect(load_for(&server, steady::load(50, 1)))?.send(20_000)?;
    let mut section = Section::new("(i) Fifty clients during a disturbance");
    section.paragraph(
        "Workload (b) on one server of the herd, alternately without and with the disturbance. The slow neighbour \
         reads 100 kB/s, far less than it is sent. The client that never reads sends commands until the buffers \
         of both sides are full. Sixty-four WHATSATs wait for a Places that does not answer.",
    );
    let disturbances: [(&str, Begin); 3] = [
        ("a slow neighbour", slow_neighbour),
        ("a client that never reads", unread_client),
        ("Places hangs", hanging),
    ];
    let mut rows = Vec::new();
    for (title, disturb) in disturbances {
        let (mut quiet, mut loud) = (Vec::new(), Vec::new());
        for _ in 0..bench.effort.rounds {
            let measure = || {
                let load = load_for(&server, steady::load(50, 1));
                let effort = bench.effort;
                let measured =
                    Generator::connect(load)?.measure(server.process.id(), effort.warm_up, effort.time);
                server.folder.empty_logs();
                measured
            };
            quiet.push(measure()?);
            let _disturbance = disturb(server.process.address, neighbour)?;
            thread::sleep(Duration::from_millis(200));
            loud.push(measure()?);
        }
        let ratio = |figure: &dyn Fn(&Measured) -> f64| {
            median(loud.iter().zip(&quiet).map(|(loud, quiet)| figure(loud) / figure(quiet)))
        };
        let figure = |figure: &dyn Fn(&Measured) -> f64| median(loud.iter().map(figure));
        let (rate, p99) = (ratio(&|round| round.rate()), ratio(&|round| round.microseconds(0.99)));
        rows.push(vec![
            title.to_owned(),
            thousands(figure(&|round| round.rate())),
            format!("{:+.1} %", (rate - 1.0) * 100.0),
            short(figure(&|round| round.microseconds(0.99))),
            format!("{:+.1} %", (p99 - 1.0) * 100.0),
        ]);
        let mut goal = |figure: &str, loss: f64| {
            let name = format!("(i) {title}: loss of (b)'s {figure}");
            bench.report.goal(&name, Bound::AtMost, 10.0, "%", Some(loss * 100.0));
        };
        goal("rate", 1.0 - rate);
        goal("p99", p99 - 1.0);
    }
    section.table(&["", "messages/s", "against undisturbed", "p99 µs", "against undisturbed"], &rows);
    bench.report.add(section);
    Ok(())
}

/// A function that begins a disturbance. Its arguments are the addresses of the server and of its neighbour.
type Begin = fn(SocketAddr, SocketAddr) -> io::Result<Disturbance>;

/// A disturbance, which ends when it is dropped.
struct Disturbance {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _connections: Vec<TcpStream>,
}

impl Disturbance {
    fn of(connections: Vec<TcpStream>) -> Disturbance {
        Disturbance { over: Arc::default(), thread: None, _connections: connections }
    }
}

impl Drop for Disturbance {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn slow_neighbour(_: SocketAddr, neighbour: SocketAddr) -> io::Result<Disturbance> {
    let listener = TcpListener::bind(neighbour)?;
    listener.set_nonblocking(true)?;
    let over = Arc::new(AtomicBool::new(false));
    let stop = over.clone();
    let thread = thread::spawn(move || {
        let mut link: Option<TcpStream> = None;
        let mut buffer = vec![0; 1000];
        while !stop.load(Ordering::Relaxed) {
            if let Ok((stream, _)) = listener.accept() {
                let _ = stream.set_nonblocking(true);
                link = Some(stream);
            }
            if let Some(Ok(length)) = link.as_mut().map(|stream| stream.read(&mut buffer)) {
                let mut output = Vec::new();
                for line in buffer[..length].split(|&byte| byte == b'\n') {
                    answer(&Watchers::name(0), line, &mut output);
                }
                if let Some(stream) = &mut link {
                    let _ = stream.write_all(&output);
                }
            }
            thread::sleep(Duration::from_millis(10));
        }
    });
    Ok(Disturbance { over, thread: Some(thread), _connections: Vec::new() })
}

fn unread_client(server: SocketAddr, _: SocketAddr) -> io::Result<Disturbance> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nonblocking(true)?;
    let mut text = Vec::new();
    let mut messages = Messages::new(Dialect::Herd, 1000);
    (0..1000).for_each(|_| messages.statement(&mut text));
    // Until the buffers of both sides stay full.
    let mut full = 0;
    while full < 20 {
        match stream.write(&text) {
            Ok(_) => full = 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => full += 1,
            Err(error) => return Err(error),
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(Disturbance::of(vec![stream]))
}

fn hanging(server: SocketAddr, _: SocketAddr) -> io::Result<Disturbance> {
    let mut connections = Vec::new();
    for number in 0..64 {
        let mut stream = TcpStream::connect(server)?;
        stream.write_all(format!("WHATSAT {} 10 5\n", Messages::client_name(number)).as_bytes())?;
        connections.push(stream);
    }
    Ok(Disturbance::of(connections))
}
