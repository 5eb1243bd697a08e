//! Watchers: the bench acts as a neighbour of each observed server, and records when a statement arrives. A
//! server sends a statement to its neighbours once it is stored, so that is the time at which it is visible
//! there.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustls::ServerConfig;

use crate::load::dialect::{Dialect, Messages};
use crate::process::free_address;
use crate::wire::{Keys, Wire};

/// A client of one server, and a neighbour of each observed server.
pub struct Watchers {
    poll: Poll,
    events: Events,
    watchers: Vec<Watcher>,
    client: Option<TcpStream>,
    messages: Messages,
    unsent: Vec<u8>,
    replies: u64,
    buffer: Vec<u8>,
}

struct Watcher {
    name: String,
    listener: TcpListener,
    address: SocketAddr,
    /// The settings of TLS; `None`: links are plain text.
    config: Option<Arc<ServerConfig>>,
    stream: Option<Wire<TcpStream>>,
    input: Vec<u8>,
    statements: u64,
    /// The time of its last ACK.
    acknowledged: Instant,
}

/// The delays of one statement, from its sending.
pub struct Delays {
    /// The delay of its reply.
    pub reply: Duration,
    /// The delay at each observed server.
    pub watched: Vec<Duration>,
}

impl Watchers {
    /// Creates a number of watchers, each of which listens.
    pub fn listen(count: usize, dialect: Dialect, clients: u32) -> io::Result<Watchers> {
        let poll = Poll::new()?;
        let mut watchers = Vec::new();
        for number in 0..count {
            let address = free_address();
            let mut listener = TcpListener::bind(address)?;
            poll.registry().register(&mut listener, Token(2 * number), Interest::READABLE)?;
            watchers.push(Watcher {
                name: Watchers::name(number),
                listener,
                address,
                config: None,
                stream: None,
                input: Vec::new(),
                statements: 0,
                acknowledged: Instant::now(),
            });
        }
        Ok(Watchers {
            poll,
            events: Events::with_capacity(1024),
            watchers,
            client: None,
            messages: Messages::new(dialect, clients),
            unsent: Vec::new(),
            replies: 0,
            buffer: vec![0; 256 * 1024],
        })
    }

    /// The name of a watcher in a herd file.
    pub fn name(number: usize) -> String {
        format!("Watcher{number:02}")
    }

    /// The address of a watcher.
    pub fn address(&self, number: usize) -> SocketAddr {
        self.watchers[number].address
    }

    /// Accepts links over TLS only, each watcher with its own keys.
    pub fn use_keys(&mut self, keys: &Keys) -> io::Result<()> {
        for watcher in &mut self.watchers {
            watcher.config = Some(keys.accepting(&watcher.name)?);
        }
        Ok(())
    }

    /// Connects as a client to the server at `address`, and sends statements until all watchers receive them.
    pub fn begin(&mut self, address: SocketAddr) -> io::Result<()> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, CLIENT, both)?;
        self.client = Some(stream);
        let end = Instant::now() + BEGIN_MAX;
        let mut in_a_row = 0;
        // Some links of the herd may not be up yet.
        while in_a_row < RECEIVED_IN_A_ROW {
            match self.send_one(Duration::from_millis(300)) {
                Ok(_) => in_a_row += 1,
                Err(error) if error.kind() == ErrorKind::TimedOut && Instant::now() < end => in_a_row = 0,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends one statement and waits until all watchers have received it.
    pub fn send_one(&mut self, patience: Duration) -> io::Result<Delays> {
        // Does not count what an earlier statement that timed out still causes.
        self.reset();
        self.messages.statement(&mut self.unsent);
        let begin = Instant::now();
        self.send()?;
        let mut delays = Delays { reply: Duration::ZERO, watched: vec![Duration::ZERO; self.watchers.len()] };
        while self.replies == 0 || self.watchers.iter().any(|watcher| watcher.statements == 0) {
            self.turn(begin, patience)?;
            let now = begin.elapsed();
            if self.replies > 0 && delays.reply.is_zero() {
                delays.reply = now;
            }
            for (watcher, delay) in self.watchers.iter().zip(&mut delays.watched) {
                if watcher.statements > 0 && delay.is_zero() {
                    *delay = now;
                }
            }
        }
        Ok(delays)
    }

    /// Sends a number of statements as fast as the server accepts them. Returns the time until all watchers
    /// have received all of them.
    pub fn send_many(&mut self, count: u64, patience: Duration) -> io::Result<Duration> {
        self.reset();
        for _ in 0..count {
            self.messages.statement(&mut self.unsent);
        }
        let begin = Instant::now();
        self.send()?;
        while self.replies < count || self.watchers.iter().any(|watcher| watcher.statements < count) {
            self.turn(begin, patience)?;
        }
        Ok(begin.elapsed())
    }

    fn reset(&mut self) {
        self.replies = 0;
        self.watchers.iter_mut().for_each(|watcher| watcher.statements = 0);
    }

    fn send(&mut self) -> io::Result<()> {
        let Some(client) = &mut self.client else {
            return Ok(());
        };
        let mut sent = 0;
        while sent < self.unsent.len() {
            match client.write(&self.unsent[sent..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.unsent.drain(..sent);
        Ok(())
    }

    fn turn(&mut self, begin: Instant, patience: Duration) -> io::Result<()> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, Some(Duration::from_millis(50))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            if event.token() == CLIENT {
                self.client_ready()?;
            } else if event.token().0.is_multiple_of(2) {
                let number = event.token().0 / 2;
                let watcher = &mut self.watchers[number];
                while let Ok((mut stream, _)) = watcher.listener.accept() {
                    stream.set_nodelay(true)?;
                    let token = Token(2 * number + 1);
                    self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
                    watcher.input.clear();
                    watcher.stream = Some(Wire::accepted(stream, watcher.config.as_ref())?);
                }
            } else {
                self.watchers[event.token().0 / 2].ready(&mut self.buffer)?;
            }
        }
        self.events = events;
        if begin.elapsed() > patience {
            let received: Vec<_> = self.watchers.iter().map(|watcher| watcher.statements).collect();
            let reason =
                format!("not all statements arrived: {} replies, {received:?} at the watchers", self.replies);
            return Err(io::Error::new(ErrorKind::TimedOut, reason));
        }
        Ok(())
    }

    fn client_ready(&mut self) -> io::Result<()> {
        self.send()?;
        let Some(client) = &mut self.client else {
            return Ok(());
        };
        loop {
            match client.read(&mut self.buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    self.replies += memchr::memchr_iter(b'\n', &self.buffer[..length]).count() as u64
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Watcher {
    fn ready(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let Some(stream) = &mut self.stream else {
                return Ok(());
            };
            match stream.read(buffer) {
                Ok(0) => self.stream = None,
                Ok(length) => {
                    self.input.extend_from_slice(&buffer[..length]);
                    let mut output = Vec::new();
                    let mut used = 0;
                    while let Some(end) = memchr::memchr(b'\n', &self.input[used..]) {
                        let line = &self.input[used..used + end];
                        used += end + 1;
                        self.statements += u64::from(line.starts_with(b"AT "));
                        // Like a server of the herd: one ACK for all MARKs within 20 ms.
                        let is_mark = line.starts_with(b"MARK ");
                        if !is_mark || self.acknowledged.elapsed() >= ACKNOWLEDGED_WITHIN {
                            answer(&self.name, line, &mut output);
                            if is_mark {
                                self.acknowledged = Instant::now();
                            }
                        }
                    }
                    self.input.drain(..used);
                    stream.write_all(&output)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Appends the reply of a neighbour to a line of a link. Only the herd of this repository expects replies.
pub fn answer(name: &str, line: &[u8], output: &mut Vec<u8>) {
    if let Some(sequence) = line.strip_prefix(b"MARK ") {
        output.extend_from_slice(b"ACK ");
        output.extend_from_slice(sequence);
        output.push(b'\n');
    } else if line.starts_with(b"HELLO ") {
        output.extend_from_slice(format!("WELCOME {name} 0123456789abcdef 0\n").as_bytes());
    }
}

/// The shortest time between two ACKs of a watcher; docs/protocol.md, section 2.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_millis(20);
const CLIENT: Token = Token(usize::MAX);
/// The bound until all links of a herd are up.
const BEGIN_MAX: Duration = Duration::from_secs(20);
/// The number of statements in a row that all watchers must receive before the links count as up.
const RECEIVED_IN_A_ROW: u32 = 20;
