//! The stores on disk of a herd (docs/protocol.md, section 8): which servers have one, and its start and end.

use std::collections::BTreeMap;
use std::time::Duration;

use herd::config::Sync;
use herd::conversation::Server;
use herd::herd::{JournalDriver, Reads};

use crate::chance::Chance;
use crate::disk::{SimulatedDisk, Trouble};
use crate::plan::{Fault, Plan};
use crate::promises::{Ending, Promises};
use crate::simulation::Simulation;
use crate::store_files::show_files;
use crate::world::{MILLISECOND, SECOND, World};

/// The stores of a herd.
pub struct Stores {
    pub chance: Chance,
    pub sync: Sync,
    /// Servers that read their stores beside clients, and whether their promises are sure.
    unchecked: BTreeMap<usize, bool>,
}

impl Stores {
    /// Decides whether a herd has stores, and adds faults to its plan.
    pub fn new(mut chance: Chance, plan: &mut Plan) -> Option<Stores> {
        if plan.is_large() || !chance.one_in(STORES_ONE_IN) {
            return None;
        }
        let sync = *chance.pick(&[Sync::EverySecond, Sync::Always]);
        plan.conditions.store_max = *chance.pick(&[MILLISECOND, 100 * MILLISECOND, 2 * SECOND]);
        if !plan.faults.is_empty() || chance.one_in(2) {
            for fault in FAULTS {
                if chance.one_in(2) && !plan.faults.contains(&fault) {
                    plan.faults.push(fault);
                }
            }
        }
        plan.has_stores = true;
        // An IAMAT that is older than a statement which was read is older without one in the log, and replies may wait.
        plan.logs = false;
        Some(Stores { chance, sync, unchecked: BTreeMap::new() })
    }

    /// Gives most servers a disk. Returns what the store of each must have.
    pub fn give_disks(&mut self, world: &mut World) -> Vec<Option<Promises>> {
        let all_have_one = self.chance.one_in(2);
        let batch_max = world.conditions.store_max;
        let give = |server: usize| {
            if !all_have_one && self.chance.one_in(3) {
                return None;
            }
            world.hosts[server].disk = Some(SimulatedDisk::new(Chance::new(self.chance.number())));
            Some(Promises::new(self.sync, batch_max))
        };
        (0..world.servers).map(give).collect()
    }
}

impl Simulation {
    /// Opens the store of a server that starts, if it has one. The error: the server does not start.
    pub fn open_store(
        &mut self,
        server: usize,
        state: &mut Server,
    ) -> Result<Option<JournalDriver>, NotStarted> {
        let disk = self.world.borrow().hosts[server].disk.clone();
        let (Some(stores), Some(disk)) = (&mut self.stores, disk) else { return Ok(None) };
        let wall = self.world.borrow().wall(server);
        state.set_time(wall);
        self.world.borrow().print(|| format!("server {server} has {}", show_files(&disk)));
        let (trouble, folder) = (disk.trouble(), disk.process_starts());
        if self.is_storm && stores.chance.one_in(DYING_STARTS_ONE_IN) {
            disk.process_dies_after(stores.chance.below(CALLS_MAX));
        }
        let portion = match self.crowd {
            // Each portion takes the time of a task.
            Some(_) => CROWD_PORTION,
            None => 1 + stores.chance.below(500) as usize,
        };
        let reads = match stores.chance.one_in(2) {
            true => Reads::default(),
            false => Reads { at_once: stores.chance.below(500), portion },
        };
        let opened = JournalDriver::open(folder, stores.sync, state, wall / SECOND, reads);
        if !disk.process_lives_on() {
            self.start_dies(server);
            return Err(NotStarted);
        }
        let (driver, messages) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                self.start_fails(server, trouble, &why);
                return Err(NotStarted);
            }
        };
        for message in &messages {
            self.world.borrow().print(|| format!("server {server}: {message}"));
        }
        let is_sure = !matches!(trouble, Some(Trouble::Errors { .. }));
        if driver.is_reading() {
            stores.unchecked.insert(server, is_sure);
        } else {
            let read = (&state.store, state.identity.epoch.0);
            if let Err(why) = self.oracle.check_promises(server, is_sure, Some(&messages), read, wall) {
                self.world.borrow_mut().violate(|| format!("server {server} {why}"));
            }
        }
        Ok(Some(driver))
    }

    /// A server has ended a turn. If it has read its store beside clients and is at the end, what it has is checked.
    fn check_what_was_read(&mut self, server: usize) {
        let (Some(stores), Some(event_loop)) = (&mut self.stores, &self.loops[server]) else { return };
        let state = event_loop.application().server();
        if state.course.store_read.is_some() {
            return;
        }
        let Some(is_sure) = stores.unchecked.remove(&server) else { return };
        let epoch = state.identity.epoch.0;
        self.world.borrow_mut().epoch_begins(server, epoch);
        let wall = self.world.borrow().wall(server);
        let checked = self.oracle.check_promises(server, is_sure, None, (&state.store, epoch), wall);
        let mut world = self.world.borrow_mut();
        world.print(|| format!("server {server} has read its store"));
        if let Err(why) = checked {
            world.violate(|| format!("server {server} {why}"));
        }
    }

    fn start_fails(&mut self, server: usize, trouble: Option<Trouble>, why: &str) {
        self.oracle.promises_of(server).iter_mut().for_each(|promises| promises.start_failed());
        let mut world = self.world.borrow_mut();
        world.print(|| format!("server {server} does not start: {why}"));
        if trouble.is_none() {
            world.violate(|| format!("server {server} does not start, and its disk works: {why}"));
        }
    }

    /// The process of a server has died while it read its store, or the machine has lost its power.
    fn start_dies(&mut self, server: usize) {
        let Some(stores) = &mut self.stores else { return };
        let ending = if stores.chance.one_in(2) { Ending::Killed } else { Ending::PowerLoss };
        let mut world = self.world.borrow_mut();
        world.print(|| format!("server {server} dies when it starts: {ending:?}"));
        world.hosts[server].has_no_power = ending == Ending::PowerLoss;
        if let Some(promises) = self.oracle.promises_of(server) {
            promises.start_died(ending);
        }
    }

    /// The loop of a server is over: it awaits the tasks that run.
    pub fn finish_store(&mut self, server: usize) {
        let (Some(event_loop), Some(promises)) = (&mut self.loops[server], self.oracle.promises_of(server))
        else {
            return;
        };
        self.world.borrow_mut().hosts[server].is_finishing = true;
        let finished = event_loop.finish(LAST_TASKS_MAX);
        let mut world = self.world.borrow_mut();
        world.hosts[server].is_finishing = false;
        let state = event_loop.application().server();
        if matches!(finished, Ok(true)) && state.course.store_read.is_none() {
            promises.ended_in_order(world.now, state.identity.epoch.0, state.store.sequence());
        }
    }

    /// The process of a server has ended in some way.
    pub fn store_ended(&mut self, server: usize) {
        let content = self.oracle.content(server).clone();
        let world = self.world.borrow();
        let ending = if world.hosts[server].has_no_power { Ending::PowerLoss } else { Ending::Killed };
        let was_reading =
            self.stores.as_mut().is_some_and(|stores| stores.unchecked.remove(&server).is_some());
        if let Some(promises) = self.oracle.promises_of(server) {
            match promises.numbers() {
                _ if was_reading => promises.start_died(ending),
                Some(_) => promises.all_is_due(&content),
                None => promises.ended(world.now, ending),
            }
        }
    }

    /// A server has ended a turn: what it knows to be on the disk must stay there.
    pub fn note_store(&mut self, server: usize) {
        self.check_what_was_read(server);
        let Some(event_loop) = &self.loops[server] else { return };
        let state = event_loop.application().server();
        let sequence = state.store.sequence();
        if self.world.borrow().hosts[server].disk.is_some()
            && state.course.store_read.is_none()
            && state.durability.on_disk() >= sequence
        {
            let incarnation = self.world.borrow().hosts[server].incarnation;
            if self.oracle.all_is_on_disk(server, (incarnation, sequence)) {
                self.world.borrow().print(|| format!("server {server} has {sequence} changes on its disk"));
            }
        }
    }
}

/// A server has not started, because of its disk.
#[derive(Debug)]
pub struct NotStarted;

/// The faults that matter to stores.
const FAULTS: [Fault; 8] = [
    Fault::Kill,
    Fault::PowerLoss,
    Fault::Stop,
    Fault::AllKilled,
    Fault::AllLosePower,
    Fault::AllStop,
    Fault::DiskFails,
    Fault::DiskIsDamaged,
];
/// One herd in so many has stores.
const STORES_ONE_IN: u64 = 3;
/// One start in so many ends within one of its first calls, of which there are few more.
const DYING_STARTS_ONE_IN: u64 = 8;
const CALLS_MAX: u64 = 12;
/// Bytes of changes that are read together from the stores of a herd with a crowd.
const CROWD_PORTION: usize = 20_000;
/// How long a server awaits its last tasks (docs/protocol.md, section 5).
const LAST_TASKS_MAX: Duration = Duration::from_secs(2);
