//! One simulation: servers, clients and Places in one world, from a seed to a verdict.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use herd::config::ClientsSection;
use herd::conversation::{Identity, Server};
use herd::event_loop::system::{Event, System};
use herd::event_loop::{EventLoop, Turn};
use herd::herd::Herd;
use herd::log::Log;
use herd::places::dialect::Dialect;
use herd::protocol::{Done, WaterMarks};
use herd::text::peer_line::Epoch;

use crate::chance::{Chance, Trace};
use crate::client::Client;
use crate::connection::{Progress, Side};
use crate::crowd::{self, has_crowd};
use crate::dialects::speak;
use crate::faults::Repair;
use crate::followers::{self, FOLLOWERS_ONE_IN};
use crate::forgets::{self, forgets_one_in};
use crate::keys::Tls;
use crate::logs::LogReader;
use crate::long_lines::{self, LineLimits, PEER_LINE_EXTRA, groups, line_limits};
use crate::oracle::Oracle;
use crate::places::PlacesActor;
use crate::plan::{Fault, Plan};
use crate::scripts::{Act, burst};
use crate::settings::Changes;
use crate::stores::{NotStarted, Stores};
use crate::system::{SharedWorld, SimulatedSystem};
use crate::web::{WEB, Web};
use crate::world::{
    Actor, DISKS, Happening, MICROSECOND, MILLISECOND, Port, Resolved, SECOND, STORES, Time, World, show,
};

pub struct Simulation {
    pub plan: Plan,
    /// Random numbers for everything but the network.
    pub chance: Chance,
    /// Random numbers for bursts and loiterers, which older seeds do not have.
    pub extra: Chance,
    /// Random numbers for changes of settings, which older seeds do not have.
    pub reload_chance: Chance,
    /// Random numbers for the dialects of clients.
    dialect_chance: Chance,
    /// One client in so many speaks a dialect.
    dialects_one_in: u64,
    /// Random numbers for silent clients.
    pub silence_chance: Chance,
    /// Random numbers for FORGET, and for statements that end.
    pub forget_chance: Chance,
    /// A script has one FORGET for so many commands.
    forgets_one_in: u64,
    /// Places was asked after the storm.
    pub was_places_asked: bool,
    /// Random numbers for connections to Places that are kept.
    pub kept_chance: Chance,
    /// Random numbers for the service that Places is.
    pub service_chance: Chance,
    /// Random numbers for clients that follow.
    follow_chance: Chance,
    /// One client in so many follows others.
    followers_one_in: u64,
    /// Streams of clients go on when the storm is over, those of these clients.
    pub streams_go_on: bool,
    pub streaming: Vec<usize>,
    /// Random numbers for long statements.
    pub long_chance: Chance,
    pub line_limits: Vec<LineLimits>,
    /// Random numbers for a crowd; `None`: there is none.
    pub crowd: Option<Chance>,
    /// Random numbers for neighbours that are reached in one direction only.
    pub one_way_chance: Chance,
    /// A neighbour is reached in one direction only; all servers have logs.
    pub has_one_way: bool,
    /// The logs of the servers.
    pub logs: Vec<LogReader>,
    /// The settings of all servers for clients that neither end their lines nor half-close.
    pub silent_clients: ClientsSection,
    /// One client in so many begins with a burst.
    bursts_one_in: u64,
    /// The connections of these clients.
    bursts: Vec<usize>,
    pub world: SharedWorld,
    pub loops: Vec<Option<EventLoop<SimulatedSystem, Herd>>>,
    /// The settings of each server that have changed.
    pub changes: Vec<Changes>,
    /// When each server was asked to shut down; `None`: it was not.
    pub stopping_since: Vec<Option<Time>>,
    /// Since when a server that shuts down has had neither input nor output left; `None`: it has some.
    pub idle_since: Vec<Option<Time>>,
    pub turns: Vec<u64>,
    /// For each server, the number of its last turns that followed one another without an event, and the time
    /// of the last one.
    idle_turns: Vec<(u32, Time)>,
    pub clients: Vec<Client>,
    pub places: PlacesActor,
    pub oracle: Oracle,
    /// `None`: there are no clients over HTTP.
    pub web: Option<Web>,
    /// `None`: links are plain text.
    pub tls: Option<Tls>,
    /// `None`: no server has a store on disk.
    pub stores: Option<Stores>,
    pub repairs: Vec<Option<Repair>>,
    pub is_storm: bool,
}

/// The result of a seed.
#[derive(Clone, Debug)]
pub struct Report {
    pub trace: Trace,
    /// The time from the storm to the agreement of all servers.
    pub agreement: Time,
    /// The most bytes per second on one edge in the quiet time.
    pub idle_bytes: u64,
}

impl Simulation {
    pub fn new(mut chance: Chance, mut plan: Plan, is_verbose: bool) -> Simulation {
        let servers = plan.names.len();
        let mut extra = Chance::new(chance.clone().number() ^ EXTRA);
        let reload_chance = Chance::new(chance.clone().number() ^ RELOADS);
        let mut dialect_chance = Chance::new(chance.clone().number() ^ DIALECTS);
        let dialects_one_in = if dialect_chance.one_in(3) { 2 } else { 0 };
        let silence_chance = Chance::new(chance.clone().number() ^ SILENCES);
        let kept_chance = Chance::new(chance.clone().number() ^ KEPT);
        let one_way_chance = Chance::new(chance.clone().number() ^ ONE_WAY);
        let mut follow_chance = Chance::new(chance.clone().number() ^ FOLLOWS);
        let has_followers = follow_chance.one_in(FOLLOWERS_ONE_IN);
        let followers_one_in = if has_followers { FOLLOWERS_ONE_IN } else { 0 };
        let mut long_chance = Chance::new(chance.clone().number() ^ LONG_LINES);
        let long_lines = line_limits(&mut long_chance, &mut plan);
        let mut crowd_chance = Chance::new(chance.clone().number() ^ CROWD);
        let has_crowd = has_crowd(&mut crowd_chance, &mut plan);
        let mut forget_chance = Chance::new(chance.clone().number() ^ FORGETS);
        let forgets_one_in = forgets_one_in(&mut forget_chance, &mut plan, has_crowd);
        let max_line = plan.vocabulary.max_line;
        let line_limits = long_lines.clone().unwrap_or_else(|| vec![(max_line, max_line); servers]);
        // A burst is one over-long line, whose copy in the reply depends on the limit.
        let bursts_one_in = if extra.one_in(4) && !plan.has_long_lines { 30 } else { 0 };
        let mut disks = Chance::new(chance.clone().number() ^ DISKS);
        plan.conditions.short_reads_empty = extra.clone().one_in(2);
        plan.vocabulary.near_one_in = *Chance::new(chance.clone().number() ^ NEAR).pick(&[0, 3, 10]);
        plan.conditions.disk_max = *disks.pick(&[MILLISECOND, 100 * MILLISECOND, 2 * SECOND]);
        let mut stores = Stores::new(Chance::new(chance.clone().number() ^ STORES), &mut plan);
        let web = Web::new(Chance::new(chance.clone().number() ^ WEB), &mut plan);
        let tls_chance = Chance::new(chance.clone().number() ^ TLS);
        let network_chance = Chance::new(chance.number());
        let mut world = World::new(network_chance, &plan, is_verbose);
        let with_lf = PEER_LINE_EXTRA + 1;
        world.statement_limits =
            line_limits.iter().map(|limits| (limits.0 + with_lf, limits.1 + with_lf)).collect();
        let tls = Tls::new(tls_chance, &plan, &world.clock);
        plan.has_tls = tls.is_some();
        let mut service_chance = Chance::new(chance.clone().number() ^ SERVICES);
        plan.dialect = *service_chance.pick(&Dialect::ALL);
        plan.cache = Duration::from_millis(*service_chance.pick(&[0, 0, 1000]));
        world.print(|| format!("{plan:#?}"));
        let mut ids = plan.vocabulary.ids.clone();
        if has_crowd {
            ids.extend(crowd::ids());
        }
        let mut oracle = Oracle::new(plan.names.clone(), ids, plan.dialect, plan.places_timeout);
        oracle.lifetimes = plan.lifetimes;
        if let Some(stores) = &mut stores {
            oracle.has_stores(stores.give_disks(&mut world));
        }
        if let Some(limits) = long_lines {
            oracle.has_long_lines(groups(&limits, &plan));
        }
        Simulation {
            chance,
            extra,
            reload_chance,
            dialect_chance,
            dialects_one_in,
            silence_chance,
            forget_chance,
            forgets_one_in,
            was_places_asked: false,
            kept_chance,
            service_chance,
            follow_chance,
            followers_one_in,
            streams_go_on: true,
            streaming: Vec::new(),
            long_chance,
            line_limits,
            crowd: has_crowd.then_some(crowd_chance),
            one_way_chance,
            has_one_way: false,
            logs: (0..servers).map(|_| LogReader::new(plan.connections_max)).collect(),
            silent_clients: ClientsSection::default(),
            bursts_one_in,
            bursts: Vec::new(),
            world: Rc::new(RefCell::new(world)),
            loops: (0..servers).map(|_| None).collect(),
            changes: vec![Changes::default(); servers],
            stopping_since: vec![None; servers],
            idle_since: vec![None; servers],
            turns: vec![0; servers],
            idle_turns: vec![(0, 0); servers],
            clients: Vec::new(),
            places: PlacesActor::new(plan.dialect),
            oracle,
            web,
            tls,
            stores,
            repairs: Vec::new(),
            is_storm: true,
            plan,
        }
    }

    /// Whether clients follow others in this seed.
    pub fn has_followers(&self) -> bool {
        self.followers_one_in > 0
    }

    /// Runs the whole simulation. The error is the broken promise.
    pub fn run(mut self) -> Result<Report, String> {
        self.world.borrow_mut().hosts[self.plan.names.len()].is_up = true;
        if self.plan.conditions.are_unreliable() {
            self.oracle.places_may_fail(self.plan.storm);
        }
        self.set_clocks_apart();
        for server in 0..self.loops.len() {
            if self.start(server).is_err() {
                self.repair_in(SECOND, Repair::Start(server));
            }
        }
        if let Some(mut chance) = self.crowd.take() {
            let server = chance.index(self.loops.len());
            self.connect_client(server, crowd::script(&mut chance));
        }
        self.schedule_in(0, Happening::ClientConnects);
        if self.web.is_some() {
            self.schedule_in(0, Happening::WebConnects);
        }
        if !self.plan.faults.is_empty() {
            self.schedule_in(self.plan.fault_every, Happening::Fault);
        }
        if let Some(every) = self.plan.reload_every {
            self.schedule_in(every, Happening::Reload);
        }
        self.schedule_mischief();
        self.run_until(self.plan.storm)?;
        self.end_storm();
        let agreement = self.settle()?;
        self.check_streams()?;
        if !self.plan.is_large() {
            self.look_closer()?;
        }
        let idle_bytes = self.check_quiet()?;
        self.check_removal()?;
        let trace = self.world.borrow().trace;
        Ok(Report { trace, agreement, idle_bytes })
    }

    /// Checks promises that need times which no fault disturbs.
    fn look_closer(&mut self) -> Result<(), String> {
        // These checks ask about clients that must not be forgotten meanwhile.
        let last = !self.plan.lifetimes.are_short();
        if self.silence_chance.one_in(SILENCES_ONE_IN) && last {
            self.check_silent_clients()?;
        }
        if self.one_way_chance.one_in(ONE_WAY_ONE_IN) && last {
            self.check_one_way()?;
        }
        if self.kept_chance.one_in(KEPT_ONE_IN) && last {
            self.check_kept_connections()?;
        }
        if self.service_chance.one_in(KEPT_ONE_IN) && last {
            self.check_shared_questions()?;
        }
        if self.tls.as_mut().is_some_and(|tls| tls.chance.one_in(TLS_CHECKS_ONE_IN)) {
            self.check_change_of_authority()?;
        }
        if self.tls.as_mut().is_some_and(|tls| tls.chance.one_in(TLS_CHECKS_ONE_IN)) {
            self.check_crowd_of_handshakes()?;
        }
        if last {
            self.check_stores()?;
        }
        Ok(())
    }

    fn schedule_in(&self, delay: Time, happening: Happening) {
        self.world.borrow_mut().schedule_in(delay, happening);
    }

    /// Starts a server with an empty store, or with what is on its disk.
    pub fn start(&mut self, server: usize) -> Result<(), NotStarted> {
        if let Some(tls) = &mut self.tls {
            tls.renew(server);
        }
        let settings = self.settings(server);
        self.note_settings(server, &settings);
        let name = &self.plan.names[server];
        let epoch = {
            let mut world = self.world.borrow_mut();
            world.process_started(server);
            world.print(|| format!("server {server} starts"));
            let now = world.now;
            world.wake(server, now);
            Epoch(world.chance.number())
        };
        self.oracle.started(server);
        self.logs[server] = LogReader::new(self.plan.connections_max);
        self.world.borrow_mut().hosts[server].unread_log.clear();
        let identity = Identity { herd: "simulated".into(), name: name.as_str().into(), epoch };
        let written = self.world.borrow().hosts[server].log.clone();
        let log = Log::writing_to(name, settings.log_level, written);
        let mut state = Server::new(identity, settings.limits.clone(), settings.silence, log);
        let journal = match self.open_store(server, &mut state) {
            Ok(journal) => journal,
            Err(not_started) => {
                self.world.borrow_mut().process_ended(server);
                return Err(not_started);
            }
        };
        let epoch = state.identity.epoch.0;
        self.world.borrow_mut().epoch_begins(server, epoch);
        let mut system = SimulatedSystem::new(&self.world, server);
        let water_marks = WaterMarks { high: self.plan.high_water, low: self.plan.high_water / 4 };
        let quota = Herd::quota(settings.connections_max, 0);
        let (clocks, seed) = (system.clocks(), system.random());
        let herd = Herd::new(state, settings, journal, seed, clocks);
        let mut event_loop = EventLoop::new(system, herd, water_marks);
        event_loop.add_listener(Port::Lines, None, quota);
        if self.web.is_some() {
            event_loop.add_listener(Port::Http, None, Herd::quota_of_web(quota));
        }
        if self.tls.is_some() {
            // TLS on the listener is among the first commands.
            event_loop.update(|_, _| {});
        }
        self.loops[server] = Some(event_loop);
        self.stopping_since[server] = None;
        Ok(())
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
                world.attempt_ended(connection, Progress::Connected);
                self.continue_actor(&mut world, connection, Side::Dialler);
            }
            Happening::NotMade { connection, error } => {
                world.attempt_ended(connection, Progress::Failed(error));
                self.continue_actor(&mut world, connection, Side::Dialler);
            }
            Happening::Arrive { connection, to } => {
                world.arrive(connection, to);
                self.continue_actor(&mut world, connection, to);
            }
            Happening::Acknowledge { connection, to } => {
                world.acknowledge(connection, to);
                self.continue_actor(&mut world, connection, to);
            }
            Happening::Resolved(resolved) => {
                let Resolved { host, incarnation, ticket, found } = *resolved;
                if world.hosts[host].incarnation == incarnation && world.hosts[host].is_up {
                    let found = found.map(|address| vec![address]);
                    let addresses = found.ok_or(std::io::ErrorKind::NotFound.into());
                    world.notify(host, Event::Done { ticket, done: Done::Resolved(addresses) });
                }
            }
            Happening::TaskEnds { task } => world.task_ends(task),
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
            Happening::WebActs { client } => self.web_acts(&mut world, client),
            Happening::WebConnects => {
                drop(world);
                self.web_connects();
            }
            Happening::PlacesActs { connection } => self.places.step(&mut world, connection),
            Happening::ClientConnects => {
                drop(world);
                if self.is_storm {
                    self.client_connects();
                    let pause = self.chance.below(2 * self.plan.client_every);
                    self.schedule_in(pause, Happening::ClientConnects);
                }
            }
            Happening::Fault => {
                drop(world);
                if self.is_storm {
                    self.inject_fault();
                    let pause = self.chance.below(2 * self.plan.fault_every);
                    self.schedule_in(pause, Happening::Fault);
                }
            }
            Happening::Repair { fault } => {
                drop(world);
                self.repair(fault);
            }
            Happening::Mischief => {
                drop(world);
                if self.is_storm {
                    self.make_mischief();
                    self.schedule_mischief();
                }
            }
            Happening::Reload => {
                drop(world);
                if let Some(every) = self.plan.reload_every.filter(|_| self.is_storm) {
                    self.change_settings();
                    let pause = self.reload_chance.below(2 * every);
                    self.schedule_in(pause, Happening::Reload);
                }
            }
        }
    }

    /// Something has happened at a host; if it is Places or a client, it continues.
    fn continue_actor(&mut self, world: &mut World, connection: usize, side: Side) {
        let host = world.connections[connection].host(side);
        if host == world.places() {
            self.places.step(world, connection);
            return;
        }
        match world.hosts[host].actor {
            Some(Actor::Client(client)) => {
                if let Some(client) = self.clients.get_mut(client) {
                    client.step(world, &mut self.oracle);
                }
            }
            Some(Actor::Web(client)) => self.web_acts(world, client),
            None => {}
        }
    }

    /// A client connects to a random server.
    pub fn client_connects(&mut self) {
        let server = self.chance.index(self.loops.len());
        let script = self.plan.vocabulary.script(&mut self.chance);
        let ids = &self.plan.vocabulary.ids;
        let mut script = forgets::add(script, ids, self.forgets_one_in, &mut self.forget_chance);
        if self.follow_chance.one_in(self.followers_one_in) {
            script = followers::script(&self.plan.vocabulary, &self.oracle, server, &mut self.follow_chance);
        }
        // CR NUL that ends no line can make a line longer than a limit that changes.
        let has_dialect =
            self.dialect_chance.one_in(self.dialects_one_in) && !self.line_limit_changes(server);
        if has_dialect {
            script = speak(script, self.plan.vocabulary.max_line, &mut self.dialect_chance);
        }
        self.change_line_limit();
        if let Some(server) = self.server_for_long_lines() {
            let script = long_lines::script(&mut self.long_chance);
            self.connect_client(server, script);
            return;
        }
        // A burst before a byte order mark would make the mark a part of a line.
        let has_burst = self.extra.one_in(self.bursts_one_in) && !has_dialect;
        if has_burst {
            script.push_front(Act::Send(burst(&mut self.extra)));
        }
        if !has_burst
            && let Some(tls) = &mut self.tls
            && tls.chance.one_in(TLS_CLIENTS_ONE_IN)
        {
            let (wire, truncates) = (tls.wire(None), tls.chance.one_in(4));
            let keeps_socket = !truncates && tls.socket_chance.one_in(2);
            let client = self.connect_over(server, script, wire);
            client.truncates = truncates;
            client.keeps_socket = keeps_socket;
            client.learns_nothing = true;
            return;
        }
        let has_tls = self.tls.is_some();
        let connection = self.connect_client(server, script);
        self.clients.last_mut().expect("the client").learns_nothing = has_tls;
        if has_burst {
            self.world.borrow_mut().connections[connection].pipe_from(Side::Dialler).window = BURST_MAX;
            self.bursts.push(connection);
        }
    }

    /// A client connects to a server. Returns its connection.
    pub fn connect_client(&mut self, server: usize, script: VecDeque<Act>) -> usize {
        let limits = self.limits(server);
        let client = Client::new(&mut self.world.borrow_mut(), self.clients.len(), limits, script);
        let connection = client.connection;
        self.clients.push(client);
        connection
    }

    fn turn(&mut self, server: usize) {
        self.turns[server] += 1;
        self.check_spinning(server);
        let Some(event_loop) = &mut self.loops[server] else {
            return;
        };
        let result = event_loop.turn();
        if matches!(result, Ok(Turn::Reload)) {
            self.apply_settings(server);
        }
        if self.turns[server].is_multiple_of(HOLDINGS_EVERY) {
            self.check_bounds(server);
        }
        self.check_log(server);
        let ended = matches!(result, Ok(Turn::Over));
        self.check_shutdown(server, ended);
        let Some(event_loop) = &self.loops[server] else {
            return;
        };
        let (patience, state) = (event_loop.patience(), event_loop.application().server());
        let mut world = self.world.borrow_mut();
        self.oracle.observe(&mut world, server, state);
        if ended {
            drop(world);
            self.finish_store(server);
            self.end(server);
            return;
        }
        let sequence = state.store.sequence();
        let is_idle = patience != Some(Duration::ZERO) && world.hosts[server].events.is_empty();
        world.check_incarnations();
        world.check_dialled_back();
        world.check_failed_attempts(server);
        world.check_handshakes(server, is_idle);
        if self.stopping_since[server].is_none() {
            for neighbour in self.plan.neighbours_of(server) {
                world.check_acknowledged(server, neighbour, is_idle);
                if is_idle {
                    world.check_transfer(&self.oracle, server, neighbour, sequence);
                    world.check_authorities(server, neighbour);
                    world.check_silence(server, neighbour, self.plan.silence.as_nanos() as Time);
                    world.check_address(server, neighbour);
                }
            }
            let overlooked = self.bursts.iter().find(|&&burst| {
                let connection = &world.connections[burst];
                connection.host(Side::Acceptor) == server && connection.is_overlooked()
            });
            // While questions to Places are pending, or replies wait for the disk, there may be no room for further replies,
            // and a stream of FOLLOW begins when the store was read.
            let may_lack_room = state.desk.pending() > 0
                || state.durability.is_awaited()
                || state.course.store_read.is_some();
            if is_idle && overlooked.is_some() && !may_lack_room {
                world.violate(|| format!("server {server} is idle although a client has sent input"));
            }
        }
        if let Some(patience) = patience {
            let cost = world.chance.between(MICROSECOND, TURN_MAX);
            let at = world.now.saturating_add((patience.as_nanos() as Time).max(cost));
            world.wake(server, at);
        }
        drop(world);
        self.note_store(server);
    }

    /// Checks the bounds of buffers and questions.
    fn check_bounds(&mut self, server: usize) {
        let Some(event_loop) = &self.loops[server] else { return };
        let holdings = event_loop.holdings();
        let most = self.plan.high_water as usize + REPLY_MAX + self.plan.waiting_replies_max();
        let is_bounded = holdings.output_bytes <= holdings.connections * most
            && holdings.input_bytes <= holdings.connections * INPUT_MAX;
        let mut world = self.world.borrow_mut();
        if !is_bounded {
            world.violate(|| format!("server {server} is above its bounds: {holdings:?}"));
        }
        if event_loop.application().server().desk.pending() > 0 && !world.has_clients(server) {
            world.violate(|| format!("server {server} asks Places although no client waits"));
        }
    }

    /// Reads the log of a server. Its times are those of the wall clock, which must not jump.
    fn check_log(&mut self, server: usize) {
        let mut world = self.world.borrow_mut();
        let lines = std::mem::take(&mut world.hosts[server].unread_log);
        if !self.plan.faults.contains(&Fault::ClockJump)
            && let Err(why) = self.logs[server].read(&lines)
        {
            world.violate(|| format!("the log of server {server}: {why}"));
        }
    }

    /// Checks the time limits of a server that shuts down.
    fn check_shutdown(&mut self, server: usize, ended: bool) {
        let (Some(since), Some(event_loop)) = (self.stopping_since[server], &self.loops[server]) else {
            return;
        };
        let mut world = self.world.borrow_mut();
        let holdings = event_loop.holdings();
        if world.now > since + STOP_MAX && !ended {
            world.violate(|| format!("server {server} was asked to shut down at {}", show(since)));
        }
        if self.idle_since[server].is_some_and(|since| world.now > since + IDLE_STOP_MAX) {
            world.violate(|| {
                format!("server {server} had nothing left to do and did not shut down: {holdings:?}")
            });
        }
        let has_bytes = holdings.input_bytes + holdings.output_bytes > 0;
        // A TLS session may have output, too.
        // Replies may wait for the disk.
        let is_busy = has_bytes
            || world.has_input(server)
            || world.writes_store(server)
            || self.tls.is_some() && world.has_blocked_output(server);
        self.idle_since[server] = self.idle_since[server].or(Some(world.now)).filter(|_| !is_busy);
    }

    /// Counts the turns that follow one another without an event.
    fn check_spinning(&mut self, server: usize) {
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
        // Connections that it accepted after it was asked to shut down are excused, too: it never received
        // the input that arrived while their end was in flight.
        for connection in &mut self.world.borrow_mut().connections {
            connection.faulted |= connection.endpoints.iter().any(|endpoint| endpoint.host == server);
        }
        self.world.borrow().print(|| format!("server {server} is gone"));
        self.store_ended(server);
        // This closes its connections.
        self.loops[server] = None;
        self.stopping_since[server] = None;
        self.world.borrow_mut().process_ended(server);
    }

    /// Promises about the connections of a host are not checked any more.
    pub fn excuse_connections(&mut self, host: usize) {
        for connection in &mut self.world.borrow_mut().connections {
            let is_its = connection.endpoints.iter().any(|endpoint| endpoint.host == host && endpoint.open);
            connection.faulted |= is_its;
        }
    }
}

/// Derives other random numbers from the same seed.
const EXTRA: u64 = 0x6275_7273_7473;
/// The same for FORGET, and for statements that end.
const FORGETS: u64 = 0x66_6f72_6765_7473;
/// The same for the dialects of clients, and for silent clients.
const DIALECTS: u64 = 0x6469_616c_6563_7473;
const SILENCES: u64 = 0x7369_6c65_6e63_6573;
/// The same for long statements, a crowd, and neighbours that are reached in one direction only.
const LONG_LINES: u64 = 0x6c6f_6e67;
const CROWD: u64 = 0x6372_6f77;
const ONE_WAY: u64 = 0x6f6e_6577_6179;
/// One seed in so many has such a neighbour after the storm.
const ONE_WAY_ONE_IN: u64 = 8;
/// The same for NEAR.
const NEAR: u64 = 0x6e65_6172;
/// The same for TLS.
const TLS: u64 = 0x74_6c73;
/// One client in so many speaks TLS, and one seed in so many has a closer look at it.
const TLS_CLIENTS_ONE_IN: u64 = 3;
const TLS_CHECKS_ONE_IN: u64 = 4;
/// The same for connections to Places that are kept.
const KEPT: u64 = 0x6b65_7074;
/// The same for the service that Places is.
const SERVICES: u64 = 0x7365_7276_6963_6573;
/// One seed in so many has a closer look at these.
const KEPT_ONE_IN: u64 = 4;
/// One seed in so many has silent clients.
const SILENCES_ONE_IN: u64 = 6;
/// The same for clients that follow.
const FOLLOWS: u64 = 0x666f_6c6c_6f77;
/// The same for changes of settings.
pub const RELOADS: u64 = 0x72_656c_6f61_6473;
/// Bytes of a burst, at most: more than a server reads from one connection in one turn.
const BURST_MAX: usize = 192 * 1024;
/// The number of turns between two checks of bounds.
const HOLDINGS_EVERY: u64 = 16;
/// Bytes of the longest reply, and of the longest line between servers, at most.
const REPLY_MAX: usize = 12 * 1024;
/// Bytes of unconsumed input of one connection, at most: one read, and the rest of earlier ones.
const INPUT_MAX: usize = 128 * 1024;
/// Turns without an event that are enough to read all input and send all changes that can have piled up.
const IDLE_TURNS_MAX: u32 = 1000;
/// The longest time of a turn.
const TURN_MAX: Time = 20 * MICROSECOND;
/// The time limit of a shutdown (docs/protocol.md, section 5).
const STOP_MAX: Time = 300 * MILLISECOND;
/// The time limit of a shutdown when there is no input to read and no output to send.
const IDLE_STOP_MAX: Time = 2 * MILLISECOND;
