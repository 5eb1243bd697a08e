//! What a server counts for its metrics: plain integers, since all of it happens in one thread. Numbers that a part of
//! the server keeps anyway, such as those of the log and of the desk, stay there.

use super::Conversation;
use crate::metrics::Durations;
use crate::store::Outcome;
use crate::text::command::ClientCommand;

/// The counts of a server since its start.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Commands of clients, by [`Verb`].
    pub commands: [Tally; Verb::ALL.len()],
    /// Refused commands, by [`Cause`].
    pub refusals: [u64; Cause::ALL.len()],
    /// Statements of clients that were stored, those over HTTP included.
    pub changes_of_clients: u64,
    /// Statements of neighbours, by [`outcome_index`].
    pub statements_of_neighbours: [u64; OUTCOMES.len()],
    /// Clients whose statements have ended, and whose records were removed.
    pub clients_expired: u64,
    /// Responses over HTTP, by the first digit of their status.
    pub responses: [u64; 6],
    /// AT and LEFT lines that were sent to followers.
    pub lines_to_followers: u64,
    /// Accepted connections, by [`Listener`].
    pub accepted: [u64; Listener::ALL.len()],
    /// Connections that were closed at once or after a HELLO, by [`Rejection`].
    pub rejected: [u64; Rejection::ALL.len()],
    /// Failures to accept; one that is retried counts once.
    pub accept_errors: u64,
    /// Open connections, by [`Party`].
    pub open: [u64; Party::ALL.len()],
    /// Bytes read, by [`Party`], without what TLS adds.
    pub bytes_read: [u64; Party::ALL.len()],
    /// Bytes written, by [`Party`], without what TLS adds.
    pub bytes_written: [u64; Party::ALL.len()],
    /// TLS handshakes that have failed: of accepted connections, and of dialled ones.
    pub handshakes_failed: [u64; 2],
    /// Replies that this turn sends to commands that it has read.
    pub replies_of_turn: u64,
    /// The durations of the turns.
    pub turns: Durations,
    /// The latencies of the replies that leave in the turn of their command.
    pub replies: Durations,
}

impl Counts {
    /// The turn has lasted this long.
    #[inline]
    pub fn turn_lasted(&mut self, nanoseconds: u64) {
        self.turns.note(nanoseconds, 1);
        // A reply leaves at the end of the turn that has read its command. The time that the command has waited in the
        // socket meanwhile counts, too.
        let replies = std::mem::take(&mut self.replies_of_turn);
        if replies > 0 {
            self.replies.note(nanoseconds, replies);
        }
    }

    /// A connection is open.
    pub fn opened(&mut self, party: Party) {
        self.open[party as usize] += 1;
    }

    /// A connection is closed. A mistake in this count must not end a server.
    pub fn closed(&mut self, party: Party) {
        let open = &mut self.open[party as usize];
        *open = open.saturating_sub(1);
    }

    /// Changes of the store, of clients and of neighbours.
    pub fn changes(&self) -> [u64; 2] {
        [self.changes_of_clients, self.statements_of_neighbours[outcome_index(Outcome::Stored)]]
    }
}

/// What became of the commands of one verb.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that were carried out.
    pub accepted: u64,
    /// Statements that were answered and not stored, because the stored one is newer or the same.
    pub outdated: u64,
    /// Those that got `? `.
    pub refused: u64,
}

/// The verb of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// IAMAT.
    IamAt,
    /// WHATSAT.
    WhatsAt,
    /// NEAR.
    Near,
    /// FOLLOW.
    Follow,
    /// FORGET.
    Forget,
    /// A line that is no valid command.
    Invalid,
}

impl Verb {
    /// All verbs with their names.
    pub const ALL: [(Verb, &'static str); 6] = [
        (Verb::IamAt, "IAMAT"),
        (Verb::WhatsAt, "WHATSAT"),
        (Verb::Near, "NEAR"),
        (Verb::Follow, "FOLLOW"),
        (Verb::Forget, "FORGET"),
        (Verb::Invalid, "invalid"),
    ];

    /// The verb of a command.
    pub(super) fn of(command: &ClientCommand<'_>) -> Verb {
        match command {
            ClientCommand::IamAt(_) => Verb::IamAt,
            ClientCommand::WhatsAt(_) => Verb::WhatsAt,
            ClientCommand::Near(_) => Verb::Near,
            ClientCommand::Follow(_) => Verb::Follow,
            ClientCommand::Forget(_) => Verb::Forget,
            ClientCommand::Blank | ClientCommand::HttpRequest | ClientCommand::Invalid => Verb::Invalid,
        }
    }
}

/// The cause of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The line is no valid command.
    Invalid,
    /// The command names a client that is not known.
    UnknownClient,
    /// `limits.max_line`.
    TooLong,
    /// `limits.max_future_s`.
    TooFarAhead,
    /// `limits.max_clients`.
    StoreFull,
    /// The disk fails, and `store.sync` is `"always"`.
    Disk,
    /// `limits.max_followers`.
    Followers,
    /// Too many bytes of earlier answers were not read.
    Unread,
}

impl Cause {
    /// All causes with their names.
    pub const ALL: [(Cause, &'static str); 8] = [
        (Cause::Invalid, "invalid"),
        (Cause::UnknownClient, "unknown_client"),
        (Cause::TooLong, "too_long"),
        (Cause::TooFarAhead, "too_far_ahead"),
        (Cause::StoreFull, "store_full"),
        (Cause::Disk, "disk"),
        (Cause::Followers, "too_many_followers"),
        (Cause::Unread, "answers_unread"),
    ];
}

/// Why a connection was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// `limits.max_connections` or `limits.max_connections_per_address`.
    Full,
    /// It is on the port of neighbours, and is not a neighbour's.
    NotANeighbour,
    /// Its HELLO was refused.
    Hello,
}

impl Rejection {
    /// All rejections with their names.
    pub const ALL: [(Rejection, &'static str); 3] = [
        (Rejection::Full, "full"),
        (Rejection::NotANeighbour, "not_a_neighbour"),
        (Rejection::Hello, "hello"),
    ];
}

/// The other side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// A client, or a connection that has not sent a HELLO.
    Client,
    /// A neighbour that has dialled this server.
    NeighbourIn,
    /// A neighbour that this server has dialled.
    NeighbourOut,
    /// The Places service.
    Places,
    /// A client, a browser or a program over HTTP.
    Http,
}

impl Party {
    /// All of them with their names.
    pub const ALL: [(Party, &'static str); 5] = [
        (Party::Client, "client"),
        (Party::NeighbourIn, "neighbour_in"),
        (Party::NeighbourOut, "neighbour_out"),
        (Party::Places, "places"),
        (Party::Http, "http"),
    ];

    /// The other side of a conversation.
    #[inline]
    pub fn of(conversation: &Conversation) -> Party {
        match conversation {
            Conversation::Client(_) => Party::Client,
            Conversation::InboundPeer(_) => Party::NeighbourIn,
            Conversation::OutboundPeer(_) => Party::NeighbourOut,
            Conversation::PlacesRequest(_) => Party::Places,
            Conversation::Web(_) => Party::Http,
        }
    }
}

/// The index of an outcome of a statement.
pub fn outcome_index(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Stored => 0,
        Outcome::Lost => 1,
        Outcome::Over => 2,
        Outcome::Full => 3,
    }
}

/// The names of the outcomes of a statement, by their index.
pub const OUTCOMES: [&str; 4] = ["stored", "outdated", "expired", "store_full"];

/// A listener of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// That of clients, and of neighbours that have none of their own.
    Clients,
    /// That of neighbours.
    Neighbours,
    /// That of HTTP.
    Http,
}

impl Listener {
    /// All of them with their names.
    pub const ALL: [(Listener, &'static str); 3] =
        [(Listener::Clients, "clients"), (Listener::Neighbours, "neighbours"), (Listener::Http, "http")];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_at_the_index_of_its_value() {
        assert!(Verb::ALL.iter().enumerate().all(|(index, (verb, _))| *verb as usize == index));
        assert!(Cause::ALL.iter().enumerate().all(|(index, (cause, _))| *cause as usize == index));
        assert!(Rejection::ALL.iter().enumerate().all(|(index, (why, _))| *why as usize == index));
        assert!(Listener::ALL.iter().enumerate().all(|(index, (one, _))| *one as usize == index));
        assert!(Party::ALL.iter().enumerate().all(|(index, (party, _))| *party as usize == index));
    }

    #[test]
    fn the_replies_of_a_turn_have_its_duration() {
        let mut counts = Counts { replies_of_turn: 3, ..Counts::default() };
        counts.turn_lasted(15_000);
        counts.turn_lasted(30_000);
        assert_eq!((counts.turns.sum_ns(), counts.replies.sum_ns()), (45_000, 45_000));
        assert_eq!(
            (counts.turns.cumulative().last(), counts.replies.cumulative().last()),
            (Some(2), Some(3))
        );
    }
}
