//! A bare echo server on mio: the least work of a server on epoll, as a limit for the herd.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

/// Serves until it is killed.
pub fn serve(address: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(address)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Slab<Connection> = Slab::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let entry = connections.vacant_entry();
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(entry.key()), both)?;
                    entry.insert(Connection { stream, unsent: Vec::new() });
                }
                continue;
            }
            let Some(connection) = connections.get_mut(event.token().0) else {
                continue;
            };
            if connection.ready(&mut buffer, event.is_read_closed()).is_err() {
                connections.remove(event.token().0);
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// Output that the socket did not accept.
    unsent: Vec<u8>,
}

impl Connection {
    /// Echoes all available input. The error means that the connection has ended. With `ending` it reads to
    /// the end, because there is no further edge.
    fn ready(&mut self, buffer: &mut [u8], ending: bool) -> io::Result<()> {
        loop {
            if !self.unsent.is_empty() {
                let sent = write(&mut self.stream, &self.unsent)?;
                self.unsent.drain(..sent);
                if !self.unsent.is_empty() {
                    return Ok(());
                }
            }
            match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    let sent = write(&mut self.stream, &buffer[..length])?;
                    self.unsent.extend_from_slice(&buffer[sent..length]);
                    // A short read has emptied the socket, which saves a call.
                    if length < buffer.len() && self.unsent.is_empty() && !ending {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Writes until the socket is full. Returns the number of bytes written.
pub(super) fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(length) => sent += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

const LISTENER: Token = Token(usize::MAX);
