//! The neighbours of a server: the facts that the conversations with them share. When to dial one is not
//! decided here.

use std::time::Duration;

use crate::clock::Moment;
use crate::protocol::{ConnectionId, TlsPeer};
use crate::store::Origin;
use crate::text::peer_line::Epoch;

/// The number of a neighbour. It stays the same as long as the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NeighbourId(pub usize);

/// The facts about one neighbour.
#[derive(Debug)]
pub struct Neighbour {
    /// Its name in the herd file.
    pub name: Box<str>,
    /// Its address in the herd file.
    pub address: Box<str>,
    /// The herd file still names the neighbour.
    pub present: bool,
    /// The newest link that the neighbour dialled.
    pub inbound: Option<ConnectionId>,
    /// The link that this server dialled, once it is up, and the epoch of the neighbour's WELCOME.
    pub outbound: Option<(ConnectionId, Epoch)>,
    /// Since when the inbound link is up or down; [`Moment::START`]: it was never up.
    pub inbound_since: Moment,
    /// Since when the outbound link is up or down; [`Moment::START`]: it was never up.
    pub outbound_since: Moment,
    /// The time from a MARK to its ACK on the outbound link, which the neighbour may delay by 20 ms. `None`: no ACK has
    /// arrived since the link is up.
    pub round_trip: Option<Duration>,
    /// The neighbour has acknowledged changes on an outbound link.
    pub was_reached: bool,
    /// This server had once what the neighbour had.
    pub was_caught_up: bool,
    /// The neighbour needs none of the changes up to this one.
    acknowledged: u64,
    /// The problems with the outbound link that were logged since the link was last up.
    troubles: Vec<Box<str>>,
    /// That statements flow one way was logged since the outbound link was last up.
    one_way_was_logged: bool,
    /// The last change that was received from the neighbour, and the epoch that counts it.
    received: Option<(Epoch, u64)>,
    /// The neighbour's most recent incarnations.
    incarnations: [Option<(Epoch, Origin)>; INCARNATIONS_KEPT],
}

impl Neighbour {
    /// The outbound link is up, and WELCOME has this number.
    pub fn welcomed_with(&mut self, since: u64) {
        self.acknowledged = since;
    }

    /// The neighbour has, or has sent itself, every change up to this one.
    pub fn acknowledged(&mut self, sequence: u64) {
        self.acknowledged = self.acknowledged.max(sequence);
        self.was_reached = true;
    }

    /// The changes up to `sequence`, of at most `records` records, that the neighbour has not acknowledged.
    pub fn unacknowledged(&self, sequence: u64, records: usize) -> u64 {
        sequence.saturating_sub(self.acknowledged).min(records as u64)
    }

    /// Whether a problem with the outbound link is to be logged: once until the link is up again. At most
    /// [`TROUBLES_MAX`] different ones are.
    pub fn is_new_trouble(&mut self, trouble: &str) -> bool {
        let is_new =
            self.troubles.len() < TROUBLES_MAX && self.troubles.iter().all(|known| **known != *trouble);
        if is_new {
            self.troubles.push(trouble.into());
        }
        is_new
    }

    /// Whether the event that statements flow one way is to be logged: once until the outbound link is up again. It
    /// does not count among the other problems, which may be [`TROUBLES_MAX`] already.
    pub fn is_newly_one_way(&mut self) -> bool {
        !std::mem::replace(&mut self.one_way_was_logged, true)
    }

    /// The outbound link is up.
    pub fn forget_troubles(&mut self) {
        self.troubles = Vec::new();
        self.one_way_was_logged = false;
    }

    /// The last change of this epoch that was received; 0: none.
    pub fn received(&self, epoch: Epoch) -> u64 {
        self.received.filter(|received| received.0 == epoch).map_or(0, |received| received.1)
    }

    /// The last change that was received, and the epoch that counts it.
    pub fn received_last(&self) -> Option<(Epoch, u64)> {
        self.received
    }

    /// Every change of this epoch up to `sequence` was received.
    pub fn note_received(&mut self, epoch: Epoch, sequence: u64) {
        self.received = Some((epoch, sequence));
    }
}

/// All neighbours.
#[derive(Debug, Default)]
pub struct Neighbours {
    all: Vec<Neighbour>,
    origins: u32,
    /// Changes that this server had received before it was started, by the names of neighbours that were not added yet.
    received_before: Vec<(Box<str>, Epoch, u64)>,
}

impl Neighbours {
    /// Adds a neighbour, or brings back one that was removed.
    pub fn add(&mut self, name: &str) -> NeighbourId {
        if let Some(known) = self.all.iter().position(|known| &*known.name == name) {
            self.all[known].present = true;
            return NeighbourId(known);
        }
        let received = self.take_received_before(name);
        self.all.push(Neighbour {
            name: name.into(),
            address: Box::default(),
            present: true,
            inbound: None,
            outbound: None,
            inbound_since: Moment::START,
            outbound_since: Moment::START,
            round_trip: None,
            was_reached: false,
            was_caught_up: false,
            acknowledged: 0,
            troubles: Vec::new(),
            one_way_was_logged: false,
            received,
            incarnations: [None; INCARNATIONS_KEPT],
        });
        NeighbourId(self.all.len() - 1)
    }

    /// Every change of this epoch up to `sequence` was received from a neighbour of this name before this server was
    /// started. No link to it was up since.
    pub fn note_received_before(&mut self, name: &str, epoch: Epoch, sequence: u64) {
        match self.all.iter_mut().find(|known| &*known.name == name) {
            Some(known) => known.note_received(epoch, sequence),
            None => self.received_before.push((name.into(), epoch, sequence)),
        }
    }

    fn take_received_before(&mut self, name: &str) -> Option<(Epoch, u64)> {
        let found = self.received_before.iter().position(|(known, ..)| **known == *name)?;
        let (_, epoch, sequence) = self.received_before.swap_remove(found);
        Some((epoch, sequence))
    }

    /// The neighbour of this name, if the herd file names it.
    pub fn find(&self, name: &[u8]) -> Option<NeighbourId> {
        self.all.iter().position(|known| known.present && known.name.as_bytes() == name).map(NeighbourId)
    }

    /// Whether a certificate is that of a neighbour that the herd file names.
    pub fn has_one_of(&self, peer: &TlsPeer) -> bool {
        self.all.iter().any(|known| known.present && peer.has_name(&known.name))
    }

    /// All neighbours that there ever were.
    pub fn ids(&self) -> impl Iterator<Item = NeighbourId> + use<> {
        (0..self.all.len()).map(NeighbourId)
    }

    /// The facts about a neighbour.
    pub fn get(&self, id: NeighbourId) -> &Neighbour {
        &self.all[id.0]
    }

    /// The facts about a neighbour.
    pub fn get_mut(&mut self, id: NeighbourId) -> &mut Neighbour {
        &mut self.all[id.0]
    }

    /// The origin of statements that this incarnation of a neighbour sends. Each incarnation has its own,
    /// because a neighbour that restarted empty needs its own statements back.
    pub fn origin(&mut self, id: NeighbourId, epoch: Epoch) -> Origin {
        let incarnations = &mut self.all[id.0].incarnations;
        if let Some((_, origin)) = incarnations.iter().flatten().find(|known| known.0 == epoch) {
            return *origin;
        }
        // An old incarnation that was dropped from the list and connects again gets another origin. The
        // only cost is that it receives its own statements.
        self.origins += 1;
        let origin = Origin(self.origins);
        incarnations.rotate_right(1);
        incarnations[0] = Some((epoch, origin));
        origin
    }
}

/// Different problems with one link that are logged: a neighbour that answers something else each time must not
/// fill the log.
const TROUBLES_MAX: usize = 8;
/// Incarnations remembered for a neighbour: the one that sent WELCOME on the outbound link, and a newer one
/// that has dialled.
const INCARNATIONS_KEPT: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> (Neighbours, NeighbourId) {
        let mut all = Neighbours::default();
        let id = all.add("Jaquez");
        (all, id)
    }

    #[test]
    fn each_incarnation_has_its_own_origin() {
        let (mut all, id) = one();
        let first = all.origin(id, Epoch(1));
        let second = all.origin(id, Epoch(2));
        assert_ne!(first, second);
        assert_ne!(first, Origin::CLIENT);
        assert_eq!((all.origin(id, Epoch(1)), all.origin(id, Epoch(2))), (first, second));
    }

    #[test]
    fn each_trouble_is_new_once_until_the_link_is_up() {
        let (mut all, id) = one();
        let known = all.get_mut(id);
        assert!(known.is_new_trouble("a") && known.is_new_trouble("b"));
        assert!(!known.is_new_trouble("a") && !known.is_new_trouble("b"));
        known.forget_troubles();
        assert!(known.is_new_trouble("a"));
        let logged = (0..100).filter(|number| known.is_new_trouble(&number.to_string())).count();
        assert_eq!(logged, TROUBLES_MAX - 1);
    }

    #[test]
    fn received_changes_are_counted_by_epoch() {
        let (mut all, id) = one();
        all.get_mut(id).note_received(Epoch(1), 7);
        assert_eq!((all.get(id).received(Epoch(1)), all.get(id).received(Epoch(2))), (7, 0));
    }

    #[test]
    fn a_neighbour_that_is_named_again_keeps_its_id() {
        let (mut all, id) = one();
        all.get_mut(id).present = false;
        assert_eq!(all.find(b"Jaquez"), None);
        assert_eq!(all.add("Jaquez"), id);
        assert_eq!(all.find(b"Jaquez"), Some(id));
    }
}
