//! An audience: many connections that follow clients, and one that reports the clients. It counts what they are sent.
//! An audience over HTTP only listens: it is sent the changes of all clients.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memchr::memmem;
use mio::net::TcpStream as Stream;
use mio::{Events, Interest, Poll, Token};

use super::dialect::Dialect;

/// The size of an audience.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// The number of clients that are followed.
    pub clients: usize,
    /// The followers of each.
    pub followers: usize,
    /// Reports that may be in flight.
    pub depth: usize,
    /// The pause before each report; zero: as fast as the server replies.
    pub pause: Duration,
}

/// The connections of an audience.
pub struct Audience {
    size: Size,
    dialect: Dialect,
    poll: Poll,
    /// Those that read.
    readers: Vec<Reader>,
    /// Those that never read, and stay open.
    _others: Vec<TcpStream>,
    /// The connection that reports; `None`: the audience only listens.
    publisher: Option<Stream>,
    reported: u64,
    replies: u64,
    input: Vec<u8>,
}

struct Reader {
    stream: Stream,
    /// The last bytes, in which a delivery may have begun.
    rest: Vec<u8>,
    deliveries: u64,
}

/// What an audience was sent.
#[derive(Clone, Copy, Debug)]
pub struct Delivered {
    /// Statements or messages that readers were sent.
    pub deliveries: u64,
    /// Reports that were answered.
    pub reports: u64,
    /// The duration.
    pub elapsed: Duration,
}

impl Delivered {
    /// Deliveries per second.
    pub fn rate(&self) -> f64 {
        self.deliveries as f64 / self.elapsed.as_secs_f64()
    }

    /// Reports per second.
    pub fn reports_rate(&self) -> f64 {
        self.reports as f64 / self.elapsed.as_secs_f64()
    }
}

impl Audience {
    /// Connects an audience. One connection in ten never reads.
    pub fn connect(address: SocketAddr, dialect: Dialect, size: Size) -> io::Result<Audience> {
        let poll = Poll::new()?;
        let (mut readers, mut others) = (Vec::new(), Vec::new());
        for number in 0..size.clients * size.followers {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(&follow(dialect, number % size.clients))?;
            if number % UNREAD_ONE_IN == UNREAD_ONE_IN - 1 {
                others.push(stream);
                continue;
            }
            stream.set_nonblocking(true)?;
            let mut stream = Stream::from_std(stream);
            poll.registry().register(&mut stream, Token(readers.len()), Interest::READABLE)?;
            readers.push(Reader { stream, rest: Vec::new(), deliveries: 0 });
        }
        let publisher = match dialect {
            Dialect::Web => None,
            _ => {
                let mut publisher = TcpStream::connect(address)?;
                publisher.set_nodelay(true)?;
                publisher.write_all(greeting(dialect))?;
                publisher.set_nonblocking(true)?;
                let mut publisher = Stream::from_std(publisher);
                poll.registry().register(&mut publisher, PUBLISHER, Interest::READABLE)?;
                Some(publisher)
            }
        };
        let others_stay = others;
        let input = vec![0; 256 * 1024];
        let mut audience = Audience {
            size,
            dialect,
            poll,
            readers,
            _others: others_stay,
            publisher,
            reported: 0,
            replies: 0,
            input,
        };
        // The connections are set up, and greetings read.
        audience.run(Duration::from_millis(300), false)?;
        Ok(audience)
    }

    /// Reports and reads for so long.
    pub fn measure(&mut self, time: Duration) -> io::Result<Delivered> {
        self.run(time, true)
    }

    /// Reads until it is `over`, and adds to `deliveries`. Returns the fewest deliveries that a reader was sent.
    pub fn listen(&mut self, over: &AtomicBool, deliveries: &AtomicU64) -> io::Result<u64> {
        let before: Vec<u64> = self.readers.iter().map(|reader| reader.deliveries).collect();
        while !over.load(Ordering::Relaxed) {
            deliveries.fetch_add(self.run(MILLISECOND * 10, false)?.deliveries, Ordering::Relaxed);
        }
        let sent = self.readers.iter().zip(before).map(|(reader, before)| reader.deliveries - before);
        Ok(sent.min().unwrap_or(0))
    }

    fn run(&mut self, time: Duration, reports: bool) -> io::Result<Delivered> {
        let mut events = Events::with_capacity(4096);
        let start = Instant::now();
        let before = self.replies;
        let mut next = start;
        let mut deliveries = 0;
        while start.elapsed() < time {
            let has_room = self.reported - self.replies < self.size.depth as u64;
            if reports && has_room && Instant::now() >= next {
                next += self.size.pause;
                self.report()?;
                continue;
            }
            let patience = if has_room && reports { next - Instant::now() } else { MILLISECOND * 10 };
            self.poll.poll(&mut events, Some(patience.clamp(Duration::ZERO, MILLISECOND * 10)))?;
            for event in &events {
                match event.token() {
                    PUBLISHER => self.read_replies()?,
                    Token(index) => deliveries += self.read(index)?,
                }
            }
        }
        Ok(Delivered { deliveries, reports: self.replies - before, elapsed: start.elapsed() })
    }

    fn report(&mut self) -> io::Result<()> {
        let client = (self.reported % self.size.clients as u64) as usize;
        self.reported += 1;
        // Far in the past, so that no clock matters.
        let time = 1_000_000_000 + self.reported;
        let message = match self.dialect {
            Dialect::RedisSet | Dialect::RedisGeoadd => {
                format!("PUBLISH {} \"{}\"\r\n", name(client), line(client, time))
            }
            Dialect::Nats => {
                let line = line(client, time);
                format!("PUB {} {}\r\n{line}\r\nPING\r\n", name(client), line.len())
            }
            _ => format!("IAMAT {} +34.068930-118.445127 {time}.959498503\n", name(client)),
        };
        let Some(publisher) = &mut self.publisher else { return Ok(()) };
        let mut sent = 0;
        while sent < message.len() {
            match publisher.write(&message.as_bytes()[sent..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_replies(&mut self) -> io::Result<()> {
        let Some(publisher) = &mut self.publisher else { return Ok(()) };
        loop {
            match publisher.read(&mut self.input) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed")),
                Ok(length) => {
                    let input = &self.input[..length];
                    // Each reply has one of these: an AT line, `:10`, `PONG`.
                    let mark: &[u8] = match self.dialect {
                        Dialect::RedisSet | Dialect::RedisGeoadd => b":",
                        Dialect::Nats => b"PONG",
                        _ => b"\n",
                    };
                    self.replies += memmem::find_iter(input, mark).count() as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads all that a reader was sent. Returns the number of deliveries.
    fn read(&mut self, index: usize) -> io::Result<u64> {
        let reader = &mut self.readers[index];
        let mark: &[u8] = match self.dialect {
            Dialect::RedisSet | Dialect::RedisGeoadd => b"\nmessage\r",
            Dialect::Nats => b"MSG ",
            Dialect::Web => b"event: at\n",
            _ => b"AT Riley",
        };
        let before = reader.deliveries;
        loop {
            match reader.stream.read(&mut self.input) {
                Ok(0) => {
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed a follower"));
                }
                Ok(length) => {
                    let (input, before) = (&self.input[..length], mark.len() - 1);
                    reader.deliveries += memmem::find_iter(input, mark).count() as u64;
                    // A mark that began before.
                    reader.rest.extend_from_slice(&input[..length.min(before)]);
                    reader.deliveries += u64::from(memmem::find(&reader.rest, mark).is_some());
                    if length >= before {
                        reader.rest.clear();
                        reader.rest.extend_from_slice(&input[length - before..]);
                    } else {
                        let passed = reader.rest.len().saturating_sub(before);
                        reader.rest.drain(..passed);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(reader.deliveries - before),
                Err(error) => return Err(error),
            }
        }
    }
}

/// The input that makes a connection follow a client.
fn follow(dialect: Dialect, client: usize) -> Vec<u8> {
    match dialect {
        Dialect::RedisSet | Dialect::RedisGeoadd => format!("SUBSCRIBE {}\r\n", name(client)),
        Dialect::Nats => {
            format!("CONNECT {{\"verbose\":false}}\r\nSUB {} 1\r\n", name(client))
        }
        Dialect::Web => "GET /v1/changes HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        _ => format!("FOLLOW {}\n", name(client)),
    }
    .into_bytes()
}

fn greeting(dialect: Dialect) -> &'static [u8] {
    match dialect {
        Dialect::Nats => b"CONNECT {\"verbose\":false}\r\n",
        _ => b"",
    }
}

fn name(client: usize) -> String {
    format!("followed-{client:04}")
}

/// The text that a follower of the herd is sent.
fn line(client: usize, time: u64) -> String {
    format!("AT Riley +0.263873386 {} +34.068930-118.445127 {time}.959498503", name(client))
}

/// The token of the connection that reports.
const PUBLISHER: Token = Token(usize::MAX - 1);
/// One follower in so many never reads.
const UNREAD_ONE_IN: usize = 10;
const MILLISECOND: Duration = Duration::from_millis(1);
