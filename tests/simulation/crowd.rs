//! So many clients that the table of the store grows, in portions, while they and further ones report.

use std::collections::VecDeque;

use crate::chance::Chance;
use crate::plan::Plan;
use crate::scripts::Act;
use crate::world::{MILLISECOND, SECOND, WALL_AT_START};

/// Whether this seed has a crowd: few servers, and links that transfer a crowd in time.
pub fn has_crowd(chance: &mut Chance, plan: &mut Plan) -> bool {
    let has_crowd = plan.names.len() <= SERVERS_MAX && !plan.has_long_lines && chance.one_in(CROWDS_ONE_IN);
    if has_crowd {
        plan.conditions.window_min = WINDOW;
        plan.conditions.latency_max = plan.conditions.latency_max.min(20 * MILLISECOND);
        plan.high_water = plan.high_water.max(HIGH_WATER_MIN);
    }
    has_crowd
}

/// The IDs of a crowd.
pub fn ids() -> impl Iterator<Item = Vec<u8>> {
    (0..FIRST + LATER).map(|number| format!("c{number}").into_bytes())
}

/// The script of a client that reports the whole crowd: first just as many as fit the smallest table, then one
/// after the other while it grows, each with reports of earlier ones.
pub fn script(chance: &mut Chance) -> VecDeque<Act> {
    let report = |number: u64, round: u64| {
        let seconds = WALL_AT_START / SECOND + round;
        format!("IAMAT c{number} +34.0-118.4 {seconds}\n")
    };
    let mut acts = VecDeque::new();
    let first: Vec<String> = (0..FIRST).map(|number| report(number, 0)).collect();
    acts.extend(first.chunks(100).map(|lines| Act::Send(lines.concat().into_bytes())));
    for (round, number) in (FIRST..FIRST + LATER).enumerate() {
        let earlier = chance.below(number);
        let lines = report(number, 0) + &report(earlier, round as u64 + 1);
        acts.push_back(Act::Send(lines.into_bytes()));
        if chance.one_in(10) {
            acts.push_back(Act::Wait(chance.below(20 * MILLISECOND)));
        }
    }
    acts.push_back(Act::HalfClose);
    acts
}

/// The smallest table has 4096 slots. It grows with the client number 3072, and again with number 3456.
const FIRST: u64 = 3050;
const LATER: u64 = 500;
const SERVERS_MAX: usize = 4;
/// One seed in so many with few servers has a crowd.
const CROWDS_ONE_IN: u64 = 8;
/// The window of each connection, in bytes.
const WINDOW: usize = 64 * 1024;
/// The least high-water mark, in bytes: a batch for each few lines would take many turns.
const HIGH_WATER_MIN: u32 = 16 * 1024;
