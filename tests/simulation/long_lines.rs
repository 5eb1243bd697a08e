//! Statements that are too long for some servers (docs/protocol.md, section 2): `limits.max_line` differs
//! between servers, and that of some changes while they run. Long statements have IDs of their own, because
//! not every server can have them; all others must spread as if there were none.

use std::collections::VecDeque;

use crate::chance::Chance;
use crate::plan::Plan;
use crate::scripts::Act;
use crate::simulation::Simulation;
use crate::world::{MILLISECOND, SECOND, WALL_AT_START};

/// The limits of one server: the least and the greatest `limits.max_line` that it ever has.
pub type LineLimits = (usize, usize);

/// The servers that take all lines, connected by edges between them.
pub type Group = Vec<usize>;

/// The limits of all servers, if they differ in this seed. Limits that change are above every line that a
/// client sends to such a server, so that each client knows how its lines are split.
pub fn line_limits(chance: &mut Chance, plan: &mut Plan) -> Option<Vec<LineLimits>> {
    if plan.is_large() || plan.conditions.window_min < WINDOW_MIN || !chance.one_in(LONG_LINES_ONE_IN) {
        return None;
    }
    plan.vocabulary.max_line = LEAST;
    plan.has_long_lines = true;
    let mut limits: Vec<LineLimits> = plan
        .names
        .iter()
        .map(|_| *chance.pick(&[GREATEST, GREATEST, (LEAST, LEAST), (300, 300), CHANGING, CHANGING]))
        .collect();
    limits[chance.index(plan.names.len())] = GREATEST;
    Some(limits)
}

/// The groups of servers that must agree on long statements.
pub fn groups(limits: &[LineLimits], plan: &Plan) -> Vec<Group> {
    let mut group_of: Vec<Option<usize>> = vec![None; limits.len()];
    let mut groups: Vec<Group> = Vec::new();
    for first in 0..limits.len() {
        let mut found = vec![first];
        while let Some(server) = found.pop() {
            if limits[server] != GREATEST || group_of[server].is_some() {
                continue;
            }
            if server == first {
                groups.push(Group::new());
            }
            group_of[server] = Some(groups.len() - 1);
            if let Some(group) = groups.last_mut() {
                group.push(server);
            }
            found.extend(plan.neighbours_of(server));
        }
    }
    groups
}

/// The script of a client that sends long statements.
pub fn script(chance: &mut Chance) -> VecDeque<Act> {
    let mut acts = VecDeque::new();
    for _ in 0..chance.between(1, 6) {
        let id = *chance.pick(&LONG_IDS);
        let zeros = "0".repeat(chance.between(1000, 5000) as usize);
        let time = WALL_AT_START / SECOND + chance.below(1000);
        acts.push_back(Act::Send(format!("IAMAT {id} +34.{zeros}-118.4 {time}\n").into_bytes()));
        acts.push_back(Act::Wait(chance.below(500 * MILLISECOND)));
    }
    acts.push_back(Act::HalfClose);
    acts
}

impl Simulation {
    /// `limits.max_line` of a server.
    pub fn max_line(&self, server: usize) -> usize {
        let (least, greatest) = self.line_limits[server];
        if self.changes[server].has_least_line { least } else { greatest }
    }

    /// Whether `limits.max_line` of a server changes while it runs.
    pub fn line_limit_changes(&self, server: usize) -> bool {
        let (least, greatest) = self.line_limits[server];
        least != greatest
    }

    /// A server that takes all lines.
    pub fn server_for_long_lines(&mut self) -> Option<usize> {
        let takes_all = |server: &usize| self.line_limits[*server] == GREATEST;
        let servers: Vec<usize> = (0..self.line_limits.len()).filter(takes_all).collect();
        (self.plan.has_long_lines && self.long_chance.one_in(4)).then(|| *self.long_chance.pick(&servers))
    }

    /// Changes the limit of a server, now and then.
    pub fn change_line_limit(&mut self) {
        if self.plan.has_long_lines && self.long_chance.one_in(6) {
            let server = self.long_chance.index(self.line_limits.len());
            self.changes[server].has_least_line = !self.changes[server].has_least_line;
            self.reload(server);
        }
    }
}

/// The IDs of long statements.
pub const LONG_IDS: [&str; 2] = ["long-a", "long-b"];
/// Bytes of a line between servers beyond `limits.max_line`.
pub const PEER_LINE_EXTRA: usize = 1024;
/// The least limit, that of a server that takes all lines, and one that changes.
const LEAST: usize = 100;
const GREATEST: LineLimits = (8192, 8192);
const CHANGING: LineLimits = (300, 1400);
/// With smaller windows a long line takes too long for the time limit of agreement.
const WINDOW_MIN: usize = 4096;
/// One seed in so many of those with such windows has long lines.
const LONG_LINES_ONE_IN: u64 = 3;
