//! The real network: mio's edge-triggered poll (epoll on Linux), the system's clocks, its signals.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::rand::GetRandomFlags;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook_mio::v1_0::Signals;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};

use super::resolver::Resolver;
use super::system::{Event, Lookup, System};
use crate::clock::Moment;
use crate::log::LogFile;

/// mio, clocks, signals, the resolver's thread and a log file.
pub struct MioSystem {
    poll: Poll,
    events: Events,
    signals: Signals,
    resolver: Resolver,
    start: Instant,
    log: LogFile,
}

impl MioSystem {
    /// A network that hears SIGTERM, SIGINT and SIGHUP, and writes into this log.
    pub fn new(log: LogFile) -> io::Result<MioSystem> {
        let poll = Poll::new()?;
        // Without somebody who hears it, a log that reaches the limit on the size of files (RLIMIT_FSIZE)
        // would end the server; so writing merely fails.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        let resolver = Resolver::new(Waker::new(poll.registry(), RESOLVER)?);
        let events = Events::with_capacity(EVENTS_MAX);
        Ok(MioSystem { poll, events, signals, resolver, start: Instant::now(), log })
    }

    /// A listener on this address. The port is never shared.
    pub fn listen(&mut self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // Connections of an earlier life that are still being closed do not keep the port.
        socket.set_reuse_address(true)?;
        if INHERITED {
            set_options(SockRef::from(&socket));
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(socket.into());
        self.poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(listener)
    }

    /// Opens the log file, or opens it anew, since somebody may have renamed it.
    pub fn open_log(&mut self) {
        let now = self.now();
        self.log.reopen(now);
    }
}

impl System for MioSystem {
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn poll(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            done => done?,
        }
        for event in &self.events {
            match event.token() {
                LISTENER => events.push(Event::Accept),
                SIGNALS => {
                    for signal in self.signals.pending() {
                        events.push(if signal == SIGHUP { Event::Reload } else { Event::Stop });
                    }
                }
                RESOLVER => {
                    let resolved = |(lookup, addresses)| Event::Resolved { lookup, addresses };
                    events.extend(self.resolver.answers().map(resolved));
                }
                Token(token) => {
                    let ended = event.is_read_closed() || event.is_error();
                    // A read stops before what follows urgent data (tcp(7)), however much of it is there.
                    let urgent = event.is_priority();
                    if ended || urgent {
                        events.push(Event::ShortReadsLie(token));
                    }
                    let readable = event.is_readable() || ended || urgent;
                    let writable = event.is_writable() || event.is_write_closed() || event.is_error();
                    events.push(Event::Ready { token, readable, writable });
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self, listener: &mut TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = listener.accept()?;
        if !INHERITED {
            set_options(SockRef::from(&stream));
        }
        Ok((stream, address))
    }

    fn short_reads_empty(&self) -> bool {
        // epoll(7), "Questions and answers", number 9.
        cfg!(target_os = "linux")
    }

    fn connect(&mut self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address)?;
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    fn register(&mut self, stream: &mut TcpStream, token: usize) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        #[cfg(target_os = "linux")]
        let interest = interest | Interest::PRIORITY;
        self.poll.registry().register(stream, Token(token), interest)
    }

    fn is_connected(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        match stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn shut_down_writing(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        stream.shutdown(std::net::Shutdown::Write)
    }

    fn resolve(&mut self, host: &str, port: u16, lookup: Lookup) {
        self.resolver.ask(host, port, lookup);
    }

    fn now(&self) -> Moment {
        Moment::after_start(self.start.elapsed())
    }

    fn wall(&self) -> u64 {
        // A clock before 1970 or after 2554 is wrong anyway.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn random(&mut self) -> u64 {
        let mut bytes = [0; 8];
        match rustix::rand::getrandom(&mut bytes, GetRandomFlags::empty()) {
            Ok(8) => u64::from_ne_bytes(bytes),
            // Without a source of chance the clock must do: two lives of a store still differ.
            _ => self.wall(),
        }
    }

    fn write_log(&mut self, lines: &[u8]) {
        let now = self.now();
        self.log.write(lines, now);
    }
}

/// Sets what accepted connections shall have. Neither is worth a connection: without the one replies may be
/// late, without the other a client whose machine vanished is kept.
fn set_options(socket: SockRef<'_>) {
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
}

/// On Linux accepted connections have the options of their listener, which saves three calls for each.
const INHERITED: bool = cfg!(target_os = "linux");
/// Tokens that no connection has: its generation would be the last of four thousand million.
const LISTENER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);
const RESOLVER: Token = Token(usize::MAX - 2);
/// Events that are taken from the system at once: of all connections that there usually may be, since the time of
/// one must not be up before the event of what it sent in time was seen.
const EVENTS_MAX: usize = 16 * 1024;
/// Connections that wait to be accepted: more than the system's own bound, so that this one counts. Who
/// finds no place has to knock again, a second later.
const BACKLOG: i32 = 65_536;
/// A client that says nothing is asked by the system after so long whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(300);
