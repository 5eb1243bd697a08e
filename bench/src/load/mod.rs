//! The load generator: many connections in one thread, and a histogram of the latencies.
//!
//! In a closed loop each connection keeps `depth` messages in flight and sends the next one when a reply
//! arrives. In an open loop messages are due at a fixed rate, and the latency of a reply counts from the time
//! its message was due. A server that stalls can therefore not hide the stall by delaying messages
//! (coordinated omission).

pub mod audience;
mod connection;
pub mod dialect;
pub mod graders;
pub mod nearest;
pub mod probe;
mod waits;
mod web_replies;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};

use crate::process::{cpu_of, cpu_of_this_process};
use crate::traffic_log::LogLines;
use connection::Connection;
use dialect::{Dialect, Messages};

/// The parameters of a load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The address of the server.
    pub address: SocketAddr,
    /// The protocol of the server.
    pub dialect: Dialect,
    /// The number of connections.
    pub connections: usize,
    /// The number of messages in flight on each connection.
    pub depth: usize,
    /// The number of client IDs.
    pub clients: u32,
    /// Every how many messages one is a WHATSAT, or a GET; 0: none.
    pub whatsat_every: u32,
    /// The messages per second of all connections, in an open loop; `None`: a closed loop.
    pub rate: Option<u32>,
}

/// The result of a measurement.
pub struct Measured {
    /// The latencies, in nanoseconds.
    pub latency: Histogram<u64>,
    /// The number of replies.
    pub replies: u64,
    /// The number of wrong replies.
    pub wrong: u64,
    /// The duration.
    pub elapsed: Duration,
    /// The processor time of the server.
    pub server_cpu: Duration,
    /// The processor time of the load generator.
    pub own_cpu: Duration,
    /// The lines of the server's log, if they were counted.
    pub log: Option<LogLines>,
}

impl Measured {
    /// The number of lines that the server's log has lost.
    pub fn log_lost(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.lost)
    }

    /// The replies per second.
    pub fn rate(&self) -> f64 {
        self.replies as f64 / self.elapsed.as_secs_f64()
    }

    /// A quantile of the latency in microseconds.
    pub fn microseconds(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// The server's processor time per message, in microseconds.
    pub fn server_cpu_each(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.replies.max(1) as f64
    }

    /// The load generator's processor time per message, in microseconds.
    pub fn own_cpu_each(&self) -> f64 {
        self.own_cpu.as_secs_f64() * 1e6 / self.replies.max(1) as f64
    }
}

/// A histogram of nanoseconds up to ten minutes, with three significant digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("valid bounds")
}

/// A load generator with open connections.
pub struct Generator {
    load: Load,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    messages: Messages,
    buffer: Vec<u8>,
    epoch: Instant,
    latency: Histogram<u64>,
    replies: u64,
    wrong: u64,
    /// The number of messages sent so far. It selects the next connection, and the messages that are
    /// WHATSATs.
    sent: u64,
}

impl Generator {
    /// Opens the connections.
    pub fn connect(load: Load) -> io::Result<Generator> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(load.connections);
        for number in 0..load.connections {
            connections.push(Connection::open(&poll, Token(number), load.address, load.dialect)?);
        }
        Ok(Generator {
            messages: Messages::new(load.dialect, load.clients),
            load,
            poll,
            events: Events::with_capacity(1024),
            connections,
            buffer: vec![0; BUFFER],
            epoch: Instant::now(),
            latency: histogram(),
            replies: 0,
            wrong: 0,
            sent: 0,
        })
    }

    /// Warms up, then measures. `server` is the process ID of the server.
    pub fn measure(&mut self, server: u32, warm_up: Duration, time: Duration) -> io::Result<Measured> {
        self.run(Some(warm_up), None)?;
        self.reset();
        let (server_before, own_before) = (cpu_of(server), cpu_of_this_process());
        let begin = Instant::now();
        self.run(Some(time), None)?;
        let elapsed = begin.elapsed();
        let measured = Measured {
            latency: self.latency.clone(),
            replies: self.replies,
            wrong: self.wrong,
            elapsed,
            server_cpu: cpu_of(server).saturating_sub(server_before),
            own_cpu: cpu_of_this_process().saturating_sub(own_before),
            log: None,
        };
        self.drain()?;
        Ok(measured)
    }

    /// Sends a number of messages and waits for all replies. Returns the duration.
    pub fn send(&mut self, messages: u64) -> io::Result<Duration> {
        let begin = Instant::now();
        let until = self.sent + messages;
        self.run(None, Some(until))?;
        self.drain()?;
        Ok(begin.elapsed())
    }

    /// The number of messages sent so far, the warm-up included.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    fn reset(&mut self) {
        self.latency.reset();
        self.replies = 0;
        self.wrong = 0;
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    fn run(&mut self, time: Option<Duration>, until: Option<u64>) -> io::Result<()> {
        let begin = self.now();
        let end = time.map_or(u64::MAX, |time| begin + time.as_nanos() as u64);
        let until = until.unwrap_or(u64::MAX);
        match self.load.rate {
            Some(rate) => self.open_loop(begin, end, u64::from(rate)),
            None => self.closed_loop(end, until),
        }
    }

    fn closed_loop(&mut self, end: u64, until: u64) -> io::Result<()> {
        for number in 0..self.connections.len() {
            self.top_up(number, until);
            self.connections[number].write()?;
        }
        loop {
            let now = self.now();
            if now >= end || (self.sent >= until && self.connections.iter().all(|each| each.in_flight() == 0))
            {
                return Ok(());
            }
            self.turn(Some(Duration::from_nanos(end - now).min(PATIENCE)), until)?;
        }
    }

    /// Busy-waits, because epoll rounds timeouts up to whole milliseconds.
    fn open_loop(&mut self, begin: u64, end: u64, rate: u64) -> io::Result<()> {
        let mut due_messages = 0;
        loop {
            let now = self.now();
            if now >= end {
                return Ok(());
            }
            let due_now = (now - begin) * rate / 1_000_000_000;
            while due_messages < due_now {
                let due = begin + due_messages * 1_000_000_000 / rate;
                let number = self.sent as usize % self.connections.len();
                self.compose(number, due);
                self.connections[number].write()?;
                due_messages += 1;
            }
            self.turn(Some(Duration::ZERO), 0)?;
        }
    }

    /// Waits for all pending replies, so that the next measurement begins with none in flight.
    fn drain(&mut self) -> io::Result<()> {
        let end = Instant::now() + DRAIN_MAX;
        while self.connections.iter().any(|each| each.in_flight() > 0) {
            if Instant::now() > end {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "not all replies arrived"));
            }
            self.turn(Some(PATIENCE), 0)?;
        }
        Ok(())
    }

    fn turn(&mut self, patience: Option<Duration>, until: u64) -> io::Result<()> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let polled = self.poll.poll(&mut events, patience);
        self.events = events;
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        // One clock reading for all events of one poll: their replies had arrived when it returned.
        let now = self.now();
        let tokens: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
        for number in tokens {
            let connection = &mut self.connections[number];
            let seen = connection.read(&mut self.buffer, now, &mut self.latency)?;
            self.replies += seen.replies;
            self.wrong += seen.wrong;
            if self.load.rate.is_none() {
                self.top_up(number, until);
            }
            self.connections[number].write()?;
        }
        Ok(())
    }

    fn top_up(&mut self, number: usize, until: u64) {
        let now = self.now();
        while self.connections[number].in_flight() < self.load.depth && self.sent < until {
            self.compose(number, now);
        }
    }

    fn compose(&mut self, number: usize, from: u64) {
        self.sent += 1;
        let every = u64::from(self.load.whatsat_every);
        let whatsat = every > 0 && self.sent.is_multiple_of(every);
        self.connections[number].compose(&mut self.messages, whatsat, from);
    }
}

/// The greatest number of bytes of one read.
const BUFFER: usize = 256 * 1024;
/// The longest poll before the end of the measurement is checked.
const PATIENCE: Duration = Duration::from_millis(50);
/// The bound for pending replies at the end.
const DRAIN_MAX: Duration = Duration::from_secs(20);
