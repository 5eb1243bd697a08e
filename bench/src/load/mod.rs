//! The load generator: many connections, one thread, a histogram of what each reply took.
//!
//! In a closed loop each connection keeps `depth` messages in flight and sends the next when a reply
//! comes. In an open loop messages are due at a fixed rate, whatever the server does, and a reply's
//! time counts from when its message was due. So a server that stalls cannot hide the stall by
//! holding back the messages that would have seen it (coordinated omission).

mod connection;
pub mod dialect;
pub mod graders;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};

use crate::process::{cpu_of, cpu_of_this_process};
use connection::Connection;
use dialect::{Dialect, Messages};

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// To whom.
    pub address: SocketAddr,
    /// In which language.
    pub dialect: Dialect,
    /// Connections.
    pub connections: usize,
    /// How many messages of a connection wait for their reply at a time.
    pub depth: usize,
    /// How many different clients speak.
    pub clients: u32,
    /// Every how many messages one asks WHATSAT; 0: none.
    pub whatsat_every: u32,
    /// Messages in a second, all connections together; none: as fast as replies come.
    pub rate: Option<u32>,
}

/// What was seen.
pub struct Measured {
    /// Nanoseconds until each reply.
    pub latency: Histogram<u64>,
    /// Replies.
    pub replies: u64,
    /// Replies that were not what they should be.
    pub wrong: u64,
    /// How long it went.
    pub elapsed: Duration,
    /// Processor time of the server.
    pub server_cpu: Duration,
    /// Processor time of this load generator.
    pub own_cpu: Duration,
}

impl Measured {
    /// Replies in a second.
    pub fn rate(&self) -> f64 {
        self.replies as f64 / self.elapsed.as_secs_f64()
    }

    /// A quantile of the latency in microseconds.
    pub fn microseconds(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// Processor time of the server for one message, in microseconds.
    pub fn server_cpu_each(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.replies.max(1) as f64
    }

    /// Processor time of the load generator for one message, in microseconds.
    pub fn own_cpu_each(&self) -> f64 {
        self.own_cpu.as_secs_f64() * 1e6 / self.replies.max(1) as f64
    }
}

/// Nanoseconds up to ten minutes, to three digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("these bounds are fine")
}

/// Connections that are open and ready to speak.
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
    /// Messages sent so far; decides which connection is next and which message is a WHATSAT.
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

    /// Warms up, then measures. `server` is the process whose processor time is counted.
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
        };
        self.drain()?;
        Ok(measured)
    }

    /// Sends exactly so many messages and waits for their replies; how long that took.
    pub fn send(&mut self, messages: u64) -> io::Result<Duration> {
        let begin = Instant::now();
        let until = self.sent + messages;
        self.run(None, Some(until))?;
        self.drain()?;
        Ok(begin.elapsed())
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

    /// Spins, because a wait of epoll is rounded up to whole milliseconds.
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

    /// Waits for the replies that are still owed, so that the next measurement begins with none.
    fn drain(&mut self) -> io::Result<()> {
        let end = Instant::now() + DRAIN_MAX;
        while self.connections.iter().any(|each| each.in_flight() > 0) {
            if Instant::now() > end {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "replies did not come"));
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
        // One clock reading for what one wait brought: the replies were all there when it returned.
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

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;
/// The longest wait for events before the end is checked.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long replies that are owed may take at the end.
const DRAIN_MAX: Duration = Duration::from_secs(20);
