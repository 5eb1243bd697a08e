//! The schedule of faults: servers that are killed and stopped, and pauses of the load in which servers must
//! agree.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::herd::Herd;
use crate::load::Load;
use crate::samples::Samples;

pub struct Storm {
    begin: Instant,
    /// Actions and their times, in seconds since `begin`.
    plan: VecDeque<(u64, Action)>,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Kill(usize),
    Start(usize),
    Stop(usize),
    Resume(usize),
    Calm,
}

impl Storm {
    /// The plan for a number of seconds. Only one server at a time is down, so that the others stay
    /// connected.
    pub fn new(seconds: u64) -> Storm {
        let mut plan = VecDeque::new();
        for (number, start) in (0..).zip((0..seconds).step_by(ROUND_S)) {
            for (at, victim) in [(2, 0), (7, 1), (12, 2)] {
                plan.push_back((start + at, Action::Kill(VICTIMS[victim])));
                plan.push_back((start + at + 1, Action::Start(VICTIMS[victim])));
            }
            let stopped = number % SERVERS;
            plan.push_back((start + 17, Action::Stop(stopped)));
            // Longer than `peers.silence_ms`, so that its links are dropped.
            plan.push_back((start + 21, Action::Resume(stopped)));
            plan.push_back((start + 26, Action::Calm));
        }
        Storm { begin: Instant::now(), plan }
    }

    /// Carries out the next action, if it is due.
    pub fn act(&mut self, herd: &mut Herd, load: &Load, samples: &mut Samples) {
        let elapsed = self.begin.elapsed();
        if self.plan.front().is_some_and(|(at, _)| Duration::from_secs(*at) <= elapsed)
            && let Some((_, action)) = self.plan.pop_front()
        {
            match action {
                Action::Kill(server) => samples.note_kill(server),
                Action::Stop(server) => samples.note_stop(server),
                Action::Start(_) | Action::Resume(_) | Action::Calm => {}
            }
            match action {
                Action::Calm => load.in_calm(|answered| samples.agree(herd, answered)),
                action => carry_out(action, herd),
            }
        }
    }

    /// Starts or resumes the server that is down.
    pub fn end(mut self, herd: &mut Herd) {
        if let Some((_, action @ (Action::Start(_) | Action::Resume(_)))) = self.plan.pop_front() {
            carry_out(action, herd);
        }
    }
}

fn carry_out(action: Action, herd: &mut Herd) {
    match action {
        Action::Kill(server) => herd.kill(server),
        Action::Start(server) => herd.start_server(server),
        Action::Stop(server) => herd.stop(server),
        Action::Resume(server) => herd.resume(server),
        Action::Calm => {}
    }
}

const ROUND_S: usize = 30;
const SERVERS: usize = 5;
/// Jaquez, Juzang and Campbell. Riley and Bernard are never killed, so that leaks are visible in them.
pub const VICTIMS: [usize; 3] = [1, 2, 3];
