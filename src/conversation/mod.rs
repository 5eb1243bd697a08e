//! The kinds of conversation that a server of a herd has: state machines without sockets.
//!
//! Each kind is a [`Protocol`]; [`Conversation`] is one of them. They share the [`Server`]: the store, the
//! neighbours, the log, the desk of questions to Places. A part of the program that addresses one kind holds a
//! typed [`Handle`] to it.

mod acknowledgements;
mod client;
pub mod counts;
mod durability;
mod followers;
mod handle;
mod idle_times;
mod inbound_peer;
mod lines;
mod neighbours;
pub mod operating;
mod outbound_peer;
mod places_request;
mod places_server;
mod refusals;
mod replies;
mod reporting;
mod searches;
mod server;
mod telnet;
mod unread;
mod web;

use crate::places::answer::Answer;
use crate::protocol::{Lost, Protocol, TlsKeys, TlsPeer};
use crate::text::fields::fields;
use crate::text::time::Time;
use counts::Party;

pub use client::Client;
pub use counts::Counts;
pub use durability::{Durability, Written};
pub use followers::Followers;
pub use handle::{Handle, Kind};
pub use inbound_peer::InboundPeer;
pub use neighbours::{Neighbour, NeighbourId, Neighbours};
pub use outbound_peer::OutboundPeer;
pub use places_request::PlacesRequest;
pub use places_server::PlacesServer;
pub use refusals::{EventLimit, OlderStatements};
pub use searches::{Progress, Searches};
pub use server::{CertificateEnds, Identity, PlacesDesk, Server, Signal, Waiter};
pub use web::{PhoneCounts, Web, WebShared};

/// The context of a callback, in a server of a herd.
pub type Context<'a> = crate::protocol::Context<'a, Server>;

/// A conversation of any kind.
pub enum Conversation {
    /// With a client, or with a peer that has not sent its HELLO yet.
    Client(Client),
    /// With a neighbour that dialled this server: it sends its changes.
    InboundPeer(InboundPeer),
    /// With a neighbour that this server dialled: it receives the changes of this server.
    OutboundPeer(OutboundPeer),
    /// With Places.
    PlacesRequest(Box<PlacesRequest>),
    /// With a program, a browser or a monitor, over HTTP.
    Web(Box<Web>),
}

impl Conversation {
    /// The protocol of this conversation, for one callback, whose time the server takes over.
    fn at(&mut self, context: &mut Context<'_>) -> &mut dyn Protocol<Shared = Server> {
        context.shared.set_time(context.wall);
        match self {
            Conversation::Client(client) => client,
            Conversation::InboundPeer(peer) => peer,
            Conversation::OutboundPeer(peer) => peer,
            Conversation::PlacesRequest(request) => request.as_mut(),
            Conversation::Web(web) => web.as_mut(),
        }
    }

    /// Replaces a client that has sent HELLO by an inbound peer, which gets the rest of the input.
    fn become_peer(&mut self, context: &mut Context<'_>, rest: &[u8]) -> usize {
        let Conversation::Client(client) = self else { return 0 };
        let Some(since) = client.hello_since() else { return 0 };
        let mut peer = InboundPeer::new(since);
        if client.is_on_port_of_clients() {
            peer.refuse_on_port_of_clients();
        }
        peer.connection_made(context);
        let used = peer.data_received(context, rest);
        *self = Conversation::InboundPeer(peer);
        context.shared.counts.closed(Party::Client);
        context.shared.counts.opened(Party::NeighbourIn);
        used
    }

    /// Whether `connection_made` was called, for a connection that was lost for this reason.
    fn was_made(&self, why: &Lost) -> bool {
        match self {
            Conversation::Client(_) => !matches!(why, Lost::NotMade(_)),
            Conversation::InboundPeer(_) => true,
            Conversation::OutboundPeer(peer) => peer.is_made(),
            Conversation::PlacesRequest(request) => request.is_made(),
            Conversation::Web(_) => !matches!(why, Lost::NotMade(_) | Lost::NotSecured(_)),
        }
    }

    /// Ends a link whose peer's certificate these keys do not accept.
    pub fn verify_peer(&mut self, context: &mut Context<'_>, keys: &dyn TlsKeys) {
        context.shared.set_time(context.wall);
        let Err(reason) = keys.verify(context.tls.unwrap_or(&TlsPeer::default())) else { return };
        match self {
            Conversation::InboundPeer(peer) => peer.distrust(context, &reason.to_string()),
            Conversation::OutboundPeer(peer) => peer.distrust(context, &reason.to_string()),
            Conversation::Client(_) | Conversation::PlacesRequest(_) | Conversation::Web(_) => {}
        }
    }

    /// Places has answered, or cannot answer, the question with this ticket.
    pub fn answered(&mut self, context: &mut Context<'_>, ticket: u32, answer: &Answer) {
        match self {
            Conversation::Client(client) => client.answered(context, ticket, answer),
            Conversation::Web(web) => web.answered(context, ticket, answer),
            Conversation::InboundPeer(_) | Conversation::OutboundPeer(_) | Conversation::PlacesRequest(_) => {
            }
        }
    }

    /// Takes what a search with this ticket has found, which has gone on in later turns.
    pub fn found(&mut self, context: &mut Context<'_>, ticket: u32, lines: Vec<u8>) {
        match self {
            Conversation::Client(client) => client.found(context, ticket, lines),
            Conversation::Web(web) => web.found(context, ticket, &lines),
            Conversation::InboundPeer(_) | Conversation::OutboundPeer(_) | Conversation::PlacesRequest(_) => {
            }
        }
    }

    /// The disk has changes that replies of this conversation wait for, or it fails.
    pub fn disk_reached(&mut self, context: &mut Context<'_>) {
        match self {
            Conversation::Client(client) => client.disk_reached(context),
            Conversation::Web(web) => web.disk_reached(context),
            Conversation::InboundPeer(_) | Conversation::OutboundPeer(_) | Conversation::PlacesRequest(_) => {
            }
        }
    }

    /// Writes the next portion of the stream of a follower.
    pub fn follow_on(&mut self, context: &mut Context<'_>) {
        match self {
            Conversation::Client(client) => client.follow_on(context),
            Conversation::Web(web) => web.follow_on(context),
            Conversation::InboundPeer(_) | Conversation::OutboundPeer(_) | Conversation::PlacesRequest(_) => {
            }
        }
    }

    /// Writes the next portion of a list.
    pub fn list_on(&mut self, context: &mut Context<'_>) {
        if let Conversation::Web(web) = self {
            web.list_on(context);
            web.report_on(context);
        }
    }
}

impl Protocol for Conversation {
    type Shared = Server;

    fn connection_made(&mut self, context: &mut Context<'_>) {
        context.shared.counts.opened(Party::of(self));
        self.at(context).connection_made(context);
    }

    fn secured(&mut self, context: &mut Context<'_>) {
        self.at(context).secured(context);
    }

    fn data_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let used = self.at(context).data_received(context, data);
        used + self.become_peer(context, &data[used..])
    }

    fn eof_received(&mut self, context: &mut Context<'_>, rest: &[u8]) {
        self.at(context).eof_received(context, rest);
    }

    fn pause_writing(&mut self, context: &mut Context<'_>) {
        self.at(context).pause_writing(context);
    }

    fn resume_writing(&mut self, context: &mut Context<'_>) {
        self.at(context).resume_writing(context);
    }

    fn timed_out(&mut self, context: &mut Context<'_>) {
        self.at(context).timed_out(context);
    }

    fn turn_ending(&mut self, context: &mut Context<'_>) -> bool {
        self.at(context).turn_ending(context)
    }

    fn shut_down(&mut self, context: &mut Context<'_>) {
        self.at(context).shut_down(context);
    }

    fn connection_lost(&mut self, context: &mut Context<'_>, why: Lost) {
        let (party, counts) = (Party::of(self), &mut context.shared.counts);
        if self.was_made(&why) {
            counts.closed(party);
        }
        if let Lost::NotSecured(_) = why {
            let is_dialled = matches!(party, Party::NeighbourOut | Party::Places);
            counts.handshakes_failed[usize::from(is_dialled)] += 1;
        }
        self.at(context).connection_lost(context, why);
    }
}

/// A line between servers may be longer than `limits.max_line` by this many bytes: an AT line is longer than
/// the IAMAT that it comes from.
const PEER_LINE_EXTRA: usize = 1024;

/// The server's time of the next line: lines that were read together are one nanosecond apart
/// (docs/protocol.md, section 1).
fn receipt_time(context: &mut Context<'_>) -> Time {
    let received = Time::from_nanoseconds(context.wall);
    context.wall += 1;
    received
}

/// Has the store prefetch the records of the clients that these lines are about. Their IDs stand in field
/// number `field`.
fn prefetch<'a>(context: &Context<'_>, lines: impl Iterator<Item = &'a [u8]>, field: usize) {
    context.shared.store.prefetch(lines.filter_map(|line| fields(line).nth(field)));
}

#[cfg(test)]
mod testing;
