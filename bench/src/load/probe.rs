//! Probes: statements of one client that are timed, while other connections send statements of many other
//! clients at a fixed rate.
//!
//! One thread sends both, in an open loop that never waits for the server. So a long turn of the server delays
//! the replies to all probes that were sent meanwhile, but not the sending of them. Other programs on the
//! machine delay replies, too. The time in which they did is subtracted in a second histogram.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::connection::Connection;
use super::dialect::{Dialect, Messages};
use super::waits::{Threads, Waits};
use super::{BUFFER, DRAIN_MAX, histogram};

/// A client that is timed, and the connections of the others.
pub struct Probe {
    /// The process ID of the server.
    server: u32,
    poll: Poll,
    events: Events,
    /// The connection of the client that is timed, then the others.
    connections: Vec<Connection>,
    own: Messages,
    others: Messages,
    /// The latencies of the others, which are not reported.
    unused: Histogram<u64>,
    buffer: Vec<u8>,
    epoch: Instant,
    sent: u64,
    /// The probes in flight: their times, and the waits for a processor before them.
    in_flight: VecDeque<(u64, Waits)>,
    /// The waits when the next reply to a probe had not arrived.
    missing: Waits,
    /// The timer that ends each wait; `None`: it never waits.
    ticks: Option<OwnedFd>,
}

/// The result of a run.
pub struct Probed {
    /// The latencies of the replies to the probes, in nanoseconds.
    pub latency: Histogram<u64>,
    /// The number of wrong replies to any client.
    pub wrong: u64,
    /// The statements per second of the other clients.
    pub rate: f64,
    /// The latencies without the time in which the server or the load generator waited for a processor that
    /// other programs used.
    pub undisturbed: Histogram<u64>,
}

impl Probe {
    /// Connects to a server of a herd, with the process ID `server`. The other connections send statements of `clients` clients.
    pub fn connect(server: u32, address: SocketAddr, clients: u32) -> io::Result<Probe> {
        let poll = Poll::new()?;
        let connections = (0..=CONNECTIONS)
            .map(|number| Connection::open(&poll, Token(number), address, Dialect::Herd))
            .collect::<io::Result<_>>()?;
        Ok(Probe {
            server,
            poll,
            events: Events::with_capacity(64),
            connections,
            own: Messages::of_clients(Dialect::Herd, clients, 1),
            others: Messages::new(Dialect::Herd, clients),
            unused: histogram(),
            buffer: vec![0; BUFFER],
            epoch: Instant::now(),
            sent: 0,
            in_flight: VecDeque::new(),
            missing: Waits::default(),
            ticks: None,
        })
    }

    /// Has it sleep while nothing is due, so that its processor is free for other threads of the bench. Messages are
    /// then up to a tick late.
    pub fn sleeping(mut self) -> io::Result<Probe> {
        let ticks =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let each = Timespec { tv_sec: 0, tv_nsec: TICK };
        let spec = Itimerspec { it_interval: each, it_value: each };
        timerfd_settime(&ticks, TimerfdTimerFlags::empty(), &spec)?;
        self.poll.registry().register(&mut SourceFd(&ticks.as_raw_fd()), TICKS, Interest::READABLE)?;
        self.ticks = Some(ticks);
        Ok(self)
    }

    /// Sends `count` statements of the other clients at `rate` per second, and probes meanwhile.
    pub fn run(&mut self, count: u64, rate: u64) -> io::Result<Probed> {
        let mut probed = Probed { latency: histogram(), undisturbed: histogram(), wrong: 0, rate: 0.0 };
        let threads = Threads::of(self.server)?;
        let begin = self.now();
        // After a pause it sends at most twice as fast, because a large batch would delay a probe by itself.
        let batch_max = 2 * rate * BATCH_EVERY / 1_000_000_000;
        let (mut sent, mut batches, mut probes) = (0, 0, 0);
        while sent < count {
            let now = self.now();
            if (now - begin) / PROBE_EVERY > probes {
                // Not more than one at a time, if the load generator itself was late.
                probes = (now - begin) / PROBE_EVERY;
                // The time last, so that a wait before it is not part of the latency.
                let waits = threads.waits();
                let now = self.now();
                self.in_flight.push_back((now, waits));
                self.connections[0].compose(&mut self.own, false, now);
                self.connections[0].write()?;
                self.sent += 1;
            }
            if (now - begin) / BATCH_EVERY > batches {
                batches += 1;
                let number = 1 + batches as usize % CONNECTIONS;
                let due = (batches * BATCH_EVERY * rate / 1_000_000_000).min(count);
                if self.connections[number].in_flight() < IN_FLIGHT_MAX {
                    let batch = due.saturating_sub(sent).min(batch_max);
                    for _ in 0..batch {
                        self.connections[number].compose(&mut self.others, false, now);
                    }
                    sent += batch;
                    self.sent += batch;
                }
                self.connections[number].write()?;
            }
            self.receive(&threads, &mut probed)?;
        }
        let end = Instant::now() + DRAIN_MAX;
        while self.connections.iter().any(|each| each.in_flight() > 0) {
            if Instant::now() > end {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "not all replies arrived"));
            }
            self.receive(&threads, &mut probed)?;
        }
        probed.rate = count as f64 / Duration::from_nanos(self.now() - begin).as_secs_f64();
        Ok(probed)
    }

    /// The number of all messages so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// Reads all replies that have arrived.
    fn receive(&mut self, threads: &Threads, probed: &mut Probed) -> io::Result<()> {
        // Before the poll, so that a wait within it counts.
        let looked = if self.in_flight.is_empty() { Waits::default() } else { threads.waits() };
        let patience = if self.ticks.is_some() { None } else { Some(Duration::ZERO) };
        match self.poll.poll(&mut self.events, patience) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        if let Some(ticks) =
            self.ticks.as_ref().filter(|_| self.events.iter().any(|event| event.token() == TICKS))
        {
            // The timer goes on only after it was read.
            let _ = rustix::io::read(ticks, &mut [0; 8]);
        }
        let now = self.now();
        // The probe first, so that reading the other replies does not count.
        for number in 0..self.connections.len() {
            if self.events.iter().any(|event| event.token() == Token(number)) {
                let latency = match number {
                    0 => &mut probed.latency,
                    _ => &mut self.unused,
                };
                let connection = &mut self.connections[number];
                let seen = connection.read(&mut self.buffer, now, latency)?;
                connection.write()?;
                probed.wrong += seen.wrong;
                let replies = if number == 0 { seen.replies as usize } else { 0 };
                let waits = if replies > 0 { threads.waits() } else { Waits::default() };
                for (from, before) in self.in_flight.drain(..replies.min(self.in_flight.len())) {
                    let latency = Duration::from_nanos(now.saturating_sub(from));
                    let undisturbed = latency.saturating_sub(Waits::delay(before, self.missing, waits));
                    probed.undisturbed.saturating_record((undisturbed.as_nanos() as u64).max(1));
                }
            }
        }
        self.missing = looked;
        Ok(())
    }
}

/// The nanoseconds between two ticks: a tenth of the time between two batches.
const TICK: i64 = 100_000;
/// The token of the timer.
const TICKS: Token = Token(usize::MAX);
/// The connections of the other clients.
const CONNECTIONS: usize = 8;
/// The nanoseconds between two probes. Not a divisor or a multiple of the time of a batch, so that probes meet
/// the server at all times between batches.
const PROBE_EVERY: u64 = 700_000;
/// The nanoseconds between two batches of the other clients. Larger batches would be a long queue in front of
/// a probe, smaller ones would cost a system call for few statements.
const BATCH_EVERY: u64 = 1_000_000;
/// The statements in flight on a connection above which no further are sent on it: all connections together
/// have two milliseconds of work for a server that is behind, and not a growing queue.
const IN_FLIGHT_MAX: usize = 500;
