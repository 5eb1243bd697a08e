//! The operating system: mio's edge-triggered poll (epoll on Linux), clocks, signals, threads for work.

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

use super::lanes::Lanes;
use super::system::{Event, System};
use super::terminal::Terminal;
use crate::clock::Moment;
use crate::protocol::{ListenerTag, Work};

/// The operating system.
pub struct MioSystem {
    poll: Poll,
    events: Events,
    signals: Signals,
    terminal: Terminal,
    lanes: Lanes,
    /// Results of work that no thread could take.
    done: Vec<Event>,
    start: Instant,
}

impl MioSystem {
    /// A system that reports SIGTERM, SIGINT and SIGHUP as events. SIGHUP from a terminal that has gone counts as
    /// SIGTERM.
    pub fn new() -> io::Result<MioSystem> {
        let poll = Poll::new()?;
        // Without a handler, a log that reaches the file size limit (RLIMIT_FSIZE) would end the server; with
        // one, only the write fails.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        let terminal = Terminal::at_start();
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        let lanes = Lanes::new(Waker::new(poll.registry(), WORK)?);
        let events = Events::with_capacity(EVENTS_MAX);
        Ok(MioSystem { poll, events, signals, terminal, lanes, done: Vec::new(), start: Instant::now() })
    }

    /// Listens on this address; its events carry `tag`. The port is never shared.
    pub fn listen(&mut self, address: SocketAddr, tag: ListenerTag) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // Connections of an earlier process in TIME_WAIT do not keep the port.
        socket.set_reuse_address(true)?;
        if INHERITED {
            set_options(SockRef::from(&socket));
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(socket.into());
        self.poll.registry().register(
            &mut listener,
            Token(LISTENERS_FROM + usize::from(tag.0)),
            Interest::READABLE,
        )?;
        Ok(listener)
    }
}

impl System for MioSystem {
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn poll(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        let timeout = if self.done.is_empty() { timeout } else { Some(Duration::ZERO) };
        events.append(&mut self.done);
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            done => done?,
        }
        for event in &self.events {
            match event.token() {
                SIGNALS => {
                    for signal in self.signals.pending() {
                        let is_reload = signal == SIGHUP && !self.terminal.has_gone();
                        events.push(if is_reload { Event::Reload } else { Event::Stop });
                    }
                }
                WORK => {
                    events.extend(self.lanes.results().map(|(ticket, done)| Event::Done { ticket, done }));
                }
                Token(token) if token >= LISTENERS_FROM => {
                    events.push(Event::Accept(ListenerTag((token - LISTENERS_FROM) as u8)));
                }
                Token(token) => {
                    let ended = event.is_read_closed() || event.is_error();
                    // A read stops before the byte after urgent data (tcp(7)), however much follows.
                    let urgent = event.is_priority();
                    if ended {
                        events.push(Event::PeerEnded(token));
                    } else if urgent {
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

    fn run(&mut self, ticket: usize, work: Work) {
        if let Some(done) = self.lanes.run(ticket, work) {
            self.done.push(Event::Done { ticket, done });
        }
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
            // The clock still gives each incarnation of a store an epoch of its own.
            _ => self.wall(),
        }
    }
}

/// Sets the options of accepted connections. A failure does not end the connection: without the first option
/// replies may be late, without the second a client whose machine vanished is kept.
fn set_options(socket: SockRef<'_>) {
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
}

/// On Linux accepted connections inherit the options of their listener, which saves three system calls each.
const INHERITED: bool = cfg!(target_os = "linux");
/// Tokens that no connection has: its generation would be the last of 2^32.
const SIGNALS: Token = Token(usize::MAX);
const WORK: Token = Token(usize::MAX - 1);
/// The token of the first listener; tags are below 256.
const LISTENERS_FROM: usize = usize::MAX - 1024;
/// Events taken from the kernel at once: those of all connections that are usual, since a deadline must not
/// pass before the loop has seen the event of input that arrived in time.
const EVENTS_MAX: usize = 16 * 1024;
/// The backlog of a listener. Above the kernel's own bound (`net.core.somaxconn`), so that that one counts. A
/// client that finds the backlog full retries a second later.
const BACKLOG: i32 = 65_536;
/// TCP keep-alive: the kernel probes a silent client after this time.
const KEEPALIVE: Duration = Duration::from_secs(300);
