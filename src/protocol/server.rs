//! What one server of a herd is and knows: all that its conversations share.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Neighbours, Request};
use crate::config::Limits;
use crate::log::Log;
use crate::store::{Origin, Outcome, Store};
use crate::text::peer_line::Epoch;
use crate::text::record::Statement;

/// Who a server is. Does not change as long as it runs.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The name of its herd.
    pub herd: Box<str>,
    /// Its own name.
    pub name: Box<str>,
    /// The life of its store.
    pub epoch: Epoch,
}

/// What one server of a herd is and knows.
#[derive(Debug)]
pub struct Server {
    /// Who it is.
    pub identity: Identity,
    /// What it allows.
    pub limits: Limits,
    /// A link on which nothing arrives for so long is dropped.
    pub silence: Duration,
    /// Where all clients were last.
    pub store: Store,
    /// Whom it talks to.
    pub neighbours: Neighbours,
    /// What it writes down.
    pub log: Log,
    /// What conversations want of the loop.
    pub requests: VecDeque<Request>,
    /// Bytes of answers of Places that clients have not read.
    pub answers_kept: usize,
    /// Statements of neighbours that found no room; see [`Outcome::Full`].
    pub statements_dropped: u64,
    /// Whether it is about to end: neighbours are told what they lack, then everything is closed.
    pub stopping: bool,
}

impl Server {
    /// A server that knows nobody yet.
    pub fn new(identity: Identity, limits: Limits, silence: Duration, log: Log) -> Server {
        Server {
            store: Store::new(limits.max_clients),
            identity,
            limits,
            silence,
            neighbours: Neighbours::default(),
            log,
            requests: VecDeque::new(),
            answers_kept: 0,
            statements_dropped: 0,
            stopping: false,
        }
    }

    /// Stores what a neighbour told, if it wins.
    pub fn hear(&mut self, statement: &Statement<'_>, line: &[u8], origin: Origin) {
        if self.store.report(statement, line, origin) == Outcome::Full {
            if self.statements_dropped == 0 {
                let (known, most) = (self.store.len(), self.limits.max_clients);
                self.log.event(format_args!(
                    "Statements are dropped, there is no room for them: {known} clients are known, \
                     limits.max_clients is {most}"
                ));
            }
            self.statements_dropped += 1;
        }
    }

    /// How often something must be said on a link, so that it is not taken for dead.
    pub fn heartbeat(&self) -> Duration {
        (self.silence / 3).min(HEARTBEAT_MAX)
    }
}

/// A heartbeat comes at least so often.
const HEARTBEAT_MAX: Duration = Duration::from_secs(1);
