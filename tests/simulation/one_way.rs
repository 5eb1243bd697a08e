//! A neighbour that is named at a wrong address, so that statements flow one way (docs/protocol.md, section 2).

use crate::plan::Fault;
use crate::simulation::Simulation;
use crate::world::{SECOND, Time};

impl Simulation {
    /// One server names a neighbour at an address where nothing listens. Its log must say so once.
    pub fn check_one_way(&mut self) -> Result<(), String> {
        let server = self.one_way_chance.index(self.loops.len());
        let neighbours: Vec<usize> = self.plan.neighbours_of(server).collect();
        let neighbour = *self.one_way_chance.pick(&neighbours);
        self.has_one_way = true;
        self.changes[server].absent.insert(neighbour);
        self.reload(server);
        let now = self.world.borrow().now;
        // The disk may be writing the page before that line and the one with it.
        let written = 2 * self.plan.conditions.disk_max;
        self.run_until(now + self.plan.silence.as_nanos() as Time + LOGGED_WITHIN + written)?;
        let is_checked = !self.plan.faults.contains(&Fault::ClockJump);
        if is_checked && !self.logs[server].one_way.contains(&self.plan.names[neighbour]) {
            return Err(format!(
                "server {server} did not log that server {neighbour} is reached one way only"
            ));
        }
        self.has_one_way = false;
        self.restore_neighbours();
        self.settle().map(drop)
    }
}

/// The longest retry delay, a lookup, and connecting to two addresses.
const LOGGED_WITHIN: Time = 4 * SECOND;
