//! The faults of a simulation, and their repairs.

use crate::places::Behaviour;
use crate::plan::Fault;
use crate::simulation::Simulation;
use crate::world::{Happening, SECOND, Time, WALL_AT_START, World};

/// The end of a fault.
#[derive(Clone, Debug)]
pub enum Repair {
    Heal(Vec<(usize, usize)>),
    Start(usize),
    Resume(usize),
    Descriptors(usize),
    PlacesBehaviour,
    PlacesUp,
    Disk(usize),
}

impl Simulation {
    /// Begins one of the faults of the plan.
    pub fn inject_fault(&mut self) {
        let fault = *self.chance.pick(&self.plan.faults);
        let server = self.chance.index(self.loops.len());
        let length = self.chance.magnitude(self.plan.fault_length_max / 100, self.plan.fault_length_max);
        self.world.borrow().print(|| format!("{fault:?} of server {server} for {} ms", length / 1_000_000));
        match fault {
            Fault::Cut | Fault::OneWayCut => {
                let neighbours: Vec<usize> = self.plan.neighbours_of(server).collect();
                let other = *self.chance.pick(&neighbours);
                let mut cuts = vec![(server, other)];
                if fault == Fault::Cut {
                    cuts.push((other, server));
                }
                self.cut(cuts, length);
            }
            Fault::Isolation => {
                let hosts = self.world.borrow().hosts.len();
                let others = (0..hosts).filter(|&host| host != server);
                self.cut(others.flat_map(|host| [(server, host), (host, server)]).collect(), length);
            }
            Fault::Kill | Fault::PowerLoss => {
                if self.loops[server].is_some() {
                    self.world.borrow_mut().hosts[server].has_no_power = fault == Fault::PowerLoss;
                    self.end(server);
                    self.repair_in(length, Repair::Start(server));
                }
            }
            Fault::Pause if self.loops[server].is_none() || self.stopping_since[server].is_some() => {}
            Fault::Pause => {
                let mut world = self.world.borrow_mut();
                world.hosts[server].is_paused = true;
                world.dialling.paused(server);
                world.handshakes.paused(server);
                self.oracle.promises_of(server).iter_mut().for_each(|promises| promises.paused(world.now));
                drop(world);
                self.oracle.places_may_fail(Time::MAX / 2);
                self.repair_in(length, Repair::Resume(server));
            }
            Fault::Stop => {
                let is_paused = self.world.borrow().hosts[server].is_paused;
                let is_running = self.loops[server].is_some() && !is_paused;
                if is_running && self.stopping_since[server].is_none() {
                    self.stop(server);
                    self.repair_in(length, Repair::Start(server));
                }
            }
            Fault::ClockJump => {
                let ahead = WALL_AT_START - CLOCK_JUMP_MAX + self.chance.below(2 * CLOCK_JUMP_MAX);
                self.world.borrow_mut().set_clock(server, ahead);
            }
            Fault::Reset => self.reset_connection(),
            Fault::Descriptors => {
                let mut world = self.world.borrow_mut();
                let most = world.hosts[server].descriptors + self.chance.below(4) as usize;
                world.hosts[server].descriptors_max = most;
                drop(world);
                self.oracle.places_may_fail(Time::MAX / 2);
                self.repair_in(length, Repair::Descriptors(server));
            }
            Fault::PlacesBehaviour => {
                let behaviours = [Behaviour::Slow, Behaviour::Silent, Behaviour::Invalid];
                self.places.behaviour = *self.chance.pick(&behaviours);
                self.oracle.places_may_fail(Time::MAX / 2);
                self.repair_in(length, Repair::PlacesBehaviour);
            }
            Fault::PlacesDown => {
                let mut world = self.world.borrow_mut();
                let places = world.places();
                world.hosts[places].has_no_power = self.chance.one_in(2);
                world.hosts[places].is_up = false;
                drop(world);
                self.oracle.places_may_fail(Time::MAX / 2);
                self.repair_in(length, Repair::PlacesUp);
            }
            Fault::Rush => {
                for _ in 0..self.chance.between(10, RUSH_MAX) {
                    self.client_connects();
                }
            }
            Fault::AllKilled | Fault::AllLosePower => {
                let running = self.running();
                self.end_all(fault == Fault::AllLosePower);
                for server in running {
                    let delay = self.chance.between(length / 2, length);
                    self.repair_in(delay, Repair::Start(server));
                }
            }
            Fault::AllStop => {
                for server in self.running() {
                    let is_paused = self.world.borrow().hosts[server].is_paused;
                    if !is_paused && self.stopping_since[server].is_none() {
                        self.stop(server);
                        let delay = self.chance.between(length / 2, length);
                        self.repair_in(delay, Repair::Start(server));
                    }
                }
            }
            Fault::DiskFails => self.disk_fails(server, length),
            Fault::DiskIsDamaged => {
                if self.loops[server].is_some() {
                    self.end(server);
                    self.repair_in(length, Repair::Start(server));
                }
                self.damage_store(server);
            }
        }
    }

    fn cut(&mut self, cuts: Vec<(usize, usize)>, length: Time) {
        let mut world = self.world.borrow_mut();
        for &cut in &cuts {
            world.cuts.insert(cut);
        }
        let World { connections, cuts: all, .. } = &mut *world;
        for connection in connections {
            let hosts = (connection.endpoints[0].host, connection.endpoints[1].host);
            connection.faulted |= all.contains(&hosts) || all.contains(&(hosts.1, hosts.0));
        }
        let affects_places = cuts.iter().any(|cut| cut.0 == world.places());
        drop(world);
        if affects_places {
            self.oracle.places_may_fail(Time::MAX / 2);
        }
        self.repair_in(length, Repair::Heal(cuts));
    }

    fn reset_connection(&mut self) {
        let mut world = self.world.borrow_mut();
        let open = |index: &usize| world.connections[*index].endpoints.iter().all(|endpoint| endpoint.open);
        let open: Vec<usize> = (0..world.connections.len()).filter(open).collect();
        if open.is_empty() {
            return;
        }
        let index = *self.chance.pick(&open);
        world.reset(index);
        let now = world.now;
        if world.connections[index].endpoints[1].host == world.places() {
            self.oracle.places_may_fail(now);
        }
    }

    fn running(&self) -> Vec<usize> {
        (0..self.loops.len()).filter(|&server| self.loops[server].is_some()).collect()
    }

    pub fn repair_in(&mut self, delay: Time, repair: Repair) {
        self.repairs.push(Some(repair));
        let fault = self.repairs.len() - 1;
        self.world.borrow_mut().schedule_in(delay, Happening::Repair { fault });
    }

    /// Ends a fault, if it has not ended yet.
    pub fn repair(&mut self, fault: usize) {
        let Some(repair) = self.repairs[fault].take() else {
            return;
        };
        let mut world = self.world.borrow_mut();
        world.print(|| match &repair {
            Repair::Heal(cuts) => format!("repaired: {} cuts", cuts.len()),
            _ => format!("repaired: {repair:?}"),
        });
        match repair {
            Repair::Heal(cuts) => world.heal(&cuts),
            Repair::Start(server) => {
                drop(world);
                if self.stopping_since[server].is_some() {
                    self.end(server);
                }
                if self.loops[server].is_none() && self.start(server).is_err() {
                    self.repair_in(START_AGAIN, Repair::Start(server));
                }
            }
            Repair::Disk(server) => {
                drop(world);
                self.set_trouble(server, None);
            }
            Repair::Resume(server) => {
                self.oracle.promises_of(server).iter_mut().for_each(|promises| promises.resumed(world.now));
                if std::mem::take(&mut world.hosts[server].is_paused) && world.hosts[server].is_up {
                    let now = world.now;
                    world.wake(server, now);
                }
            }
            Repair::Descriptors(server) => world.hosts[server].descriptors_max = usize::MAX,
            Repair::PlacesBehaviour => self.places.behaviour = Behaviour::Fast,
            Repair::PlacesUp => {
                let places = world.places();
                (world.hosts[places].is_up, world.hosts[places].has_no_power) = (true, false);
            }
        }
    }

    /// Ends all faults.
    pub fn end_storm(&mut self) {
        self.world.borrow().print(|| "the storm is over".to_owned());
        self.is_storm = false;
        self.world.borrow_mut().conditions.make_reliable();
        for server in 0..self.loops.len() {
            self.set_trouble(server, None);
        }
        for fault in 0..self.repairs.len() {
            self.repair(fault);
        }
        self.restore_neighbours();
        self.restore_keys(1, &[1]);
        for server in 0..self.loops.len() {
            if self.stopping_since[server].is_some() {
                self.end(server);
            }
            if self.loops[server].is_none() {
                let _ = self.start(server);
            }
        }
        let now = self.world.borrow().now;
        self.oracle.places_work_again(now);
    }
}

/// How far a wall clock jumps from the right time, forward or back.
const CLOCK_JUMP_MAX: Time = 3600 * SECOND;
/// The time until a server that could not start is started again.
const START_AGAIN: Time = SECOND;
/// Clients that connect at once.
const RUSH_MAX: u64 = 80;
