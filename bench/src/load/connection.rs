//! One connection of the load generator. It sends messages, delimits replies and records their latencies.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Interest, Poll, Token};

use super::dialect::{Dialect, Messages};
use super::web_replies::WebReplies;

pub(super) struct Connection {
    stream: TcpStream,
    dialect: Dialect,
    output: Vec<u8>,
    written: usize,
    waiting: VecDeque<Sent>,
    in_flight: usize,
    /// The position of the next byte of input in a reply.
    position: Position,
    /// The length so far of the reply to a WHATSAT.
    length: usize,
    /// The replies of [`Dialect::Web`].
    web: WebReplies,
}

/// Consecutive messages of one kind that were sent at the same time.
struct Sent {
    /// The time from which their latency counts.
    from: u64,
    count: usize,
    whatsat: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Before the first byte of a reply.
    Beginning,
    /// Within a line.
    Within,
    /// After the LF of a line that is not the last of its reply.
    LineEnded,
    /// Within a line that is not part of a reply.
    Aside,
}

/// The numbers of replies in one read.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) replies: u64,
    pub(super) wrong: u64,
}

impl Connection {
    pub(super) fn open(
        poll: &Poll,
        token: Token,
        address: SocketAddr,
        dialect: Dialect,
    ) -> io::Result<Connection> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        if dialect == Dialect::Nats {
            greet_nats(&stream)?;
        }
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Connection {
            stream,
            dialect,
            output: Vec::new(),
            written: 0,
            waiting: VecDeque::new(),
            in_flight: 0,
            position: Position::Beginning,
            length: 0,
            web: WebReplies::default(),
        })
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Appends the next message. The latency of its reply counts from `from`.
    pub(super) fn compose(&mut self, messages: &mut Messages, whatsat: bool, from: u64) {
        if whatsat {
            messages.whatsat(&mut self.output);
        } else {
            messages.statement(&mut self.output);
        }
        self.in_flight += 1;
        match self.waiting.back_mut() {
            Some(last) if last.from == from && last.whatsat == whatsat => last.count += 1,
            _ => self.waiting.push_back(Sent { from, count: 1, whatsat }),
        }
    }

    pub(super) fn write(&mut self) -> io::Result<()> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(length) => self.written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads all available input, and records the latency of each reply at `now`.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        now: u64,
        latency: &mut Histogram<u64>,
    ) -> io::Result<Seen> {
        let mut seen = Seen::default();
        loop {
            match self.stream.read(buffer) {
                Ok(0) => {
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
                }
                Ok(length) => {
                    self.received(&buffer[..length], now, latency, &mut seen);
                    // On Linux a short read has emptied a TCP socket, and later input causes a new edge. This
                    // saves half of the generator's reads. (The servers under test may not rely on it.)
                    if length < buffer.len() {
                        return Ok(seen);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(seen),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn received(&mut self, data: &[u8], now: u64, latency: &mut Histogram<u64>, seen: &mut Seen) {
        let mut rest = data;
        if self.dialect == Dialect::Web {
            while let Some(is_right) = self.web.next(&mut rest) {
                seen.wrong += u64::from(!is_right);
                self.reply_ended(now, latency, seen);
            }
            return;
        }
        while let Some(&first) = rest.first() {
            match self.position {
                Position::Beginning if self.dialect == Dialect::Nats && first == b'P' => {
                    self.position = Position::Aside;
                }
                Position::Beginning => {
                    if first != self.dialect.reply_begins_with() {
                        seen.wrong += 1;
                        // An error reply is one line, also to a WHATSAT.
                        if let Some(sent) = self.waiting.front_mut().filter(|sent| sent.whatsat) {
                            sent.whatsat = false;
                        }
                    }
                    self.position = Position::Within;
                    self.length = 0;
                }
                Position::LineEnded if first == b'\n' => {
                    rest = &rest[1..];
                    // A short answer has no places and is wrong.
                    seen.wrong += u64::from(self.length < PLACES_MIN);
                    self.reply_ended(now, latency, seen);
                    continue;
                }
                _ => {}
            }
            let Some(end) = memchr::memchr(b'\n', rest) else {
                if self.position == Position::LineEnded {
                    self.position = Position::Within;
                }
                self.length += rest.len();
                return;
            };
            rest = &rest[end + 1..];
            self.length += end + 1;
            if self.position == Position::Aside {
                // The only unsolicited message of NATS is PING.
                self.output.extend_from_slice(b"PONG\r\n");
                self.position = Position::Beginning;
            } else if self.waiting.front().is_some_and(|sent| sent.whatsat) {
                self.position = Position::LineEnded;
            } else {
                self.reply_ended(now, latency, seen);
            }
        }
    }

    fn reply_ended(&mut self, now: u64, latency: &mut Histogram<u64>, seen: &mut Seen) {
        self.position = Position::Beginning;
        let Some(sent) = self.waiting.front_mut() else {
            seen.wrong += 1;
            return;
        };
        latency.saturating_record(now.saturating_sub(sent.from).max(1));
        seen.replies += 1;
        self.in_flight -= 1;
        sent.count -= 1;
        if sent.count == 0 {
            self.waiting.pop_front();
        }
    }
}

/// Reads the greeting of NATS and enables `verbose`, with which it acknowledges every message.
fn greet_nats(mut stream: &std::net::TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    stream.write_all(b"CONNECT {\"verbose\":true,\"pedantic\":false}\r\n")?;
    line.clear();
    reader.read_line(&mut line)?;
    if line.starts_with("+OK") {
        Ok(())
    } else {
        Err(io::Error::other(format!("NATS: expected +OK, got {line}")))
    }
}

/// The least length of a reply with places, in bytes: an AT line and the first place.
const PLACES_MIN: usize = 600;
