//! The keys of the servers, and their changes (docs/protocol.md, section 4).

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use herd::protocol::TlsKeys;

use crate::chance::Chance;
use crate::client::Client;
use crate::connection::Side;
use crate::plan::Plan;
use crate::scripts::Act;
use crate::simulation::Simulation;
use crate::strangers::hello;
use crate::tap::Trusted;
use crate::tls::{Certificate, HerdKeys, Keys, Session};
use crate::wire::Wire;
use crate::world::{Happening, MILLISECOND, SECOND, Time};

/// TLS on the links of a herd.
pub struct Tls {
    pub chance: Chance,
    /// Random numbers for clients that leave their sockets open, which older seeds do not have.
    pub socket_chance: Chance,
    /// The time between two acts of mischief in the storm.
    every: Time,
    /// Keys change, and bytes are altered, in the storm.
    has_faults: bool,
    states: Vec<KeyState>,
    keys: Vec<Rc<Keys>>,
    serial: u64,
    record_max: usize,
    clock: Rc<Cell<Time>>,
}

/// The keys of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyState {
    name: String,
    authority: u8,
    trusted: Vec<u8>,
    until: Time,
}

impl Tls {
    /// TLS, in most seeds.
    pub fn new(mut chance: Chance, plan: &Plan, clock: &Rc<Cell<Time>>) -> Option<Tls> {
        if chance.one_in(PLAIN_ONE_IN) {
            return None;
        }
        let states = plan.names.iter().map(|name| KeyState {
            name: name.clone(),
            authority: 1,
            trusted: vec![1],
            until: Time::MAX,
        });
        let mut tls = Tls {
            every: chance.magnitude(100 * MILLISECOND, 4 * SECOND),
            has_faults: !plan.faults.is_empty() && chance.one_in(2),
            socket_chance: Chance::new(chance.clone().number() ^ SOCKETS),
            chance,
            states: states.collect(),
            keys: Vec::new(),
            serial: 0,
            // A record takes a few round trips: until it is complete, nothing of it is input.
            record_max: (4 * plan.conditions.window_min).min(RECORD_MAX),
            clock: clock.clone(),
        };
        for server in 0..plan.names.len() {
            let keys = tls.make(server);
            tls.keys.push(keys);
        }
        Some(tls)
    }

    pub fn herd_keys(&self, server: usize) -> Rc<dyn TlsKeys> {
        Rc::new(HerdKeys(self.keys[server].clone()))
    }

    fn make(&mut self, server: usize) -> Rc<Keys> {
        let KeyState { name, authority, trusted, until } = self.states[server].clone();
        let own = Certificate { name, authority, until };
        self.keys_of(Some(own), Some(trusted.into_iter().collect()))
    }

    fn keys_of(&mut self, own: Option<Certificate>, trusted: Option<BTreeSet<u8>>) -> Rc<Keys> {
        self.serial += 1;
        Rc::new(Keys::new(self.serial, own, trusted, self.record_max, self.clock.clone()))
    }

    /// A server starts, or its keys have changed: sessions of the earlier keys are not resumed.
    pub fn renew(&mut self, server: usize) {
        self.keys[server] = self.make(server);
    }

    pub fn trusted(&self, server: usize) -> Trusted {
        Trusted { authorities: self.states[server].trusted.clone() }
    }

    /// The connection of a client that shows this certificate, and looks at none.
    pub fn wire(&mut self, certificate: Option<Certificate>) -> Wire {
        let keys = self.keys_of(certificate, None);
        Wire::Tls(Box::new(Session::new(keys, Side::Dialler, "")))
    }
}

impl Simulation {
    pub fn schedule_mischief(&mut self) {
        if let Some(tls) = &mut self.tls
            && !self.plan.is_large()
        {
            let pause = tls.chance.below(2 * tls.every);
            self.world.borrow_mut().schedule_in(pause, Happening::Mischief);
        }
    }

    /// Changes the keys of a server, alters a byte on its way, or lets a stranger come.
    pub fn make_mischief(&mut self) {
        let Some(tls) = &mut self.tls else { return };
        match tls.chance.below(6) {
            0 if tls.has_faults => self.change_keys(),
            1 if tls.has_faults => self.alter_bytes(),
            _ => self.stranger_comes(),
        }
    }

    fn change_keys(&mut self) {
        let now = self.world.borrow().now;
        let Some(tls) = &mut self.tls else { return };
        let server = tls.chance.index(tls.states.len());
        let name = if tls.chance.one_in(5) { tls.chance.index(tls.states.len()) } else { server };
        let is_short = tls.chance.one_in(3);
        tls.states[server] = KeyState {
            name: self.plan.names[name].clone(),
            authority: *tls.chance.pick(&[1, 1, 2]),
            trusted: tls.chance.pick(&[vec![1], vec![1, 2], vec![1, 2], vec![2]]).clone(),
            until: if is_short { now + tls.chance.between(200, 5000) * MILLISECOND } else { Time::MAX },
        };
        self.use_keys(server);
    }

    /// Gives a server its keys, and lets it read them.
    fn use_keys(&mut self, server: usize) {
        let Some(tls) = &mut self.tls else { return };
        tls.renew(server);
        self.world.borrow().print(|| format!("server {server} gets {:?}", tls.states[server]));
        self.reload(server);
    }

    /// Gives all servers keys that fit one another.
    pub fn restore_keys(&mut self, authority: u8, trusted: &[u8]) {
        for server in 0..self.loops.len() {
            let Some(tls) = &mut self.tls else { return };
            let name = self.plan.names[server].clone();
            let state = KeyState { name, authority, trusted: trusted.to_vec(), until: Time::MAX };
            if tls.states[server] != state {
                tls.states[server] = state;
                self.use_keys(server);
            }
        }
    }

    fn alter_bytes(&mut self) {
        let Some(tls) = &mut self.tls else { return };
        let mut world = self.world.borrow_mut();
        let sides = [Side::Dialler, Side::Acceptor];
        let mut all: Vec<(usize, Side)> = Vec::new();
        for (index, connection) in world.connections.iter().enumerate() {
            let has_bytes = |side: &Side| {
                let pipe = &connection.pipes[*side as usize];
                pipe.tap.is_tls() && !pipe.bytes.is_empty()
            };
            all.extend(sides.iter().filter(|side| has_bytes(side)).map(|&side| (index, side)));
        }
        if !all.is_empty() {
            let (index, side) = *tls.chance.pick(&all);
            let (offset, flipped) = (tls.chance.number() as usize, 1 << tls.chance.below(8));
            world.print(|| format!("a byte of connection {index} is altered"));
            world.tamper(index, side, offset, flipped);
        }
    }

    /// The links of all servers that are up: connections and the sides of their servers.
    pub fn links_up(&self) -> BTreeSet<(usize, usize)> {
        let world = self.world.borrow();
        let mut up = BTreeSet::new();
        for server in 0..self.loops.len() {
            for neighbour in self.plan.neighbours_of(server) {
                let links = world.links_between(server, neighbour);
                let is_open = |link: &usize| world.connections[*link].endpoints.iter().all(|own| own.open);
                up.extend(
                    links
                        .into_iter()
                        .filter(|(link, _)| is_open(link))
                        .map(|(link, own)| (link, own as usize)),
                );
            }
        }
        up
    }

    /// Those of them on which both sides have shown such a certificate.
    fn links_up_with(&self, is_such: impl Fn(&Certificate) -> bool) -> BTreeSet<(usize, usize)> {
        let mut up = self.links_up();
        let world = self.world.borrow();
        up.retain(|&(link, _)| world.connections[link].handshake.shown.iter().flatten().all(&is_such));
        up
    }

    /// Changes the authority of the herd in order: links stay as long as both their certificates are accepted.
    pub fn check_change_of_authority(&mut self) -> Result<(), String> {
        self.let_pass(2 * SECOND)?;
        // A link may be older than the end of a certificate in the storm.
        let before = self.links_up_with(|certificate| certificate.until == Time::MAX);
        self.restore_keys(1, &[1, 2]);
        self.let_pass(SECOND)?;
        self.restore_keys(2, &[1, 2]);
        self.let_pass(SECOND)?;
        self.expect_links(&before, "although all servers trust both authorities")?;
        for &(link, _) in before.iter().filter(|link| link.1 == Side::Dialler as usize) {
            if self.tls.as_mut().is_some_and(|tls| tls.chance.one_in(2)) {
                self.world.borrow_mut().reset(link);
            }
        }
        self.let_pass(LINKED_WITHIN)?;
        self.former_neighbour_comes();
        self.let_pass(SECOND)?;
        let valid = self.links_up_with(|certificate| certificate.authority == 2);
        self.restore_keys(2, &[2]);
        self.let_pass(3 * SECOND)?;
        self.expect_links(&valid, "although their certificates are of the authority that stays")?;
        self.settle().map(drop)
    }

    /// A peer with a valid certificate of a neighbour connects, and says HELLO after its authority was removed.
    fn former_neighbour_comes(&mut self) {
        let Some(tls) = &mut self.tls else { return };
        let server = tls.chance.index(self.loops.len());
        let neighbours: Vec<usize> = self.plan.neighbours_of(server).collect();
        let name = self.plan.names[*tls.chance.pick(&neighbours)].clone();
        let script = [Act::Wait(2 * SECOND), Act::Send(hello("simulated", &name)), Act::HalfClose];
        let wire = tls.wire(Some(Certificate { name, authority: 1, until: Time::MAX }));
        let client = self.connect_over(server, script.into(), wire);
        client.is_excused = true;
    }

    /// Many handshakes begin at once and are not continued, and many others are: clients are served, and links stay.
    pub fn check_crowd_of_handshakes(&mut self) -> Result<(), String> {
        if self.plan.connections_max < CONNECTIONS_MIN {
            return Ok(());
        }
        self.let_pass(2 * SECOND)?;
        let before = self.links_up();
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let server = tls.chance.index(self.loops.len());
        let mut half_done = Vec::new();
        for _ in 0..CROWD {
            let client = self.connect_over(server, half_a_handshake(), Wire::Raw);
            half_done.push((client.connection, client.number));
            self.let_pass(MILLISECOND)?;
        }
        for _ in 0..CROWD {
            let Some(tls) = &mut self.tls else { return Ok(()) };
            let wire = tls.wire(None);
            self.connect_over(server, [Act::Send(b"?\n".to_vec())].into(), wire);
            self.let_pass(20 * MILLISECOND)?;
        }
        self.let_pass(5 * SECOND)?;
        let world = self.world.borrow();
        let is_open = |link: usize| world.connections[link].endpoints[Side::Acceptor as usize].open;
        let count = half_done.iter().filter(|client| is_open(client.0)).count();
        drop(world);
        if count > 0 {
            return Err(format!("server {server} still has {count} handshakes"));
        }
        self.expect_links(&before, "among many handshakes")?;
        self.settle().map(drop)
    }

    fn let_pass(&mut self, time: Time) -> Result<(), String> {
        let now = self.world.borrow().now;
        self.run_until(now + time)
    }

    fn expect_links(&self, expected: &BTreeSet<(usize, usize)>, when: &str) -> Result<(), String> {
        let up = self.links_up();
        match expected.difference(&up).next() {
            Some((link, _)) => {
                let world = self.world.borrow();
                let connection = &world.connections[*link];
                let (from, to) = (connection.host(Side::Dialler), connection.host(Side::Acceptor));
                Err(format!("a link from server {from} to {to} has ended {when}"))
            }
            None => Ok(()),
        }
    }

    /// A client connects to a server, over TLS or with bytes that are no lines.
    pub fn connect_over(&mut self, server: usize, script: VecDeque<Act>, wire: Wire) -> &mut Client {
        let limits = self.limits(server);
        let number = self.clients.len();
        let client = Client::new(&mut self.world.borrow_mut(), number, limits, script).over(wire);
        self.clients.push(client);
        &mut self.clients[number]
    }
}

fn half_a_handshake() -> VecDeque<Act> {
    [Act::Send(crate::strangers::client_hello())].into()
}

/// Derives other random numbers from the same seed.
const SOCKETS: u64 = 0x73_6f63_6b65_7473;
/// One seed in so many has links in plain text.
const PLAIN_ONE_IN: u64 = 4;
/// Bytes of plain text in one record, at most.
const RECORD_MAX: usize = 8192;
/// The longest retry delay, connecting, and the handshake.
const LINKED_WITHIN: Time = 3 * SECOND;
/// More handshakes than a server has at the same time.
const CROWD: usize = 90;
/// A server with fewer places would be full.
const CONNECTIONS_MIN: usize = 1000;
