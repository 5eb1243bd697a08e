//! A neighbour that is named at a wrong address, so that statements flow one way (docs/protocol.md, section 2).

use crate::plan::Fault;
use crate::simulation::Simulation;
use crate::world::{MILLISECOND, SECOND, Time};

impl Simulation {
    /// One server names a neighbour at an address where nothing listens. Its log must say so once.
    pub fn check_one_way(&mut self) -> Result<(), String> {
        let server = self.one_way_chance.index(self.loops.len());
        let neighbours: Vec<usize> = self.plan.neighbours_of(server).collect();
        let neighbour = *self.one_way_chance.pick(&neighbours);
        // A link that has been down since the storm has been reported, while there was no log.
        let begin = self.world.borrow().now;
        while !self.has_link(server, neighbour) {
            let now = self.world.borrow().now;
            if now > begin + self.plan.agreement_max() {
                return Err(format!("server {server} does not reach server {neighbour}"));
            }
            self.run_until(now + STEP)?;
        }
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

    /// Whether the link that a server dials is up.
    fn has_link(&self, server: usize, neighbour: usize) -> bool {
        let neighbours =
            self.loops[server].as_ref().map(|event_loop| &event_loop.application().server().neighbours);
        let name = self.plan.names[neighbour].as_bytes();
        neighbours.is_some_and(|all| all.find(name).is_some_and(|id| all.get(id).outbound.is_some()))
    }
}

/// The time between two looks at a link.
const STEP: Time = 100 * MILLISECOND;
/// The longest retry delay, a lookup, and connecting to two addresses.
const LOGGED_WITHIN: Time = 4 * SECOND;
