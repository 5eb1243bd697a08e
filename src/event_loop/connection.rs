//! The connections of a loop: one entry of the slab for each.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use slab::Slab;

use super::tls::TlsStream;
use crate::clock::Moment;
use crate::protocol::{ConnectionId, Conversation, Ending, Transport};

/// One connection: its stream, its conversation, and what stands between them.
pub(super) struct Connection<S> {
    pub(super) stream: Stream<S>,
    pub(super) address: SocketAddr,
    pub(super) conversation: Conversation,
    pub(super) transport: Transport,
    /// Input that the conversation has not used yet.
    pub(super) input: Vec<u8>,
    /// What is left to try, while the connection is being made.
    pub(super) attempts: Option<Box<Attempts>>,
    /// When the next timer of this connection rings.
    pub(super) timer_at: Moment,
    /// Until when its deadline, which has come, may be put off; never: it has not come.
    pub(super) put_off_until: Moment,
    pub(super) counting: Counting,
    /// An edge came, and no read since has shown that there is nothing more.
    pub(super) readable: bool,
    /// A read that brings less than there is room for says nothing any longer; see
    /// [`Event::ShortReadsLie`](super::system::Event).
    pub(super) short_reads_lie: bool,
    /// The same as `readable` for writing.
    pub(super) writable: bool,
    /// Input that was not used must be offered again, though nothing new has come.
    pub(super) offer_again: bool,
    /// The other side's end of input: how far it has got.
    pub(super) eof: Eof,
    /// It is on the list of those to be served.
    pub(super) listed: bool,
    /// It is on the list of those to be flushed.
    pub(super) dirty: bool,
    pub(super) phase: Phase,
    /// It is on the list of those to be buried.
    pub(super) doomed: bool,
    generation: u32,
}

/// The making of a connection.
pub(super) struct Attempts {
    /// Addresses that were not tried yet; the next one stands at the end.
    pub(super) left: Vec<SocketAddr>,
    /// How long the last one may take.
    pub(super) patience: Duration,
}

/// How a connection counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counting {
    /// It was accepted, and is one of `limits.max_connections`.
    AsClient,
    /// It was accepted beyond them, until it shows that it is a neighbour's.
    BeyondLimit,
    /// A link of a neighbour, or one that was dialled.
    NotAtAll,
}

/// How far a connection is after its conversation has closed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not closed, or the loop has not seen it yet.
    Open,
    /// What was written is being sent.
    Closing,
    /// Everything was sent; the other side's end is awaited.
    Lingering,
}

/// The end of the other side's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eof {
    NotSeen,
    /// What stands before it was not used up yet.
    Seen,
    Delivered,
}

impl<S> Connection<S> {
    pub(super) fn new(
        stream: Stream<S>,
        address: SocketAddr,
        conversation: Conversation,
        transport: Transport,
        counting: Counting,
    ) -> Connection<S> {
        Connection {
            stream,
            address,
            conversation,
            transport,
            input: Vec::new(),
            attempts: None,
            timer_at: Moment::NEVER,
            put_off_until: Moment::NEVER,
            counting,
            readable: false,
            short_reads_lie: false,
            writable: false,
            offer_again: false,
            eof: Eof::NotSeen,
            listed: false,
            dirty: false,
            phase: Phase::Open,
            doomed: false,
            generation: 0,
        }
    }

    /// Whether serving it could do anything.
    pub(super) fn wants_service(&self) -> bool {
        let may_deliver = !self.transport.reading_is_paused() || self.transport.ending() != Ending::Open;
        self.attempts.is_none() && may_deliver && (self.readable || self.offer_again || self.eof == Eof::Seen)
    }
}

/// What bytes go through.
pub(super) enum Stream<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
}

impl<S: Read + Write> Stream<S> {
    /// The socket.
    pub(super) fn socket(&mut self) -> &mut S {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(tls) => tls.stream(),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    /// Whether a read that brought less than there was room for says something about the socket.
    pub(super) fn reads_the_socket(&self) -> bool {
        matches!(self, Stream::Plain(_))
    }

    /// Sends what stands between the conversation's output and the socket.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(tls) => tls.flush(),
        }
    }

    /// Announces the end of the output, where that takes more than closing the socket.
    pub(super) fn announce_end(&mut self) {
        if let Stream::Tls(tls) = self {
            tls.announce_end();
        }
    }
}

/// All connections, by names that never name another one.
pub(super) struct Connections<S> {
    slab: Slab<Connection<S>>,
    generation: u32,
}

impl<S> Connections<S> {
    pub(super) fn new() -> Connections<S> {
        Connections { slab: Slab::new(), generation: 0 }
    }

    pub(super) fn insert(&mut self, mut connection: Connection<S>) -> ConnectionId {
        // Four thousand million connections later a slot could get the same name again; nothing
        // remembers a connection for so long.
        self.generation = self.generation.wrapping_add(1);
        connection.generation = self.generation;
        let slot = self.slab.insert(connection) as u32;
        ConnectionId { slot, generation: self.generation }
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection<S>> {
        self.slab.get_mut(id.slot as usize).filter(|connection| connection.generation == id.generation)
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Connection<S>> {
        self.get_mut(id)?;
        self.slab.try_remove(id.slot as usize)
    }

    pub(super) fn ids(&self) -> Vec<ConnectionId> {
        let id = |(slot, connection): (usize, &Connection<S>)| ConnectionId {
            slot: slot as u32,
            generation: connection.generation,
        };
        self.slab.iter().map(id).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }
}

/// The token under which a connection is registered with the network.
pub(super) fn token(id: ConnectionId) -> usize {
    (id.generation as usize) << 32 | id.slot as usize
}

/// And back.
pub(super) fn of_token(token: usize) -> ConnectionId {
    ConnectionId { slot: token as u32, generation: (token >> 32) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Client, WaterMarks};

    fn connection() -> Connection<()> {
        let client = Conversation::Client(Client::newcomer());
        let address = "127.0.0.1:1".parse().unwrap();
        Connection::new(
            Stream::Plain(()),
            address,
            client,
            Transport::new(WaterMarks::default()),
            Counting::AsClient,
        )
    }

    #[test]
    fn a_name_never_names_another_connection() {
        let mut connections = Connections::new();
        let first = connections.insert(connection());
        assert!(connections.remove(first).is_some());
        let second = connections.insert(connection());
        assert_eq!(first.slot, second.slot, "the slot is used again");
        assert!(connections.get_mut(first).is_none() && connections.remove(first).is_none());
        assert!(connections.get_mut(second).is_some());
        assert_eq!(of_token(token(second)), second);
    }
}
