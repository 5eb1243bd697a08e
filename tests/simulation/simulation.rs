//! One simulation: servers, clients and Places in one world, from a seed to a verdict.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use herd::config::{Host, HostPort, Limits, PlacesApi, PlacesSection, PlacesUrl};
use herd::conversation::{Identity, Server};
use herd::event_loop::system::{Event, System};
use herd::event_loop::{EventLoop, Turn};
use herd::herd::{Herd, PlacesSettings, Settings};
use herd::log::{Level, Log};
use herd::protocol::{Done, WaterMarks};
use herd::text::peer_line::Epoch;

use crate::chance::{Chance, Trace};
use crate::client::{Client, House, KEY};
use crate::connection::{Progress, Side};
use crate::faults::Repair;
use crate::oracle::Oracle;
use crate::places::PlacesActor;
use crate::plan::Plan;
use crate::speech::{Act, burst};
use crate::system::{SharedWorld, SimulatedSystem};
use crate::world::{Happening, MICROSECOND, MILLISECOND, Resolved, Time, World, show};

pub struct Simulation {
    pub plan: Plan,
    /// For what is not the network's.
    pub chance: Chance,
    /// For what came into simulations later, so that older seeds stay the stories that they were.
    pub extra: Chance,
    /// One client in so many begins with a burst.
    bursts_one_in: u64,
    /// The connections of those that did.
    loud: Vec<usize>,
    pub world: SharedWorld,
    pub loops: Vec<Option<EventLoop<SimulatedSystem, Herd>>>,
    /// When a server was told to end.
    pub stopping_since: Vec<Option<Time>>,
    pub turns: Vec<u64>,
    /// How many turns each server took last, one right behind the other, though nothing had happened,
    /// and when that was.
    idle_turns: Vec<(u32, Time)>,
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
    pub fn new(mut chance: Chance, mut plan: Plan, is_verbose: bool) -> Simulation {
        let servers = plan.names.len();
        let mut extra = Chance::new(chance.clone().number() ^ EXTRA);
        let bursts_one_in = if extra.one_in(4) { 30 } else { 0 };
        plan.manners.short_reads_empty = extra.clone().one_in(2);
        let network_chance = Chance::new(chance.number());
        let world = World::new(network_chance, &plan, is_verbose);
        world.say(|| format!("{plan:#?}"));
        let oracle = Oracle::new(plan.names.clone(), plan.topics.ids.clone(), plan.places_timeout);
        Simulation {
            chance,
            extra,
            bursts_one_in,
            loud: Vec::new(),
            world: Rc::new(RefCell::new(world)),
            loops: (0..servers).map(|_| None).collect(),
            stopping_since: vec![None; servers],
            turns: vec![0; servers],
            idle_turns: vec![(0, 0); servers],
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
        let timeout = settings.places.section.timeout;
        let state = Server::new(identity, settings.limits.clone(), settings.silence, timeout, log);
        let mut system = SimulatedSystem::new(&self.world, server);
        let water_marks = WaterMarks { high: self.plan.high_mark, low: self.plan.high_mark / 4 };
        let quota = Herd::quota(settings.connections_max);
        let (clocks, seed) = (system.clocks(), system.random());
        let herd = Herd::new(state, settings, seed, clocks);
        let mut event_loop = EventLoop::new(system, herd, water_marks);
        event_loop.add_listener((), None, quota);
        self.loops[server] = Some(event_loop);
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
        let places = PlacesSection {
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
            places: PlacesSettings { section: places, key: Some(KEY.into()) },
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
            Happening::Resolved(resolved) => {
                let Resolved { host, life, ticket, found } = *resolved;
                if world.hosts[host].life == life && world.hosts[host].is_up {
                    let found = found.map(|address| vec![address]);
                    let addresses = found.ok_or(std::io::ErrorKind::NotFound.into());
                    world.tell(host, Event::Done { ticket, done: Done::Resolved(addresses) });
                }
            }
            Happening::Wake { host } => {
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
        let mut script = self.plan.topics.script(&mut self.chance);
        let is_loud = self.extra.one_in(self.bursts_one_in);
        if is_loud {
            script.push_front(Act::Say(burst(&mut self.extra)));
        }
        let house = self.house(server);
        let mut world = self.world.borrow_mut();
        let client = Client::new(&mut world, self.clients.len(), house, script);
        if is_loud {
            world.connections[client.connection].pipe_from(Side::Dialler).window = BURST_MAX;
            self.loud.push(client.connection);
        }
        self.clients.push(client);
    }

    /// What a client needs to know of a server.
    pub fn house(&self, server: usize) -> House {
        House {
            server,
            max_line: self.plan.topics.max_line,
            line_timeout: self.plan.line_timeout,
            may_turn_away: self.plan.connections_max < 1000,
        }
    }

    fn turn(&mut self, server: usize) {
        self.turns[server] += 1;
        self.see_whether_it_spins(server);
        let Some(event_loop) = &mut self.loops[server] else {
            return;
        };
        let result = event_loop.turn();
        if self.turns[server].is_multiple_of(HOLDINGS_EVERY) {
            let held = event_loop.holdings();
            let most = self.plan.high_mark as usize + REPLY_MAX + self.plan.replies_waiting_max();
            let is_bounded = held.output_bytes <= held.connections * most
                && held.input_bytes <= held.connections * INPUT_MAX;
            let mut world = self.world.borrow_mut();
            if !is_bounded {
                world.violate(|| format!("server {server} holds too much: {held:?}"));
            }
            if event_loop.application().server().desk.pending() > 0 && !world.has_clients(server) {
                world.violate(|| format!("server {server} asks Places though nobody waits for it"));
            }
        }
        let patience = event_loop.patience();
        let mut world = self.world.borrow_mut();
        self.oracle.observe(&mut world, server, &event_loop.application().server().store);
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
        let sequence = event_loop.application().server().store.sequence();
        world.check_greeted();
        world.check_refused(server);
        let rests = patience != Some(Duration::ZERO) && world.hosts[server].events.is_empty();
        if rests && self.stopping_since[server].is_none() {
            for neighbour in self.plan.neighbours_of(server) {
                world.check_told(&self.oracle, server, neighbour, sequence);
                world.check_heard(server, neighbour, self.plan.silence.as_nanos() as Time);
            }
            let overlooked = self.loud.iter().find(|&&loud| {
                let connection = &world.connections[loud];
                connection.host(Side::Acceptor) == server && connection.is_overlooked()
            });
            // Behind questions to Places there may be no room for further replies.
            if overlooked.is_some() && event_loop.application().server().desk.pending() == 0 {
                world.violate(|| format!("server {server} rests though somebody has sent something"));
            }
        }
        if let Some(patience) = patience {
            let cost = world.chance.between(MICROSECOND, TURN_MAX);
            let at = world.now.saturating_add((patience.as_nanos() as Time).max(cost));
            world.wake(server, at);
        }
    }

    fn see_whether_it_spins(&mut self, server: usize) {
        let mut world = self.world.borrow_mut();
        let (turns, last) = self.idle_turns[server];
        let is_idle = world.hosts[server].events.is_empty() && world.now <= last + TURN_MAX;
        let turns = if is_idle { turns + 1 } else { 0 };
        self.idle_turns[server] = (turns, world.now);
        if turns > IDLE_TURNS_MAX {
            world.violate(|| format!("server {server} spins"));
        }
    }

    /// The process of a server ends.
    pub fn end(&mut self, server: usize) {
        // Those, too, that it accepted after it was told to end, and has closed: what a client says
        // while the end is on its way to it was never received.
        for connection in &mut self.world.borrow_mut().connections {
            connection.faulted |= connection.endpoints.iter().any(|endpoint| endpoint.host == server);
        }
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
}

/// Makes other numbers of the same seed.
const EXTRA: u64 = 0x6275_7273_7473;
/// More than a server reads of one connection in a turn.
const BURST_MAX: usize = 192 * 1024;
/// How often it is looked how much a server holds.
const HOLDINGS_EVERY: u64 = 16;
/// The longest reply, and the longest line between servers, have fewer bytes.
const REPLY_MAX: usize = 12 * 1024;
/// A connection is read as long as this allows, and what its conversation does not take is kept.
const INPUT_MAX: usize = 128 * 1024;
/// More turns than it takes to read everything, and to tell everything, that can have come at once.
const IDLE_TURNS_MAX: u32 = 1000;
/// What a turn costs at most.
const TURN_MAX: Time = 20 * MICROSECOND;
/// Within this time a server ends in order: docs/protocol.md, section 5.
const STOP_MAX: Time = 300 * MILLISECOND;
