//! After the storm: everybody gets what he is owed, all servers agree, and everything goes back to
//! nothing but heartbeats.

use crate::simulation::Simulation;
use crate::world::{MILLISECOND, SECOND, Time, show};

impl Simulation {
    /// Waits until everybody has got everything and all servers agree. Gives how long that took.
    pub fn settle(&mut self) -> Result<Time, String> {
        let begin = self.world.borrow().now;
        let least = self.oracle.winners(0..self.loops.len());
        for number in 0..self.clients.len() {
            let shared = self.world.clone();
            self.clients[number].finish(&mut shared.borrow_mut(), &mut self.oracle);
        }
        let clients_until = begin + 3 * self.plan.places_timeout + CLIENTS_MAX;
        let mut agreed_at = None;
        loop {
            let now = self.world.borrow().now;
            self.run_until(now + STEP)?;
            let now = self.world.borrow().now;
            let disagreement = self.oracle.disagreement(&least);
            let since = begin.max(self.oracle.last_news);
            if let Some(disagreement) = &disagreement {
                agreed_at = None;
                if now > since + self.plan.agreement_max() {
                    let (now, since) = (show(now), show(since));
                    return Err(format!("at {now}, nothing new since {since}: {disagreement}"));
                }
            } else {
                agreed_at = agreed_at.or(Some(now - since));
            }
            let waiting = self.clients.iter().find(|client| !client.is_gone);
            if let Some(client) = waiting.filter(|_| now > clients_until) {
                return Err(format!("at {}: {}", show(now), client.complaint()));
            }
            if let (None, Some(agreed_at)) = (waiting, agreed_at) {
                return Ok(agreed_at);
            }
        }
    }

    /// Everybody has left: everything goes back to nothing, and only heartbeats are heard.
    pub fn check_quiet(&mut self) -> Result<u64, String> {
        if let Some(forgery) = self.oracle.forgery() {
            return Err(forgery);
        }
        let now = self.world.borrow().now;
        let was_places_asked = self.plan.topics.questions_one_in > 0;
        let forgotten_at = now + if was_places_asked { FORGETTING_MAX } else { FAREWELL_MAX };
        if self.extra.one_in(LOITERERS_ONE_IN) {
            let loiterers = self.loiterers_come();
            self.check_patience(loiterers)?;
        }
        self.run_until(forgotten_at)?;
        let timers = self.check_memory()?;
        self.world.borrow_mut().crossings.forget_bytes();
        let before = self.turns.clone();
        let now = self.world.borrow().now;
        self.run_until(now + QUIET)?;
        for (server, before) in before.into_iter().enumerate() {
            let turns = self.turns[server] - before;
            let links = 2 * self.plan.neighbours_of(server).count() as u64;
            let heartbeats = QUIET / (self.plan.silence.as_nanos() as Time / 3).min(SECOND) + 1;
            if turns > links * heartbeats * TURNS_PER_HEARTBEAT {
                return Err(format!(
                    "server {server} took {turns} turns in {} with {links} links",
                    show(QUIET)
                ));
            }
        }
        for (server, (before, after)) in timers.into_iter().zip(self.check_memory()?).enumerate() {
            let links = 2 * self.plan.neighbours_of(server).count();
            if after > before + TIMERS_PER_LINK * links {
                return Err(format!("server {server} has {after} timers, in quiet they were {before}"));
            }
        }
        if let Some(disagreement) = self.oracle.disagreement(&Default::default()) {
            return Err(format!("in quiet: {disagreement}"));
        }
        Ok(self.world.borrow().crossings.bytes_max() / (QUIET / SECOND))
    }

    /// What each server holds is what its links need. Gives how many timers each has.
    fn check_memory(&mut self) -> Result<Vec<usize>, String> {
        let mut timers = Vec::new();
        for server in 0..self.loops.len() {
            let links = 2 * self.plan.neighbours_of(server).count();
            let descriptors = self.world.borrow().hosts[server].descriptors;
            let Some(event_loop) = &mut self.loops[server] else {
                return Err(format!("server {server} has not come back"));
            };
            let (holdings, state) = (event_loop.holdings(), event_loop.application().server());
            let (cursors, questions) = (state.store.cursors(), state.desk.pending());
            let is_nothing = holdings.connections == links
                && descriptors == links
                && cursors == links / 2
                && questions == 0
                && holdings.input_bytes <= links * HEARTBEAT_BYTES
                && holdings.output_bytes <= links * HEARTBEAT_BYTES;
            if !is_nothing || !state.signals.is_empty() {
                return Err(format!(
                    "server {server} has {links} links, {descriptors} descriptors, {cursors} cursors, \
                     {questions} questions and {holdings:?}"
                ));
            }
            timers.push(holdings.timers);
        }
        Ok(timers)
    }
}

/// One seed in so many has loiterers: waiting for their end takes as long as a storm.
const LOITERERS_ONE_IN: u64 = 6;
/// How often it is looked whether all agree.
const STEP: Time = 200 * MILLISECOND;
/// How long it takes at most until all clients got what they are owed, beyond the time of Places.
const CLIENTS_MAX: Time = 30 * SECOND;
/// How long it takes until a connection whose client has left is forgotten.
const FAREWELL_MAX: Time = 5 * SECOND;
/// The same for connections to Places, which are kept for the next question.
const FORGETTING_MAX: Time = 36 * SECOND;
const QUIET: Time = 4 * SECOND;
/// A heartbeat that has come in part, or was not sent yet.
const HEARTBEAT_BYTES: usize = 30;
/// The next heartbeat, and the end of a silence.
const TIMERS_PER_LINK: usize = 2;
/// Two timers, a MARK, the ACK to it and the one that is due by itself: each byte of these may come
/// alone, or wait for room. A loop that spins takes ten thousand turns in that time.
const TURNS_PER_HEARTBEAT: u64 = 2 + 3 * HEARTBEAT_BYTES as u64;
