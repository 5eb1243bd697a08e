//! The neighbours of a server: what both links to each of them share.

use std::time::Duration;

use super::ConnectionId;
use crate::clock::Moment;
use crate::config::HostPort;
use crate::store::Origin;
use crate::text::peer_line::Epoch;

/// One neighbour among the others. Stays the same as long as the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourId(pub usize);

/// How far this server's link to a neighbour is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// There is none.
    Down,
    /// The neighbour's name is being looked up.
    Resolving,
    /// It is being made, or waits for WELCOME.
    Connecting(ConnectionId),
    /// The neighbour said WELCOME in this life of its store.
    Up(ConnectionId, Epoch),
}

impl Dialled {
    /// The connection, if there is one.
    pub fn connection(self) -> Option<ConnectionId> {
        match self {
            Dialled::Connecting(id) | Dialled::Up(id, _) => Some(id),
            Dialled::Down | Dialled::Resolving => None,
        }
    }
}

/// What is known of one neighbour.
#[derive(Debug)]
pub struct Neighbour {
    /// Its name.
    pub name: Box<str>,
    /// Where it is dialled.
    pub address: HostPort,
    /// Whether the herd file still names it.
    pub present: bool,
    /// The newest link that it dialled.
    pub accepted: Option<ConnectionId>,
    /// The link that this server dials.
    pub dialled: Dialled,
    /// How long to wait before the next attempt; doubles with each, see [`Neighbour::next_delay`].
    delay: Duration,
    /// When it is dialled again, if there is no link by then.
    pub dial_at: Moment,
    /// Whether the trouble with the link was logged since it was last up.
    pub trouble_logged: bool,
    /// How much of which life of its store this server holds.
    held: Option<(Epoch, u64)>,
    /// Its last lives that told or were told something.
    lives: [Option<(Epoch, Origin)>; LIVES_KEPT],
}

impl Neighbour {
    /// The last change of this life that this server holds; 0: none.
    pub fn held(&self, epoch: Epoch) -> u64 {
        self.held.filter(|held| held.0 == epoch).map_or(0, |held| held.1)
    }

    /// Notes that this server holds everything up to `sequence` of this life.
    pub fn hold(&mut self, epoch: Epoch, sequence: u64) {
        self.held = Some((epoch, sequence));
    }

    /// How long to wait before the neighbour is dialled again, without jitter.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.delay;
        self.delay = (delay * 2).min(DELAY_MAX);
        delay
    }

    /// Begins with short delays again: the neighbour has taken what it was told.
    pub fn reset_delay(&mut self) {
        self.delay = DELAY_MIN;
    }
}

/// All neighbours.
#[derive(Debug, Default)]
pub struct Neighbours {
    all: Vec<Neighbour>,
    origins: u32,
}

impl Neighbours {
    /// Adds a neighbour, or brings one back that was removed, or notes its new address.
    pub fn set(&mut self, name: &str, address: &HostPort) -> NeighbourId {
        if let Some(known) = self.all.iter_mut().position(|known| &*known.name == name) {
            let neighbour = &mut self.all[known];
            neighbour.present = true;
            neighbour.address = address.clone();
            return NeighbourId(known);
        }
        self.all.push(Neighbour {
            name: name.into(),
            address: address.clone(),
            present: true,
            accepted: None,
            dialled: Dialled::Down,
            delay: DELAY_MIN,
            dial_at: Moment::START,
            trouble_logged: false,
            held: None,
            lives: [None; LIVES_KEPT],
        });
        NeighbourId(self.all.len() - 1)
    }

    /// The neighbour of that name, if the herd file names it.
    pub fn find(&self, name: &[u8]) -> Option<NeighbourId> {
        self.all.iter().position(|known| known.present && known.name.as_bytes() == name).map(NeighbourId)
    }

    /// All that ever were neighbours.
    pub fn ids(&self) -> impl Iterator<Item = NeighbourId> + use<> {
        (0..self.all.len()).map(NeighbourId)
    }

    /// One of them.
    pub fn get(&self, id: NeighbourId) -> &Neighbour {
        &self.all[id.0]
    }

    /// One of them.
    pub fn get_mut(&mut self, id: NeighbourId) -> &mut Neighbour {
        &mut self.all[id.0]
    }

    /// How the store names what this neighbour tells in this life. By name *and* life, because a
    /// neighbour that came back empty needs its own statements told back.
    pub fn origin(&mut self, id: NeighbourId, epoch: Epoch) -> Origin {
        let lives = &mut self.all[id.0].lives;
        if let Some((_, origin)) = lives.iter().flatten().find(|life| life.0 == epoch) {
            return *origin;
        }
        // An old life that is forgotten and comes up again gets another number, which costs no more
        // than telling it what it knows.
        self.origins += 1;
        let origin = Origin(self.origins);
        lives.rotate_right(1);
        lives[0] = Some((epoch, origin));
        origin
    }
}

/// The first delay before a neighbour is dialled again: a restart takes less than a second.
const DELAY_MIN: Duration = Duration::from_millis(50);
/// The longest: a neighbour that is away for days costs one attempt in a second.
const DELAY_MAX: Duration = Duration::from_secs(1);
/// The life that a link was welcomed in, and the one that its neighbour dialled in meanwhile.
const LIVES_KEPT: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Host;

    fn one() -> (Neighbours, NeighbourId) {
        let mut all = Neighbours::default();
        let address = HostPort { host: Host::Name("localhost".into()), port: 1 };
        let id = all.set("Jaquez", &address);
        (all, id)
    }

    #[test]
    fn each_life_has_its_own_name() {
        let (mut all, id) = one();
        let first = all.origin(id, Epoch(1));
        let second = all.origin(id, Epoch(2));
        assert_ne!(first, second);
        assert_ne!(first, Origin::CLIENT);
        assert_eq!((all.origin(id, Epoch(1)), all.origin(id, Epoch(2))), (first, second));
    }

    #[test]
    fn what_is_held_is_of_one_life() {
        let (mut all, id) = one();
        all.get_mut(id).hold(Epoch(1), 7);
        assert_eq!((all.get(id).held(Epoch(1)), all.get(id).held(Epoch(2))), (7, 0));
    }

    #[test]
    fn delays_double_up_to_a_second() {
        let (mut all, id) = one();
        let mut delays: Vec<u128> = (0..7).map(|_| all.get_mut(id).next_delay().as_millis()).collect();
        assert_eq!(delays, [50, 100, 200, 400, 800, 1000, 1000]);
        all.get_mut(id).reset_delay();
        delays = vec![all.get_mut(id).next_delay().as_millis()];
        assert_eq!(delays, [50]);
    }

    #[test]
    fn a_neighbour_that_comes_back_is_the_same_one() {
        let (mut all, id) = one();
        all.get_mut(id).present = false;
        assert_eq!(all.find(b"Jaquez"), None);
        let address = HostPort { host: Host::Name("localhost".into()), port: 2 };
        assert_eq!(all.set("Jaquez", &address), id);
        assert_eq!(all.find(b"Jaquez"), Some(id));
        assert_eq!(all.get(id).address.port, 2);
    }
}
