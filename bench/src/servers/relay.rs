//! A relay: it sends each line back, and passes it on to all neighbours but the one that told it.
//! A line that is not newer than the last one dies here, by its last twenty bytes, the time. That is
//! flooding without statements, store, log and links that say how far they are: the limit for a herd.

use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::echo::write;

/// Serves until it is killed.
pub fn serve(address: SocketAddr, neighbours: &[SocketAddr]) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(address)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut relay = Relay { connections: Vec::new(), newest: Vec::new() };
    for &neighbour in neighbours {
        let mut stream = dial(neighbour)?;
        // It says where it listens, so that the neighbour knows whom not to tell what it told.
        let hello = format!("RELAY {address}\n");
        io::Write::write_all(&mut stream, hello.as_bytes())?;
        stream.set_nonblocking(true)?;
        relay.add(&poll, TcpStream::from_std(stream), Role::Outbound(neighbour.to_string()))?;
    }
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    relay.add(&poll, stream, Role::Client)?;
                }
            } else {
                relay.ready(event.token().0, &mut buffer);
            }
        }
        for connection in &mut relay.connections {
            connection.flush();
        }
    }
}

struct Relay {
    /// Those that are over stay, as nobody: a measurement has few.
    connections: Vec<Connection>,
    /// The time of the newest line.
    newest: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    role: Role,
    input: Vec<u8>,
    output: Vec<u8>,
}

#[derive(PartialEq, Eq)]
enum Role {
    Client,
    /// A neighbour that was dialled, by its address.
    Outbound(String),
    /// A neighbour that dialled.
    Inbound(String),
    Over,
}

impl Connection {
    fn flush(&mut self) {
        if !self.output.is_empty() && self.role != Role::Over {
            match write(&mut self.stream, &self.output) {
                Ok(sent) => drop(self.output.drain(..sent)),
                Err(_) => self.role = Role::Over,
            }
        }
    }
}

impl Relay {
    fn add(&mut self, poll: &Poll, mut stream: TcpStream, role: Role) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let token = Token(self.connections.len());
        poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.connections.push(Connection { stream, role, input: Vec::new(), output: Vec::new() });
        Ok(())
    }

    fn ready(&mut self, number: usize, buffer: &mut [u8]) {
        loop {
            let connection = &mut self.connections[number];
            if connection.role == Role::Over {
                return;
            }
            match connection.stream.read(buffer) {
                Ok(length) if length > 0 => {
                    connection.input.extend_from_slice(&buffer[..length]);
                    self.lines(number);
                    if length < buffer.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                _ => connection.role = Role::Over,
            }
        }
    }

    fn lines(&mut self, number: usize) {
        let mut input = std::mem::take(&mut self.connections[number].input);
        let mut used = 0;
        while let Some(end) = memchr::memchr(b'\n', &input[used..]) {
            let line = &input[used..used + end + 1];
            used += line.len();
            self.line(number, line);
        }
        input.drain(..used);
        self.connections[number].input = input;
    }

    fn line(&mut self, number: usize, line: &[u8]) {
        if let Some(name) = line.strip_prefix(b"RELAY ") {
            let name = String::from_utf8_lossy(name).trim().to_owned();
            self.connections[number].role = Role::Inbound(name);
            return;
        }
        let origin = match &self.connections[number].role {
            Role::Inbound(name) => name.clone(),
            Role::Client => {
                self.connections[number].output.extend_from_slice(line);
                String::new()
            }
            _ => return,
        };
        let time = &line[line.len().saturating_sub(TIME_LENGTH)..];
        if time <= &self.newest[..] {
            return;
        }
        self.newest.clear();
        self.newest.extend_from_slice(time);
        for connection in &mut self.connections {
            if matches!(&connection.role, Role::Outbound(name) if *name != origin) {
                connection.output.extend_from_slice(line);
            }
        }
    }
}

fn dial(address: SocketAddr) -> io::Result<std::net::TcpStream> {
    for _ in 0..DIALS {
        match std::net::TcpStream::connect(address) {
            Ok(stream) => return Ok(stream),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
    Err(io::Error::other(format!("{address} does not listen")))
}

const LISTENER: Token = Token(usize::MAX);
/// A time with its nine digits, and LF.
const TIME_LENGTH: usize = 21;
/// How often a neighbour is dialled that does not listen yet.
const DIALS: u32 = 1000;
