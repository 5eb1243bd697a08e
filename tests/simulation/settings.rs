//! The settings of the servers, which may change while they run.

use std::collections::BTreeSet;
use std::time::Duration;

use herd::config::{ClientsSection, Host, HostPort, Limits, PlacesSection, PlacesUrl};
use herd::event_loop::system::Event;
use herd::herd::{LinkSettings, PlacesSettings, Settings, WebSettings};
use herd::log::Level;
use herd::places::desk::Bounds;

use crate::client::ServerLimits;
use crate::services::key;
use crate::simulation::Simulation;
use crate::world::Time;

/// The settings of one server that change.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The hosts whose second address is named.
    second: BTreeSet<usize>,
    /// The neighbours that are not named.
    removed: BTreeSet<usize>,
    /// The neighbours that are named at an address where no server listens.
    pub absent: BTreeSet<usize>,
    /// `limits.max_line` is the least that the server ever has.
    pub has_least_line: bool,
}

impl Simulation {
    pub fn settings(&self, server: usize) -> Settings {
        let world = self.world.borrow();
        let changes = &self.changes[server];
        let host_port = |host: usize| HostPort {
            host: self.plan.host_name.parse().unwrap_or(Host::Name("localhost".into())),
            port: match changes.absent.contains(&host) {
                true => world.absent_port(host),
                false => world.address_of(host, changes.second.contains(&host)).port(),
            },
        };
        let limits = Limits {
            // A rush of clients must not be refused.
            max_followers: 1_000_000,
            max_line: self.max_line(server),
            line_timeout: Duration::from_nanos(self.plan.line_timeout),
            max_connections: self.plan.connections_max,
            clients: self.silent_clients,
            expire_s: self.plan.lifetimes.expire_s,
            remember_gone_s: self.plan.lifetimes.remember_gone_s,
            ..Limits::default()
        };
        let HostPort { host, port } = host_port(world.places());
        let url = PlacesUrl { tls: false, host, port, path: String::new() };
        let places = PlacesSection {
            api: self.plan.dialect,
            url,
            trust: None,
            key_env: Some("KEY".into()),
            bounds: Bounds {
                timeout: Duration::from_nanos(self.plan.places_timeout),
                connections: self.plan.places_connections,
                cache: self.plan.cache,
                ..PlacesSection::default().bounds
            },
        };
        let neighbours = self.plan.neighbours_of(server).filter(|other| !changes.removed.contains(other));
        let logs = self.plan.logs || self.has_one_way;
        Settings {
            connections_max: self.plan.connections_max,
            limits,
            silence: self.plan.silence,
            neighbours: neighbours.map(|other| (self.plan.names[other].clone(), host_port(other))).collect(),
            links: LinkSettings {
                keys: self.tls.as_ref().map(|tls| tls.herd_keys(server)),
                ..LinkSettings::default()
            },
            web: WebSettings { has_listener: self.plan.has_web, ..WebSettings::default() },
            places: PlacesSettings { section: places, key: Some(key(self.plan.dialect).into()) },
            log_level: if logs { Level::Traffic } else { Level::Off },
        }
    }

    /// The settings of a server that its clients depend on.
    pub fn limits(&self, server: usize) -> ServerLimits {
        ServerLimits {
            server,
            max_line: self.max_line(server),
            line_timeout: self.plan.line_timeout,
            connections_max: self.plan.connections_max,
            close_after: self.silent_clients.close_after.as_nanos() as Time,
        }
    }

    /// Changes the settings of one server: moves a neighbour or Places to its other address, removes a
    /// neighbour, names it at a wrong address, or names it again.
    pub fn change_settings(&mut self) {
        let chance = &mut self.reload_chance;
        let server = chance.index(self.loops.len());
        let neighbours: Vec<usize> = self.plan.neighbours_of(server).collect();
        let neighbour = *chance.pick(&neighbours);
        let Changes { second, removed, absent, .. } = &mut self.changes[server];
        let (changed, host) = match chance.below(3) {
            0 => (removed, neighbour),
            1 if self.one_way_chance.one_in(2) => (absent, neighbour),
            1 => (second, neighbour),
            _ => (second, self.plan.names.len()),
        };
        if !changed.remove(&host) {
            changed.insert(host);
        }
        self.reload(server);
    }

    /// Names all neighbours again.
    pub fn restore_neighbours(&mut self) {
        for server in 0..self.loops.len() {
            let Changes { removed, absent, .. } = &mut self.changes[server];
            let (removed, absent) = (std::mem::take(removed), std::mem::take(absent));
            if !removed.is_empty() || !absent.is_empty() {
                self.reload(server);
            }
        }
    }

    /// Serves clients that neither end their lines nor half-close.
    pub fn serve_silent_clients(&mut self, settings: ClientsSection) {
        self.silent_clients = settings;
        for server in 0..self.loops.len() {
            self.reload(server);
        }
    }

    pub fn reload(&mut self, server: usize) {
        if self.loops[server].is_some() {
            self.world.borrow_mut().notify(server, Event::Reload);
        }
    }

    /// A server reads its settings again.
    pub fn apply_settings(&mut self, server: usize) {
        if self.stopping_since[server].is_some() {
            // It takes over no settings.
            return;
        }
        let settings = self.settings(server);
        self.world
            .borrow()
            .print(|| format!("server {server} reads its settings: {:?}", self.changes[server]));
        self.note_settings(server, &settings);
        if let Some(event_loop) = &mut self.loops[server] {
            event_loop.update(|herd, clocks| herd.apply(settings, clocks));
        }
    }

    pub fn note_settings(&mut self, server: usize, settings: &Settings) {
        let ports = settings.neighbours.iter().map(|(_, address)| address.port).collect();
        let mut world = self.world.borrow_mut();
        world.dialling.settings_read(server, ports);
        world.trusted[server] = self.tls.as_ref().map(|tls| tls.trusted(server));
    }
}
