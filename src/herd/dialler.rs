//! Dialling one remote: looking up its name, connecting, retrying with backoff. It knows nothing of what is
//! said on the connection, and opens none: each method returns the [`Step`] to take.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::backoff::Backoff;
use crate::clock::Moment;
use crate::config::{Host, HostPort};
use crate::protocol::ConnectionId;

/// The dialler of one remote.
#[derive(Debug)]
pub struct Dialler {
    address: HostPort,
    /// The remote is to be connected.
    wanted: bool,
    state: State,
    backoff: Backoff,
    /// When the remote is dialled again, if it is down then.
    retry_at: Moment,
    /// The addresses that were found last.
    addresses: Vec<SocketAddr>,
    /// How many addresses were found to lead to something else since the remote has proved that it works.
    skipped: usize,
    /// When the present connection was started.
    started: Moment,
    restart: Restart,
}

/// An action that a dialler asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Look up this name, then call [`Dialler::resolved`].
    Resolve(HostPort),
    /// Connect to one of these addresses, then call [`Dialler::connecting`].
    Connect(Vec<SocketAddr>),
    /// Call [`Dialler::wake`] at this moment.
    WakeAt(Moment),
    /// End this connection; [`Dialler::lost`] follows.
    Abort(ConnectionId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no connection.
    Down,
    /// The name is being looked up. `stale`: it has changed meanwhile.
    Resolving { stale: bool },
    /// A connection was asked for.
    Connecting,
    /// There is a connection, which may not be complete.
    Dialled(ConnectionId),
}

/// Whether the present attempt is replaced by another one at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    /// It is not.
    No,
    /// It is being ended, and another one follows without a delay.
    Due,
    /// It is such another one, and is not replaced again. If each side could end its attempt whenever the
    /// other's arrives, neither might ever complete one.
    Done,
}

impl Dialler {
    /// The dialler of a remote at this address, which is not dialled yet.
    pub fn new(address: HostPort) -> Dialler {
        Dialler {
            address,
            wanted: true,
            state: State::Down,
            backoff: Backoff::new(),
            retry_at: Moment::START,
            addresses: Vec::new(),
            skipped: 0,
            started: Moment::START,
            restart: Restart::No,
        }
    }

    /// The address of the remote.
    pub fn address(&self) -> &HostPort {
        &self.address
    }

    /// Dials the remote at this address from now on. A connection to another address is ended.
    pub fn want(&mut self, address: &HostPort) -> Option<Step> {
        self.wanted = true;
        if self.address != *address {
            self.address = address.clone();
            self.addresses.clear();
            if let State::Resolving { stale } = &mut self.state {
                *stale = true;
            }
            self.skipped = 0;
            if let Some(connection) = self.connection() {
                return Some(Step::Abort(connection));
            }
        }
        self.dial()
    }

    /// Stops dialling the remote, and ends its connection.
    pub fn forget(&mut self) -> Option<Step> {
        self.wanted = false;
        self.connection().map(Step::Abort)
    }

    /// Dials the remote at once, if it is wanted and down.
    pub fn dial(&mut self) -> Option<Step> {
        if !self.wanted || self.state != State::Down {
            return None;
        }
        if let Some(addresses) = known_addresses(&self.address) {
            return Some(self.connect(addresses));
        }
        self.state = State::Resolving { stale: false };
        Some(Step::Resolve(self.address.clone()))
    }

    /// The lookup has ended. If it has failed, the addresses of an earlier one are dialled. The error is that of the
    /// lookup: the caller reports it and calls [`Dialler::lost`].
    pub fn resolved(&mut self, addresses: io::Result<Vec<SocketAddr>>) -> io::Result<Option<Step>> {
        let State::Resolving { stale } = self.state else {
            return Ok(None);
        };
        self.state = State::Down;
        if stale || !self.wanted {
            return Ok(self.dial());
        }
        let addresses = match addresses {
            // Outdated addresses are better than none.
            Err(_) if !self.addresses.is_empty() => self.addresses.clone(),
            result => result?,
        };
        Ok(Some(self.connect(addresses)))
    }

    /// Connects to these addresses in order, which begins after those that were found to lead to something else.
    fn connect(&mut self, mut addresses: Vec<SocketAddr>) -> Step {
        self.state = State::Connecting;
        self.addresses.clone_from(&addresses);
        if !addresses.is_empty() {
            let first = self.skipped % addresses.len();
            addresses.rotate_left(first);
        }
        Step::Connect(addresses)
    }

    /// Whether the remote was dialled last at an address of this machine.
    pub fn leads_to(&self, ip: IpAddr) -> bool {
        self.wanted && self.addresses.iter().any(|known| known.ip().to_canonical() == ip.to_canonical())
    }

    /// The connection, complete or not.
    pub fn connection(&self) -> Option<ConnectionId> {
        if let State::Dialled(connection) = self.state { Some(connection) } else { None }
    }

    /// Notes the name of the connection that was asked for.
    pub fn connecting(&mut self, connection: ConnectionId, now: Moment) {
        self.state = State::Dialled(connection);
        self.started = now;
    }

    /// The remote is reachable, and its connection is not complete: dials it at once if it is down. An attempt of
    /// more than [`FRESH_MAX`] is ended and replaced, since its packets may have been lost while the remote was
    /// not reachable.
    pub fn reachable(&mut self, now: Moment) -> Option<Step> {
        if let State::Dialled(connection) = self.state
            && self.restart == Restart::No
            && now >= self.started + FRESH_MAX
        {
            self.restart = Restart::Due;
            return Some(Step::Abort(connection));
        }
        self.dial()
    }

    /// The remote has proved that it works: the next retry is soon.
    pub fn works(&mut self) {
        self.backoff.reset();
        self.skipped = 0;
    }

    /// Something else answers at the address that was connected. The next attempt begins at the next one, so that it
    /// does not hide the others.
    pub fn is_something_else(&mut self) {
        self.skipped = self.skipped.wrapping_add(1);
    }

    /// The connection is lost, or could not be made. `chance`: a random number for the jitter.
    pub fn lost(&mut self, now: Moment, chance: u32) -> Step {
        self.state = State::Down;
        let delay = self.backoff.next_delay(chance);
        if std::mem::replace(&mut self.restart, Restart::No) == Restart::Due
            && let Some(step) = self.dial()
        {
            self.restart = Restart::Done;
            return step;
        }
        self.retry_at = now + delay;
        Step::WakeAt(self.retry_at)
    }

    /// A moment of [`Step::WakeAt`] has come; a superseded one does nothing.
    pub fn wake(&mut self, now: Moment) -> Option<Step> {
        if now >= self.retry_at { self.dial() } else { None }
    }
}

/// The addresses of a host that needs no lookup.
pub(super) fn known_addresses(address: &HostPort) -> Option<Vec<SocketAddr>> {
    let port = address.port;
    match &address.host {
        Host::Address(ip) => Some(vec![SocketAddr::new(*ip, port)]),
        // localhost is this machine, whatever a resolver says (RFC 6761, section 6.3).
        Host::Name(_) if address.host.is_loopback() => {
            let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            Some(both.map(|ip| SocketAddr::new(ip, port)).to_vec())
        }
        Host::Name(_) => None,
    }
}

/// How long an attempt is left alone although the remote is reachable: a handshake between continents takes less.
const FRESH_MAX: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: ConnectionId = ConnectionId { slot: 1, generation: 1 };

    fn named(port: u16) -> HostPort {
        HostPort { host: Host::Name("riley.example".into()), port }
    }

    fn addresses() -> Vec<SocketAddr> {
        vec!["192.0.2.1:1".parse().unwrap()]
    }

    /// A dialler whose connection is [`LINK`].
    fn dialled() -> Dialler {
        let mut dialler = Dialler::new(named(1));
        dialler.dial();
        dialler.resolved(Ok(addresses())).unwrap();
        dialler.connecting(LINK, Moment::START);
        dialler
    }

    #[test]
    fn a_name_is_looked_up_and_connected() {
        let mut dialler = Dialler::new(named(1));
        assert_eq!(dialler.dial(), Some(Step::Resolve(named(1))));
        assert_eq!(dialler.dial(), None, "one attempt at a time");
        assert_eq!(dialler.resolved(Ok(addresses())).unwrap(), Some(Step::Connect(addresses())));
        dialler.connecting(LINK, Moment::START);
        assert_eq!(dialler.dial(), None);
    }

    #[test]
    fn a_stuck_attempt_is_replaced_once_when_the_remote_is_reachable() {
        let mut dialler = dialled();
        let later = Moment::START + FRESH_MAX;
        assert_eq!(dialler.reachable(Moment::START), None, "it is fresh");
        assert_eq!(dialler.reachable(later), Some(Step::Abort(LINK)));
        assert_eq!(dialler.reachable(later), None, "it is being ended");
        assert_eq!(dialler.lost(later, 0), Step::Resolve(named(1)), "without a delay");
        dialler.resolved(Ok(addresses())).unwrap();
        dialler.connecting(LINK, later);
        let much_later = later + FRESH_MAX * 2;
        assert_eq!(dialler.reachable(much_later), None, "not a second time");
        let Step::WakeAt(at) = dialler.lost(much_later, 0) else { panic!("no retry") };
        assert!(dialler.wake(at).is_some());
        dialler.resolved(Ok(addresses())).unwrap();
        dialler.connecting(LINK, at);
        assert_eq!(dialler.reachable(at + FRESH_MAX), Some(Step::Abort(LINK)), "the next one may be");
        dialler.forget();
        assert!(matches!(dialler.lost(at, 0), Step::WakeAt(_)), "a forgotten remote is not dialled");
    }

    #[test]
    fn numeric_addresses_and_localhost_need_no_lookup() {
        let localhost = HostPort { host: Host::Name("localhost".into()), port: 7 };
        let both = ["127.0.0.1:7", "[::1]:7"].map(|address| address.parse().unwrap()).to_vec();
        assert_eq!(Dialler::new(localhost).dial(), Some(Step::Connect(both)));
        let numeric = HostPort { host: Host::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)), port: 7 };
        assert!(matches!(Dialler::new(numeric).dial(), Some(Step::Connect(one)) if one.len() == 1));
    }

    #[test]
    fn a_lost_connection_is_retried_with_backoff_and_only_when_it_is_time() {
        let mut dialler = dialled();
        let mut delays = Vec::new();
        for _ in 0..3 {
            let Step::WakeAt(at) = dialler.lost(Moment::START, u32::MAX) else { panic!("no retry") };
            delays.push((at - Moment::START).as_millis());
            assert_eq!(dialler.wake(Moment::START), None, "too early");
            assert_eq!(dialler.wake(at), Some(Step::Resolve(named(1))));
        }
        assert_eq!(delays, [50, 100, 200]);
        dialler.works();
        assert_eq!(dialler.lost(Moment::START, 0), Step::WakeAt(Moment::START + Duration::from_millis(25)));
    }

    #[test]
    fn an_address_of_something_else_does_not_hide_the_others() {
        let all = ["192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.2:1"].map(|address| address.parse().unwrap());
        let mut dialler = Dialler::new(named(1));
        let mut firsts = Vec::new();
        for attempt in 0..5 {
            dialler.dial();
            let Ok(Some(Step::Connect(dialled))) = dialler.resolved(Ok(all.to_vec())) else { panic!() };
            assert_eq!(dialled.len(), 3, "all are tried");
            firsts.push(dialled[0]);
            dialler.connecting(LINK, Moment::START);
            match attempt {
                0 => {}
                3 => dialler.works(),
                _ => dialler.is_something_else(),
            }
            dialler.lost(Moment::START, 0);
        }
        assert_eq!(firsts, [all[0], all[0], all[1], all[2], all[0]]);
        assert!(all.iter().all(|address| dialler.leads_to(address.ip())));
        assert!(!dialler.leads_to("192.0.2.3".parse().unwrap()));
        dialler.forget();
        assert!(!dialler.leads_to(all[0].ip()));
    }

    #[test]
    fn a_failed_lookup_is_reported() {
        let mut dialler = Dialler::new(named(1));
        dialler.dial();
        assert!(dialler.resolved(Err(io::ErrorKind::NotFound.into())).is_err());
        assert!(matches!(dialler.lost(Moment::START, 0), Step::WakeAt(_)));
    }

    #[test]
    fn outdated_addresses_are_dialled_if_a_later_lookup_fails() {
        let mut dialler = dialled();
        dialler.lost(Moment::START, 0);
        for _ in 0..2 {
            dialler.dial();
            let step = dialler.resolved(Err(io::ErrorKind::NotFound.into())).unwrap();
            assert_eq!(step, Some(Step::Connect(addresses())));
            dialler.lost(Moment::START, 0);
        }
        // Not those of another name.
        dialler.want(&named(2));
        assert!(dialler.resolved(Err(io::ErrorKind::NotFound.into())).is_err());
    }

    #[test]
    fn a_changed_address_ends_the_connection_and_outdates_the_lookup() {
        let mut dialler = dialled();
        assert_eq!(dialler.want(&named(1)), None, "nothing has changed");
        assert_eq!(dialler.want(&named(2)), Some(Step::Abort(LINK)));
        let mut resolving = Dialler::new(named(1));
        resolving.dial();
        assert_eq!(resolving.want(&named(2)), None);
        assert_eq!(resolving.resolved(Ok(addresses())).unwrap(), Some(Step::Resolve(named(2))));
    }

    #[test]
    fn a_forgotten_remote_is_not_dialled_until_it_is_wanted_again() {
        let mut dialler = dialled();
        assert_eq!(dialler.forget(), Some(Step::Abort(LINK)));
        let Step::WakeAt(at) = dialler.lost(Moment::START, 0) else { panic!("no retry") };
        assert_eq!(dialler.wake(at), None);
        assert_eq!(dialler.want(&named(1)), Some(Step::Resolve(named(1))));
        dialler.forget();
        assert_eq!(dialler.resolved(Ok(addresses())).unwrap(), None);
    }
}
