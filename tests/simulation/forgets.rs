//! Clients that have clients forgotten, and statements that end (docs/protocol.md, section 1). In some seeds statements
//! expire, or tombstones are dropped, within seconds, and the clocks of servers differ.

use std::collections::VecDeque;

use crate::chance::Chance;
use crate::plan::{Fault, Plan};
use crate::rules::Lifetimes;
use crate::scripts::Act;
use crate::simulation::Simulation;
use crate::world::{SECOND, Time, WALL_AT_START};

/// How many commands of scripts there are for one FORGET; 0: there is none. Decides how long statements count, too.
pub fn forgets_one_in(chance: &mut Chance, plan: &mut Plan, has_crowd: bool) -> u64 {
    if plan.is_large() {
        return 0;
    }
    // A crowd takes long to spread, and long statements are not on all servers.
    if !has_crowd && !plan.has_long_lines && chance.one_in(SHORT_ONE_IN) {
        let short = |chance: &mut Chance| chance.between(SHORTEST, LONGEST) as u32;
        plan.lifetimes = match chance.below(3) {
            0 => Lifetimes { expire_s: short(chance), ..Lifetimes::default() },
            1 => Lifetimes { remember_gone_s: short(chance), ..Lifetimes::default() },
            _ => Lifetimes { expire_s: short(chance), remember_gone_s: short(chance) },
        };
        // A clock that is set back lets statements count again.
        plan.faults.retain(|fault| *fault != Fault::ClockJump);
        // An IAMAT that is older than one which has expired is no older statement.
        plan.logs = false;
    }
    *chance.pick(&[0, 3, 10, 30])
}

/// Adds FORGETs between the lines of a script. The first client of all is never forgotten: later checks ask about it.
pub fn add(script: VecDeque<Act>, ids: &[Vec<u8>], one_in: u64, chance: &mut Chance) -> VecDeque<Act> {
    let Some(ids) = ids.get(1..).filter(|ids| !ids.is_empty() && one_in > 0) else { return script };
    let mut acts = VecDeque::new();
    for act in script {
        let ends_line = matches!(&act, Act::Send(bytes) if bytes.ends_with(b"\n"));
        acts.push_back(act);
        if ends_line && chance.one_in(one_in) {
            let id = chance.pick(ids).clone();
            acts.push_back(Act::Send([b"FORGET ", &id[..], b"\n"].concat()));
        }
    }
    acts
}

impl Simulation {
    /// Sets the clocks apart where statements end within seconds.
    pub fn set_clocks_apart(&mut self) {
        if !self.plan.lifetimes.are_short() {
            return;
        }
        for server in 0..self.loops.len() {
            let ahead = WALL_AT_START - APART_MAX + self.forget_chance.below(2 * APART_MAX);
            self.world.borrow_mut().set_clock(server, ahead);
            self.world.borrow_mut().crossings.let_statements_end();
        }
    }

    /// After the last report every record must be gone in time, if its kind has a short life.
    pub fn check_removal(&mut self) -> Result<(), String> {
        let Lifetimes { expire_s, remember_gone_s } = self.plan.lifetimes;
        if !self.plan.lifetimes.are_short() {
            return Ok(());
        }
        let longest = [expire_s, remember_gone_s].into_iter().filter(|s| Time::from(*s) <= LONGEST).max();
        let now = self.world.borrow().now;
        self.run_until(now + Time::from(longest.unwrap_or(0)) * SECOND + REMOVED_WITHIN)?;
        for (server, event_loop) in self.loops.iter().enumerate() {
            let Some(event_loop) = event_loop else { continue };
            let store = &event_loop.application().server().store;
            let (clients, tombstones) = (store.len(), store.records() - store.len());
            if expire_s > 0 && clients > 0 || Time::from(remember_gone_s) <= LONGEST && tombstones > 0 {
                return Err(format!(
                    "server {server} still has {clients} clients and {tombstones} tombstones, {:?}",
                    self.plan.lifetimes
                ));
            }
        }
        Ok(())
    }
}

/// One seed in so many has statements that end within seconds, and how many. More than clocks are apart.
const SHORT_ONE_IN: u64 = 4;
const SHORTEST: u64 = 5;
pub const LONGEST: u64 = 30;
/// How far the clocks of servers are from the right time then.
const APART_MAX: Time = 2 * SECOND;
/// From the end of a statement by the right clock to its removal: clocks that are behind, the pause between two passes,
/// and a statement that was received by a server whose clock is ahead.
const REMOVED_WITHIN: Time = 2 * APART_MAX + 2 * SECOND;
