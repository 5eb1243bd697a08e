//! One simulation: servers, clients and Places in one world, from a seed to a verdict.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use herd::config::{Host, HostPort, Limits, Places, PlacesApi, PlacesUrl};
use herd::event_loop::network::Event;
use herd::event_loop::{Acceptor, EventLoop, PlacesSettings, Settings, Turn};
use herd::log::{Level, Log};
use herd::protocol::{Identity, Marks, Server};
use herd::text::greeting::Epoch;

use crate::chance::{Chance, Trace};
use crate::client::{Client, House, KEY};
use crate::connection::{Progress, Side};
use crate::faults::Repair;
use crate::network::{SharedWorld, SimulatedNetwork};
use crate::oracle::Oracle;
use crate::places::PlacesActor;
use crate::plan::Plan;
use crate::world::{Happening, MICROSECOND, MILLISECOND, SECOND, Time, World, show};

pub struct Simulation {
    pub plan: Plan,
    /// For what is not the network's.
    pub chance: Chance,
    pub world: SharedWorld,
    pub loops: Vec<Option<EventLoop<SimulatedNetwork>>>,
    /// When a server was told to end.
    pub stopping_since: Vec<Option<Time>>,
    turns: Vec<u64>,
    pub clients: Vec<Client>,
    pub places: PlacesActor,
    pub oracle: Oracle,
    pub repairs: Vec<Option<Repair>>,
    pub is_storm: bool,
}

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Report {
    pub trace: Trace,
    /// How long after the storm all servers agreed.
    pub agreement: Time,
    /// The most bytes that crossed an edge in a second after everybody had left.
    pub idle_bytes: u64,
}

impl Simulation {
    pub fn new(mut chance: Chance, plan: Plan, is_verbose: bool) -> Simulation {
        let servers = plan.names.len();
        let network_chance = Chance::new(chance.number());
        let world = World::new(network_chance, servers, plan.manners.clone(), is_verbose);
        world.say(|| format!("{plan:#?}"));
        let oracle = Oracle::new(plan.names.clone(), plan.topics.ids.clone(), plan.places_timeout);
        Simulation {
            chance,
            world: Rc::new(RefCell::new(world)),
            loops: (0..servers).map(|_| None).collect(),
            stopping_since: vec![None; servers],
            turns: vec![0; servers],
            clients: Vec::new(),
            places: PlacesActor::new(),
            oracle,
            repairs: Vec::new(),
            is_storm: true,
            plan,
        }
    }

    /// Runs everything; the error says which promise was broken.
    pub fn run(mut self) -> Result<Report, String> {
        self.world.borrow_mut().hosts[self.plan.names.len()].is_up = true;
        if self.plan.manners.are_unreliable() {
            self.oracle.places_trouble(self.plan.storm);
        }
        for server in 0..self.loops.len() {
            self.start(server);
        }
        self.schedule_in(0, Happening::ClientComes);
        if !self.plan.kinds.is_empty() {
            self.schedule_in(self.plan.fault_every, Happening::Fault);
        }
        self.run_until(self.plan.storm)?;
        self.end_storm();
        let agreement = self.settle()?;
        let idle_bytes = self.check_quiet()?;
        let trace = self.world.borrow().trace;
        Ok(Report { trace, agreement, idle_bytes })
    }

    fn schedule_in(&self, delay: Time, what: Happening) {
        self.world.borrow_mut().schedule_in(delay, what);
    }

    /// Begins a life of a server, which knows nothing.
    pub fn start(&mut self, server: usize) {
        let name = &self.plan.names[server];
        let epoch = {
            let mut world = self.world.borrow_mut();
            world.process_began(server);
            world.say(|| format!("server {server} begins"));
            let now = world.now;
            world.wake(server, now);
            Epoch(world.chance.number())
        };
        self.oracle.begins(server);
        let settings = self.settings(server);
        let identity = Identity { herd: "simulated".into(), name: name.as_str().into(), epoch };
        let log = Log::new(name, settings.log_level);
        let state = Server::new(identity, settings.limits.clone(), settings.silence, log);
        let network = SimulatedNetwork::new(&self.world, server);
        let marks = Marks { high: self.plan.high_mark, low: self.plan.high_mark / 4 };
        self.loops[server] = Some(EventLoop::new(network, (), Acceptor::Herd, state, settings, marks));
        self.stopping_since[server] = None;
    }

    fn settings(&self, server: usize) -> Settings {
        let world = self.world.borrow();
        let host_port = |host: usize| HostPort {
            host: self.plan.host_name.parse().unwrap_or(Host::Name("localhost".into())),
            port: world.address_of(host).port(),
        };
        let limits = Limits {
            max_line: self.plan.topics.max_line,
            line_timeout: Duration::from_nanos(self.plan.line_timeout),
            max_connections: self.plan.connections_max,
            ..Limits::default()
        };
        let HostPort { host, port } = host_port(world.places());
        let url = PlacesUrl { tls: false, host, port, path: String::new() };
        let places = Places {
            api: PlacesApi::GoogleLegacy,
            url,
            trust: None,
            key_env: Some("KEY".into()),
            timeout: Duration::from_nanos(self.plan.places_timeout),
        };
        let neighbours = self.plan.neighbours_of(server);
        let logs = self.plan.logs || world.is_verbose;
        Settings {
            connections_max: self.plan.connections_max,
            limits,
            silence: self.plan.silence,
            neighbours: neighbours.map(|other| (self.plan.names[other].clone(), host_port(other))).collect(),
            places: PlacesSettings { places, key: Some(KEY.into()) },
            log_level: if logs { Level::Traffic } else { Level::Off },
        }
    }

    /// Lets time pass until then.
    pub fn run_until(&mut self, until: Time) -> Result<(), String> {
        loop {
            let happening = self.world.borrow_mut().next(until);
            let Some(happening) = happening else { return Ok(()) };
            self.carry_out(happening);
            if let Some(violation) = self.world.borrow_mut().violation.take() {
                return Err(violation);
            }
        }
    }

    fn carry_out(&mut self, happening: Happening) {
        let shared = self.world.clone();
        let mut world = shared.borrow_mut();
        match happening {
            Happening::Request { connection, attempt } => {
                world.requested(connection, attempt);
                self.places.accept(&mut world);
            }
            Happening::Made { connection } => {
                world.dialled(connection, Progress::Connected);
                self.tell_actor(&mut world, connection, Side::Dialler);
            }
            Happening::NotMade { connection, error } => {
                world.dialled(connection, Progress::Failed(error));
                self.tell_actor(&mut world, connection, Side::Dialler);
            }
            Happening::Arrive { connection, to } => {
                world.arrive(connection, to);
                self.tell_actor(&mut world, connection, to);
            }
            Happening::Acknowledge { connection, to } => {
                world.acknowledge(connection, to);
                self.tell_actor(&mut world, connection, to);
            }
            Happening::Resolved { host, life, lookup, found } => {
                if world.hosts[host].life == life && world.hosts[host].is_up {
                    let found = found.map(|address| vec![address]);
                    let addresses = found.ok_or(std::io::ErrorKind::NotFound.into());
                    world.tell(host, Event::Resolved { lookup, addresses });
                }
            }
            Happening::Wake { host } => {
                let state = &mut world.hosts[host];
                if state.wake_at != world.now {
                    return;
                }
                world.hosts[host].wake_at = Time::MAX;
                let is_running = world.hosts[host].is_up && !world.hosts[host].is_paused;
                drop(world);
                if is_running {
                    self.turn(host);
                }
            }
            Happening::ClientActs { client } => {
                if let Some(client) = self.clients.get_mut(client) {
                    client.step(&mut world, &mut self.oracle);
                }
            }
            Happening::PlacesActs { connection } => self.places.step(&mut world, connection),
            Happening::ClientComes => {
                drop(world);
                if self.is_storm {
                    self.client_comes();
                    let pause = self.chance.below(2 * self.plan.client_every);
                    self.schedule_in(pause, Happening::ClientComes);
                }
            }
            Happening::Fault => {
                drop(world);
                if self.is_storm {
                    self.break_something();
                    let pause = self.chance.below(2 * self.plan.fault_every);
                    self.schedule_in(pause, Happening::Fault);
                }
            }
            Happening::Repair { fault } => {
                drop(world);
                self.repair(fault);
            }
        }
    }

    fn tell_actor(&mut self, world: &mut World, connection: usize, side: Side) {
        let host = world.connections[connection].host(side);
        if host == world.places() {
            self.places.step(world, connection);
        } else if let Some(client) = host.checked_sub(world.places() + 1)
            && let Some(client) = self.clients.get_mut(client)
        {
            client.step(world, &mut self.oracle);
        }
    }

    pub fn client_comes(&mut self) {
        let server = self.chance.index(self.loops.len());
        let script = self.plan.topics.script(&mut self.chance);
        let house = House {
            server,
            max_line: self.plan.topics.max_line,
            line_timeout: self.plan.line_timeout,
            may_turn_away: self.plan.connections_max < 1000,
        };
        let mut world = self.world.borrow_mut();
        self.clients.push(Client::new(&mut world, self.clients.len(), house, script));
    }

    fn turn(&mut self, server: usize) {
        let Some(event_loop) = &mut self.loops[server] else {
            return;
        };
        self.turns[server] += 1;
        let result = event_loop.turn();
        let patience = event_loop.patience();
        let mut world = self.world.borrow_mut();
        self.oracle.observe(&mut world, server, &event_loop.server().store);
        let ended = matches!(result, Ok(Turn::Over));
        if let Some(since) = self.stopping_since[server]
            && world.now > since + STOP_MAX
            && !ended
        {
            world.violate(|| format!("server {server} was told to end at {}", show(since)));
        }
        if ended {
            drop(world);
            self.end(server);
            return;
        }
        if let Some(patience) = patience {
            let cost = world.chance.between(MICROSECOND, TURN_MAX);
            let at = world.now.saturating_add((patience.as_nanos() as Time).max(cost));
            world.wake(server, at);
        }
    }

    /// The process of a server ends.
    pub fn end(&mut self, server: usize) {
        self.fault_connections(server);
        self.world.borrow().say(|| format!("server {server} is gone"));
        // Its connections are closed with it.
        self.loops[server] = None;
        self.stopping_since[server] = None;
        self.world.borrow_mut().process_ended(server);
    }

    /// Excuses everything that a server may not keep its promises on.
    pub fn fault_connections(&mut self, host: usize) {
        for connection in &mut self.world.borrow_mut().connections {
            let is_its = connection.endpoints.iter().any(|endpoint| endpoint.host == host && endpoint.open);
            connection.faulted |= is_its;
        }
    }

    /// Waits until everybody has got everything and all servers agree. Gives how long that took.
    fn settle(&mut self) -> Result<Time, String> {
        let begin = self.world.borrow().now;
        let least = self.oracle.winners(0..self.loops.len());
        for number in 0..self.clients.len() {
            let shared = self.world.clone();
            self.clients[number].finish(&mut shared.borrow_mut(), &mut self.oracle);
        }
        let clients_until = begin + 3 * self.plan.places_timeout + CLIENTS_MAX;
        let mut agreed_at = None;
        loop {
            let now = self.world.borrow().now;
            self.run_until(now + STEP)?;
            let now = self.world.borrow().now;
            let disagreement = self.oracle.disagreement(&least);
            let since = begin.max(self.oracle.last_news);
            if let Some(disagreement) = &disagreement {
                agreed_at = None;
                if now > since + self.plan.agreement_max() {
                    let (now, since) = (show(now), show(since));
                    return Err(format!("at {now}, nothing new since {since}: {disagreement}"));
                }
            } else {
                agreed_at = agreed_at.or(Some(now - since));
            }
            let waiting = self.clients.iter().find(|client| !client.is_gone);
            if let Some(client) = waiting.filter(|_| now > clients_until) {
                return Err(format!("at {}: {}", show(now), client.complaint()));
            }
            if let (None, Some(agreed_at)) = (waiting, agreed_at) {
                return Ok(agreed_at);
            }
        }
    }

    /// Everybody has left: everything goes back to nothing, and only heartbeats are heard.
    fn check_quiet(&mut self) -> Result<u64, String> {
        if let Some(forgery) = self.oracle.forgery() {
            return Err(forgery);
        }
        let now = self.world.borrow().now;
        let was_places_asked = self.plan.topics.questions_one_in > 0;
        self.run_until(now + if was_places_asked { FORGETTING_MAX } else { FAREWELL_MAX })?;
        let timers = self.check_memory()?;
        self.world.borrow_mut().crossings.forget_bytes();
        let before = self.turns.clone();
        let now = self.world.borrow().now;
        self.run_until(now + QUIET)?;
        for (server, before) in before.into_iter().enumerate() {
            let turns = self.turns[server] - before;
            let links = 2 * self.plan.neighbours_of(server).count() as u64;
            let heartbeats = QUIET / (self.plan.silence.as_nanos() as Time / 3).min(SECOND) + 1;
            if turns > links * heartbeats * TURNS_PER_HEARTBEAT {
                return Err(format!(
                    "server {server} took {turns} turns in {} with {links} links",
                    show(QUIET)
                ));
            }
        }
        for (server, (before, after)) in timers.into_iter().zip(self.check_memory()?).enumerate() {
            let links = 2 * self.plan.neighbours_of(server).count();
            if after > before + TIMERS_PER_LINK * links {
                return Err(format!("server {server} has {after} timers, in quiet they were {before}"));
            }
        }
        if let Some(disagreement) = self.oracle.disagreement(&Default::default()) {
            return Err(format!("in quiet: {disagreement}"));
        }
        Ok(self.world.borrow().crossings.bytes_max() / (QUIET / SECOND))
    }

    /// What each server holds is what its links need. Gives how many timers each has.
    fn check_memory(&mut self) -> Result<Vec<usize>, String> {
        let mut timers = Vec::new();
        for server in 0..self.loops.len() {
            let links = 2 * self.plan.neighbours_of(server).count();
            let descriptors = self.world.borrow().hosts[server].descriptors;
            let Some(event_loop) = &mut self.loops[server] else {
                return Err(format!("server {server} has not come back"));
            };
            let holdings = event_loop.holdings();
            let is_nothing = holdings.connections == links
                && descriptors == links
                && holdings.cursors == links / 2
                && holdings.questions == 0
                && holdings.input_bytes <= links * HEARTBEAT_BYTES
                && holdings.output_bytes <= links * HEARTBEAT_BYTES;
            if !is_nothing || !event_loop.server().requests.is_empty() {
                return Err(format!(
                    "server {server} has {links} links, {descriptors} descriptors and {holdings:?}"
                ));
            }
            timers.push(holdings.timers);
        }
        Ok(timers)
    }
}

/// What a turn costs at most.
const TURN_MAX: Time = 20 * MICROSECOND;
/// Within this time a server ends in order: docs/protocol.md, section 5.
const STOP_MAX: Time = 300 * MILLISECOND;
/// How often it is looked whether all agree.
const STEP: Time = 200 * MILLISECOND;
/// How long it takes at most until all clients got what they are owed, beyond the time of Places.
const CLIENTS_MAX: Time = 30 * SECOND;
/// How long it takes until a connection whose client has left is forgotten.
const FAREWELL_MAX: Time = 5 * SECOND;
/// The same for connections to Places, which are kept for the next question.
const FORGETTING_MAX: Time = 36 * SECOND;
const QUIET: Time = 4 * SECOND;
/// A heartbeat that has come in part, or was not sent yet.
const HEARTBEAT_BYTES: usize = 30;
/// The next heartbeat, and the end of a silence.
const TIMERS_PER_LINK: usize = 2;
/// A heartbeat is a timer, a MARK, an ACK, and each may come in pieces.
const TURNS_PER_HEARTBEAT: u64 = 20;
