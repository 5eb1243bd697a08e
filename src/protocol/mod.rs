//! Conversations: state machines that are told what happens and answer by writing into their
//! transport. None of them sees a socket, reads a clock or waits.
//!
//! The contract is that of asyncio's protocols. For each connection:
//!
//! ```text
//! connection_made  data_received*  eof_received?  connection_lost       each at most once but data_received
//!                  pause_writing and resume_writing in pairs            in between, at any time
//!                  timed_out, told, turn_ending                         in between, at any time
//! ```
//!
//! A connection that could not be made gets `connection_lost` alone.

mod client;
mod inbound_peer;
mod neighbours;
mod outbound_peer;
mod places_request;
mod places_server;
mod replies;
mod server;
mod transport;

use std::io;
use std::net::SocketAddr;

use crate::clock::Moment;
use crate::places::answer::Answer;
use crate::places::pool::Failure;
use crate::places::question::Question;
use crate::store::PREFETCH_MAX;
use crate::text::fields::fields;
use crate::text::peer_line::Epoch;
use crate::text::time::Time;

pub use client::Client;
pub use inbound_peer::InboundPeer;
pub use neighbours::{Dialled, Neighbour, NeighbourId, Neighbours};
pub use outbound_peer::OutboundPeer;
pub use places_request::{Job, PlacesRequest};
pub use places_server::PlacesServer;
pub use server::{Identity, Server};
pub use transport::{Ending, Transport, WaterMarks};

/// One side of a conversation; see the order of calls above.
pub trait Protocol {
    /// The connection is there.
    fn connection_made(&mut self, context: &mut Context<'_>);

    /// Uses what it can from the front of `data` and returns how many bytes that was. The rest is
    /// offered again with more behind it, or when reading is resumed.
    fn data_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize;

    /// The other side will send no more. `rest` is what `data_received` left unused.
    fn eof_received(&mut self, context: &mut Context<'_>, rest: &[u8]);

    /// The output passed its high mark.
    fn pause_writing(&mut self, _context: &mut Context<'_>) {}

    /// The output fell to its low mark.
    fn resume_writing(&mut self, _context: &mut Context<'_>) {}

    /// The deadline set at the transport has come. No other is set.
    fn timed_out(&mut self, context: &mut Context<'_>);

    /// Another part of the server has something for this conversation.
    fn told(&mut self, _context: &mut Context<'_>, _message: Message) {}

    /// The turn of the loop ends, what was written is about to be sent. Called for links to
    /// neighbours only. Returns whether it could do more in a next turn that comes at once.
    fn turn_ending(&mut self, _context: &mut Context<'_>) -> bool {
        false
    }

    /// The connection is gone.
    fn connection_lost(&mut self, context: &mut Context<'_>, why: Lost);
}

/// All that a protocol may touch during one callback.
pub struct Context<'a> {
    /// The connection.
    pub id: ConnectionId,
    /// Its other side.
    pub address: SocketAddr,
    /// Monotonic time of the turn.
    pub now: Moment,
    /// Wall time after the bytes of this callback were read, in ns since 1970; see [`Context::received`].
    pub wall: u64,
    /// Where to write.
    pub transport: &'a mut Transport,
    /// What all conversations of this server share.
    pub server: &'a mut Server,
    /// What shall take this conversation's place when the callback returns, and get the rest of the input.
    pub successor: &'a mut Option<Conversation>,
}

impl Context<'_> {
    /// When the next line of those that were read together was received: one nanosecond after the one before.
    pub fn received(&mut self) -> Time {
        let received = Time::from_nanoseconds(self.wall);
        self.wall += 1;
        received
    }
}

/// A connection, by a name that never names another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    /// Where the loop keeps it.
    pub slot: u32,
    /// How many connections the loop has had before.
    pub generation: u32,
}

/// Why a connection is gone.
#[derive(Debug)]
pub enum Lost {
    /// This side closed it, and everything was sent.
    Closed,
    /// This side ended it at once.
    Aborted,
    /// The other side did not end it, or read what was owed to it, in time.
    TimedOut,
    /// It broke.
    Failed(io::Error),
    /// It could not be made.
    NotMade(io::Error),
}

/// What one part of the server has for a conversation.
#[derive(Debug)]
pub enum Message {
    /// For a client: Places' answer to the question with this ticket.
    Answer {
        /// The client's own number of the question.
        ticket: u32,
        /// The answer, whole.
        answer: Answer,
    },
    /// For a kept connection to Places: ask this.
    Ask(Job),
    /// The server is about to end: finish what was begun.
    Stop,
}

/// What a protocol wants of the loop, which carries it out after the callback has returned.
#[derive(Debug)]
pub enum Request {
    /// Ask Places and tell the answer to this connection.
    Ask {
        /// Who asks.
        asker: ConnectionId,
        /// The asker's own number of the question.
        ticket: u32,
        /// What is asked.
        question: Question,
    },
    /// The asker is gone: its questions need no answer.
    Withdraw(ConnectionId),
    /// A connection to Places is done with its question.
    Answered {
        /// The connection.
        by: ConnectionId,
        /// The answer or why there is none.
        result: Result<Answer, Failure>,
        /// Whether the connection can be asked again.
        reusable: bool,
    },
    /// This neighbour lives: dial it now if the link to it is down, or leads to an earlier life of it.
    Dial {
        /// The neighbour.
        neighbour: NeighbourId,
        /// The life of its store.
        epoch: Epoch,
    },
    /// The link to this neighbour is down: dial it again later.
    LinkLost {
        /// The neighbour.
        neighbour: NeighbourId,
    },
    /// End this connection.
    Abort(ConnectionId),
    /// This connection is a neighbour's: it does not count as a client's any longer.
    Linked(ConnectionId),
}

/// The kinds of conversation.
pub enum Conversation {
    /// With a client, or with somebody of whom nothing is known yet.
    Client(Client),
    /// With a neighbour that dialled: it tells what it knows.
    InboundPeer(InboundPeer),
    /// With a neighbour that was dialled: it is told what this server knows.
    OutboundPeer(OutboundPeer),
    /// With Places.
    PlacesRequest(Box<PlacesRequest>),
    /// As Places.
    PlacesServer(PlacesServer),
}

impl Conversation {
    /// The conversation's side of the contract.
    pub fn protocol(&mut self) -> &mut dyn Protocol {
        match self {
            Conversation::Client(client) => client,
            Conversation::InboundPeer(peer) => peer,
            Conversation::OutboundPeer(peer) => peer,
            Conversation::PlacesRequest(request) => request.as_mut(),
            Conversation::PlacesServer(server) => server,
        }
    }
}

/// A line between servers may have so many bytes beyond `limits.max_line`: what an AT line adds to an IAMAT.
const PEER_LINE_EXTRA: usize = 1024;

/// Has the store look ahead for the clients that the next lines are about, if there are several: whose
/// ID is their field number `place`.
fn prefetch(context: &Context<'_>, data: &[u8], place: usize) {
    // So many lines, whatever stands in them: these are looked at once more when they are carried out.
    let mut lines = memchr::memchr_iter(b'\n', data).take(PREFETCH_MAX);
    let mut start = lines.next().map_or(0, |end| end + 1);
    if start < data.len() {
        let behind = lines.filter_map(|end| {
            let line = &data[start..end];
            start = end + 1;
            fields(line).nth(place)
        });
        context.server.store.prefetch(behind);
    }
}

/// Splits the first line off `data`: the line without its LF, and how many bytes it takes with it.
fn first_line(data: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr::memchr(b'\n', data)?;
    Some((&data[..end], end + 1))
}

#[cfg(test)]
mod testing;
