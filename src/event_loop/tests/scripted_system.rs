//! A system that does what a test says.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Moment;
use crate::event_loop::system::{Event, System};
use crate::protocol::{ListenerTag, Work};

/// The outside of the loop, shared by the system and the test.
#[derive(Default)]
pub(super) struct Outside {
    pub(super) now: Duration,
    pub(super) events: Vec<Event>,
    /// Connections in the backlog, the next one last. An error: accepting fails.
    pub(super) backlog: Vec<io::Result<Peer>>,
    pub(super) accepts: usize,
    pub(super) peers: Vec<Peer>,
    pub(super) dialled: Vec<SocketAddr>,
    /// Every connect fails at once.
    pub(super) is_unreachable: bool,
    /// Every attempt succeeds.
    pub(super) is_connected: bool,
    /// A short read shows that there is no more input, as on Linux.
    pub(super) short_reads_empty: bool,
    pub(super) work: Vec<(usize, Work)>,
}

/// The far end of a connection.
#[derive(Default)]
pub(super) struct Peer {
    token: usize,
    /// Its IP address; `None`: 127.0.0.1.
    address: Option<&'static str>,
    /// Bytes that it sends.
    input: VecDeque<u8>,
    /// Bytes that it sends again and again after these.
    endless: &'static [u8],
    /// Its output ends.
    pub(super) has_ended: bool,
    /// It takes no bytes, except as many as `window` has.
    pub(super) is_stuck: bool,
    pub(super) window: usize,
    /// A write fails with this.
    pub(super) write_error: Option<io::ErrorKind>,
    /// Bytes that were read from it.
    pub(super) read: usize,
    /// Calls that read from it.
    pub(super) reads: usize,
    pub(super) received: Vec<u8>,
    pub(super) was_half_closed: bool,
    pub(super) is_gone: bool,
}

impl Peer {
    pub(super) fn sending(input: &[u8], endless: &'static [u8]) -> Peer {
        Peer { input: input.iter().copied().collect(), endless, ..Peer::default() }
    }

    /// A peer with this IP address.
    pub(super) fn at(address: &'static str) -> Peer {
        Peer { address: Some(address), ..Peer::default() }
    }

    /// A peer that sends and does not read.
    pub(super) fn stuck(input: &[u8]) -> Peer {
        Peer { is_stuck: true, ..Peer::sending(input, b"") }
    }
}

#[derive(Clone, Default)]
pub(super) struct ScriptedSystem(pub(super) Rc<RefCell<Outside>>);

impl ScriptedSystem {
    fn stream(&self, peer: Peer) -> ScriptedStream {
        let peers = &mut self.0.borrow_mut().peers;
        peers.push(peer);
        ScriptedStream { outside: self.0.clone(), number: peers.len() - 1 }
    }

    /// A peer connects.
    pub(super) fn arrive(&self, peer: Peer) {
        self.0.borrow_mut().backlog.insert(0, Ok(peer));
        self.0.borrow_mut().events.push(Event::Accept(ListenerTag(0)));
    }

    /// A peer sends bytes.
    pub(super) fn send(&self, number: usize, bytes: &[u8]) {
        self.0.borrow_mut().peers[number].input.extend(bytes);
        self.edge(number, true, false);
    }

    /// A peer closes its sending direction.
    pub(super) fn half_close(&self, number: usize) {
        self.0.borrow_mut().peers[number].has_ended = true;
        self.edge(number, true, false);
    }

    /// The end of a peer's output is reported, though input before it may be unread.
    pub(super) fn report_end(&self, number: usize) {
        let outside = &mut *self.0.borrow_mut();
        outside.events.push(Event::PeerEnded(outside.peers[number].token));
    }

    /// An edge of a connection is reported.
    pub(super) fn edge(&self, number: usize, readable: bool, writable: bool) {
        let outside = &mut *self.0.borrow_mut();
        let token = outside.peers[number].token;
        outside.events.push(Event::Ready { token, readable, writable });
    }

    /// Time passes.
    pub(super) fn wait(&self, duration: Duration) {
        self.0.borrow_mut().now += duration;
    }

    pub(super) fn received(&self, number: usize) -> String {
        String::from_utf8(self.0.borrow().peers[number].received.clone()).unwrap()
    }
}

impl System for ScriptedSystem {
    type Listener = ();
    type Stream = ScriptedStream;

    fn poll(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        let outside = &mut *self.0.borrow_mut();
        if outside.events.is_empty() {
            outside.now += timeout.unwrap_or_default();
        }
        events.append(&mut outside.events);
        Ok(())
    }

    fn accept(&mut self, (): &mut ()) -> io::Result<(ScriptedStream, SocketAddr)> {
        let peer = {
            let outside = &mut *self.0.borrow_mut();
            outside.accepts += 1;
            outside.backlog.pop().unwrap_or(Err(io::ErrorKind::WouldBlock.into()))
        };
        let peer = peer?;
        let address = format!("{}:40000", peer.address.unwrap_or("127.0.0.1"));
        Ok((self.stream(peer), address.parse().unwrap()))
    }

    fn short_reads_empty(&self) -> bool {
        self.0.borrow().short_reads_empty
    }

    fn connect(&mut self, address: SocketAddr) -> io::Result<ScriptedStream> {
        self.0.borrow_mut().dialled.push(address);
        if self.0.borrow().is_unreachable {
            return Err(io::ErrorKind::NetworkUnreachable.into());
        }
        Ok(self.stream(Peer::default()))
    }

    fn register(&mut self, stream: &mut ScriptedStream, token: usize) -> io::Result<()> {
        let outside = &mut *self.0.borrow_mut();
        let peer = &mut outside.peers[stream.number];
        peer.token = token;
        let readable = !peer.input.is_empty() || !peer.endless.is_empty();
        outside.events.push(Event::Ready { token, readable, writable: true });
        Ok(())
    }

    fn is_connected(&mut self, _stream: &mut ScriptedStream) -> io::Result<bool> {
        Ok(self.0.borrow().is_connected)
    }

    fn shut_down_writing(&mut self, stream: &mut ScriptedStream) -> io::Result<()> {
        self.0.borrow_mut().peers[stream.number].was_half_closed = true;
        Ok(())
    }

    fn run(&mut self, ticket: usize, work: Work) {
        self.0.borrow_mut().work.push((ticket, work));
    }

    fn now(&self) -> Moment {
        Moment::START + self.0.borrow().now
    }

    fn wall(&self) -> u64 {
        1_621_464_830_000_000_000 + self.0.borrow().now.as_nanos() as u64
    }

    fn random(&mut self) -> u64 {
        1
    }
}

pub(super) struct ScriptedStream {
    outside: Rc<RefCell<Outside>>,
    number: usize,
}

impl Read for ScriptedStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let peer = &mut self.outside.borrow_mut().peers[self.number];
        peer.reads += 1;
        let length = if peer.endless.is_empty() || !peer.input.is_empty() {
            peer.input.read(buffer)?
        } else {
            buffer.iter_mut().zip(peer.endless.iter().cycle()).for_each(|(byte, sent)| *byte = *sent);
            buffer.len() / peer.endless.len() * peer.endless.len()
        };
        peer.read += length;
        if length > 0 || peer.has_ended { Ok(length) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

impl Write for ScriptedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let peer = &mut self.outside.borrow_mut().peers[self.number];
        if let Some(error) = peer.write_error {
            return Err(error.into());
        }
        let length = if peer.is_stuck { bytes.len().min(peer.window) } else { bytes.len() };
        if length == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        peer.window = peer.window.saturating_sub(length);
        peer.received.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for ScriptedStream {
    fn drop(&mut self) {
        if let Ok(mut outside) = self.outside.try_borrow_mut() {
            outside.peers[self.number].is_gone = true;
        }
    }
}
