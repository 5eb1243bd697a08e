//! A bare relay, as a limit for herds: flooding without statements, store, log and acknowledgements. It
//! returns each line to its client, and forwards it to all neighbours except the one that sent it. A line
//! that is not newer than the last one, by the time at its end, is dropped.

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
        // Sends its own address, so that the neighbour does not return lines to it.
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
    /// Closed connections stay, with [`Role::Over`]; a measurement has few.
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
    Err(io::Error::other(format!("no server listens on {address}")))
}

const LISTENER: Token = Token(usize::MAX);
/// The length of a time with nine digits after the point, and LF.
const TIME_LENGTH: usize = 21;
/// The greatest number of attempts to dial a neighbour.
const DIALS: u32 = 1000;
