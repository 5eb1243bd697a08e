//! Neighbours that are killed and stopped, and the calm in between.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::herd::Herd;
use crate::load::Load;
use crate::samples::Samples;

pub struct Storm {
    begin: Instant,
    plan: VecDeque<(u64, Act)>,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Kill(usize),
    Start(usize),
    Stop(usize),
    Resume(usize),
    Calm,
}

impl Storm {
    /// The plan for so many seconds. One server at a time is away, so that the others are connected.
    pub fn new(seconds: u64) -> Storm {
        let mut plan = VecDeque::new();
        for (number, start) in (0..).zip((0..seconds).step_by(ROUND_S)) {
            for (at, victim) in [(2, 0), (7, 1), (12, 2)] {
                plan.push_back((start + at, Act::Kill(VICTIMS[victim])));
                plan.push_back((start + at + 1, Act::Start(VICTIMS[victim])));
            }
            let stopped = number % SERVERS;
            plan.push_back((start + 17, Act::Stop(stopped)));
            // Longer than `peers.silence_ms`, so that its links are taken for dead.
            plan.push_back((start + 21, Act::Resume(stopped)));
            plan.push_back((start + 26, Act::Calm));
        }
        Storm { begin: Instant::now(), plan }
    }

    /// Does what is due next, one thing at a time.
    pub fn act(&mut self, herd: &mut Herd, load: &Load, samples: &mut Samples) {
        let elapsed = self.begin.elapsed();
        if self.plan.front().is_some_and(|(at, _)| Duration::from_secs(*at) <= elapsed)
            && let Some((_, act)) = self.plan.pop_front()
        {
            match act {
                Act::Kill(server) => samples.note_kill(server),
                Act::Stop(server) => samples.note_stop(server),
                Act::Start(_) | Act::Resume(_) | Act::Calm => {}
            }
            match act {
                Act::Calm => load.in_calm(|acknowledged| samples.agree(herd, acknowledged)),
                act => carry_out(act, herd),
            }
        }
    }

    /// Brings back whoever is away.
    pub fn end(mut self, herd: &mut Herd) {
        if let Some((_, act @ (Act::Start(_) | Act::Resume(_)))) = self.plan.pop_front() {
            carry_out(act, herd);
        }
    }
}

fn carry_out(act: Act, herd: &mut Herd) {
    match act {
        Act::Kill(server) => herd.kill(server),
        Act::Start(server) => herd.start_server(server),
        Act::Stop(server) => herd.stop(server),
        Act::Resume(server) => herd.resume(server),
        Act::Calm => {}
    }
}

const ROUND_S: usize = 30;
const SERVERS: usize = 5;
/// Jaquez, Juzang and Campbell. Riley and Bernard live from the beginning to the end: what leaks shows in them.
pub const VICTIMS: [usize; 3] = [1, 2, 3];
