//! The faults of disks, the ends of many servers at once, and the checks of stores after the storm.

use std::collections::{BTreeMap, VecDeque};

use herd::config::Sync;
use herd::event_loop::system::Event;

use crate::disk::Trouble;
use crate::faults::Repair;
use crate::scripts::Act;
use crate::simulation::Simulation;
use crate::store_files::{Frame, frames, is_file, winners};
use crate::stores::NotStarted;
use crate::world::{SECOND, Time};

impl Simulation {
    /// The disk of a server fails for a while.
    pub fn disk_fails(&mut self, server: usize, length: Time) {
        let Some(stores) = &mut self.stores else { return };
        let chance = &mut stores.chance;
        let trouble = match chance.below(3) {
            0 => Trouble::Full { room: chance.magnitude(1, 8192) },
            1 => Trouble::Errors { one_in: chance.magnitude(1, 20) },
            _ => Trouble::Syncs { one_in: chance.between(1, 2) },
        };
        if self.set_trouble(server, Some(trouble)) {
            self.repair_in(length, Repair::Disk(server));
        }
    }

    /// Something is wrong with a disk from now on, or nothing. Returns whether the server has one.
    pub fn set_trouble(&mut self, server: usize, trouble: Option<Trouble>) -> bool {
        let world = self.world.borrow();
        let (Some(disk), Some(promises)) = (&world.hosts[server].disk, self.oracle.promises_of(server))
        else {
            return false;
        };
        world.print(|| format!("the disk of server {server}: {trouble:?}"));
        disk.set_trouble(trouble);
        match trouble {
            Some(_) => promises.trouble_begins(world.now),
            None => promises.trouble_ends(world.now),
        }
        true
    }

    /// Ends all servers at once.
    pub fn end_all(&mut self, loses_power: bool) {
        for server in 0..self.loops.len() {
            if self.loops[server].is_some() {
                self.world.borrow_mut().hosts[server].has_no_power = loses_power;
                self.end(server);
            }
        }
    }

    /// Asks a server to shut down in order.
    pub fn stop(&mut self, server: usize) {
        self.excuse_connections(server);
        let mut world = self.world.borrow_mut();
        self.stopping_since[server] = Some(world.now);
        self.idle_since[server] = None;
        world.hosts[server].is_stopping = true;
        world.notify(server, Event::Stop);
    }

    /// A bit in the files of a server that does not run changes, a file is cut, or a file is lost.
    pub fn damage_store(&mut self, server: usize) {
        let world = self.world.borrow();
        let (Some(stores), Some(disk)) = (&mut self.stores, &world.hosts[server].disk) else { return };
        let chance = &mut stores.chance;
        // What is left then is left after a power cut, too.
        disk.write_back();
        let names: Vec<String> = disk.names().into_iter().filter(|name| is_file(name)).collect();
        if names.is_empty() {
            return;
        }
        let read = |name: &String| (name.clone(), disk.content(name).unwrap_or_default());
        let contents: BTreeMap<String, Vec<u8>> = names.iter().map(read).collect();
        let mut files: BTreeMap<String, Vec<Frame>> =
            contents.iter().map(|(name, content)| (name.clone(), frames(content))).collect();
        let name = chance.pick(&names).clone();
        let mut content = contents[&name].clone();
        // Without the log of a process, the one before it has ended in order: nothing says that there was another.
        let is_last_log = files.keys().next_back() == Some(&name);
        let own = files.entry(name.clone()).or_default();
        match if is_last_log { 0 } else { chance.below(4) } {
            0 | 1 if content.is_empty() => return,
            0 | 1 => {
                let at = chance.index(own.last().map_or(content.len(), |last| last.range.end));
                content[at] ^= 1 << chance.below(8);
                own.retain(|frame| !frame.range.contains(&at));
                world.print(|| format!("server {server}: a bit of byte {at} of {name} is flipped"));
                disk.damage(&name, content);
            }
            2 => {
                // Between two records as often as within one.
                let ends: Vec<usize> = own.iter().map(|frame| frame.range.end).collect();
                let length = match ends.is_empty() || chance.one_in(2) {
                    true => chance.index(content.len() + 1),
                    false => *chance.pick(&ends),
                };
                own.retain(|frame| frame.range.end <= length);
                world.print(|| format!("server {server}: {name} is cut to {length} bytes"));
                content.truncate(length);
                disk.damage(&name, content);
            }
            _ => {
                files.remove(&name);
                world.print(|| format!("server {server}: {name} is lost"));
                disk.lose(&name);
            }
        }
        if let Some(promises) = self.oracle.promises_of(server) {
            promises.damaged(&winners(&files), world.hosts[server].incarnation);
        }
    }

    /// Checks stores when no fault disturbs them.
    pub fn check_stores(&mut self) -> Result<(), String> {
        let Some(stores) = &mut self.stores else { return Ok(()) };
        let world = self.world.borrow();
        let with_disk: Vec<usize> =
            (0..world.servers).filter(|&server| world.hosts[server].disk.is_some()).collect();
        if with_disk.is_empty() {
            return Ok(());
        }
        let (check, server) = (stores.chance.below(4), *stores.chance.pick(&with_disk));
        drop(world);
        match check {
            0 => self.check_continuation(&[server]),
            1 => self.check_continuation(&with_disk),
            2 => self.check_failing_disk(server),
            _ => self.check_end_of_all(),
        }
    }

    /// Servers end in order and start again: no statement crosses an edge, because none is new.
    fn check_continuation(&mut self, servers: &[usize]) -> Result<(), String> {
        self.run_for(PAUSE)?;
        let before = self.world.borrow().links.statements;
        servers.iter().for_each(|&server| self.stop(server));
        self.run_for(PAUSE)?;
        for &server in servers {
            if self.loops[server].is_some() {
                return Err(format!("server {server} has not ended"));
            }
            self.start_after_storm(server)?;
        }
        self.settle()?;
        let crossed = self.world.borrow().links.statements - before;
        // A batch may take longer than a server waits for it.
        if crossed > 0 && self.plan.conditions.store_max < SECOND {
            return Err(format!("{crossed} statements crossed although {servers:?} have ended in order"));
        }
        Ok(())
    }

    /// A server with a failing disk goes on in memory. When the disk works again, everything is on it.
    fn check_failing_disk(&mut self, server: usize) -> Result<(), String> {
        let refused = |simulation: &mut Simulation| {
            simulation.oracle.promises_of(server).map_or(0, |promises| promises.refused)
        };
        let before = refused(self);
        let is_silent = self.stores.as_mut().is_some_and(|stores| stores.chance.one_in(2));
        let trouble = if is_silent { Trouble::Syncs { one_in: 1 } } else { Trouble::Errors { one_in: 1 } };
        self.set_trouble(server, Some(trouble));
        // A client that cannot connect at once is not waited for.
        let id = self.plan.vocabulary.ids[0].clone();
        // One that loses is answered, because there is nothing to write.
        let newest = self.oracle.content(server).get(&id).map_or(0, |record| record.time / 1_000_000_000);
        let seconds = newest.max(i128::from(self.world.borrow().wall(server) / SECOND)) + 1;
        let line = [b"IAMAT ", &id[..], format!(" +1.5-2.5 {seconds}\n").as_bytes()].concat();
        self.connect_client(server, VecDeque::from([Act::Send(line), Act::HalfClose]));
        self.run_for(PAUSE)?;
        self.settle()?;
        let was_refused = refused(self) > before;
        let always = self.stores.as_ref().is_some_and(|stores| stores.sync == Sync::Always);
        if was_refused != always {
            let which = if was_refused { "refused" } else { "answered" };
            return Err(format!("server {server} has {which} an IAMAT although its disk fails"));
        }
        self.set_trouble(server, None);
        let recovery = self.oracle.promises_of(server).map_or(0, |promises| promises.recovery());
        self.run_for(recovery + 2 * SECOND)?;
        if !self.has_all_on_disk(server) {
            return Err(format!("server {server} has not written everything although its disk works again"));
        }
        self.world.borrow_mut().hosts[server].has_no_power = true;
        self.end(server);
        self.start_after_storm(server)?;
        self.settle().map(drop)
    }

    /// Starts a server whose disk works.
    fn start_after_storm(&mut self, server: usize) -> Result<(), String> {
        self.start(server).map_err(|NotStarted| format!("server {server} does not start"))
    }

    fn has_all_on_disk(&self, server: usize) -> bool {
        self.loops[server].as_ref().is_some_and(|event_loop| {
            let state = event_loop.application().server();
            state.durability.on_disk() >= state.store.sequence()
        })
    }

    /// All servers end at once, some of them with a disk. Afterwards they have what they had.
    fn check_end_of_all(&mut self) -> Result<(), String> {
        let all = 0..self.loops.len();
        let synced = |simulation: &mut Simulation| {
            let promises = simulation.oracle.promises.iter().flatten();
            promises.map(|promises| promises.synced_within() + promises.recovery()).max().unwrap_or(0)
        };
        let pause = synced(self);
        self.run_for(pause)?;
        for server in all.clone() {
            let has_disk = self.world.borrow().hosts[server].disk.is_some();
            if has_disk && !self.has_all_on_disk(server) {
                return Err(format!("server {server} has not written everything"));
            }
        }
        let before = self.oracle.winners(all.clone());
        self.end_all(true);
        for server in all.clone() {
            self.start_after_storm(server)?;
        }
        self.settle()?;
        let after = self.oracle.winners(all);
        // Long statements may have been on a server without a disk alone.
        let is_lost = |id: &Vec<u8>| self.oracle.ids.contains(id) && after.get(id) != before.get(id);
        match before.iter().find(|(id, _)| is_lost(id)) {
            None => Ok(()),
            Some((_, lost)) => Err(format!("the herd has lost '{}'", lost.line.escape_ascii())),
        }
    }

    fn run_for(&mut self, time: Time) -> Result<(), String> {
        let now = self.world.borrow().now;
        self.run_until(now + time)
    }
}

/// The longest time of a shutdown, and of what was sent last to arrive.
const PAUSE: Time = 3 * SECOND;
