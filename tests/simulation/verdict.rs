//! The checks after the storm: clients receive all pending replies, servers agree, and only heartbeats
//! remain.

use crate::client::Client;
use crate::simulation::Simulation;
use crate::world::{MILLISECOND, SECOND, Time, show};

impl Simulation {
    /// Waits until clients have received all replies and all servers agree. Returns how long agreement took.
    pub fn settle(&mut self) -> Result<Time, String> {
        let begin = self.world.borrow().now;
        let least = self.oracle.winners(0..self.loops.len());
        for number in 0..self.clients.len() {
            let shared = self.world.clone();
            let (client, mut world) = (&mut self.clients[number], shared.borrow_mut());
            if self.streams_go_on && client.goes_on_streaming(&mut world, &mut self.oracle) {
                self.streaming.push(number);
            } else {
                client.finish(&mut world, &mut self.oracle);
            }
        }
        self.finish_web();
        let clients_until = begin + 3 * self.plan.places_timeout + CLIENTS_MAX + self.phones_wait_max();
        let mut agreed_at = None;
        loop {
            let now = self.world.borrow().now;
            self.run_until(now + STEP)?;
            let now = self.world.borrow().now;
            self.oracle.note_clocks(&self.world.borrow());
            let disagreement = self.oracle.disagreement(&least);
            let since = begin.max(self.oracle.last_new_at);
            if let Some(disagreement) = &disagreement {
                agreed_at = None;
                if now > since + self.plan.agreement_max() {
                    let (now, since) = (show(now), show(since));
                    return Err(format!("at {now}, no new record since {since}: {disagreement}"));
                }
            } else {
                agreed_at = agreed_at.or(Some(now - since));
            }
            let is_streaming =
                |client: &Client| self.streams_go_on && self.streaming.contains(&client.number);
            let waiting = self.clients.iter().find(|client| !client.is_gone && !is_streaming(client));
            if let Some(client) = waiting.filter(|_| now > clients_until) {
                return Err(format!("at {}: {}", show(now), client.complaint()));
            }
            let web_waiting = self.web.as_ref().and_then(|web| web.waiting(self.streams_go_on));
            if let Some(client) = web_waiting.filter(|_| now > clients_until) {
                return Err(format!("at {}: {}", show(now), client.complaint()));
            }
            let is_web_waiting = web_waiting.is_some();
            if waiting.is_some() && now > begin + STREAM_CUT_OFF_AFTER {
                let shared = self.world.clone();
                let mut world = shared.borrow_mut();
                self.clients.iter_mut().for_each(|client| client.leave_stream(&mut world, &mut self.oracle));
                continue;
            }
            if let (None, false, Some(agreed_at)) = (waiting, is_web_waiting, agreed_at) {
                return Ok(agreed_at);
            }
        }
    }

    /// All clients have left: servers must free everything, and send only heartbeats. Returns the most bytes
    /// per second on one edge.
    pub fn check_quiet(&mut self) -> Result<u64, String> {
        if let Some(forgery) = self.oracle.forgery() {
            return Err(forgery);
        }
        let now = self.world.borrow().now;
        let was_places_asked = self.was_places_asked || self.plan.vocabulary.questions_one_in > 0;
        let freed_at = now + if was_places_asked { PLACES_FREED_WITHIN } else { FREED_WITHIN };
        // A server learns from its MARKs that a half-closed client is gone.
        let freed_at = if self.has_followers() || self.web.is_some() {
            freed_at.max(now + STREAMS_FREED_WITHIN)
        } else {
            freed_at
        };
        if self.extra.one_in(LOITERERS_ONE_IN) {
            let loiterers = self.loiterers_connect();
            self.check_time_limits(loiterers)?;
        }
        self.run_until(freed_at)?;
        let timers = self.check_memory()?;
        self.world.borrow_mut().crossings.reset_bytes();
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
                return Err(format!(
                    "server {server} has {after} timers, {before} when the quiet time began"
                ));
            }
        }
        self.oracle.note_clocks(&self.world.borrow());
        if let Some(disagreement) = self.oracle.disagreement(&Default::default()) {
            return Err(format!("in the quiet time: {disagreement}"));
        }
        Ok(self.world.borrow().crossings.bytes_max() / (QUIET / SECOND))
    }

    /// Checks that each server has only the resources of its links. Returns the number of its timers.
    fn check_memory(&mut self) -> Result<Vec<usize>, String> {
        let mut timers = Vec::new();
        for server in 0..self.loops.len() {
            let links = 2 * self.plan.neighbours_of(server).count();
            let descriptors = self.world.borrow().hosts[server].descriptors;
            let Some(event_loop) = &mut self.loops[server] else {
                return Err(format!("server {server} does not run"));
            };
            let (holdings, state) = (event_loop.holdings(), event_loop.application().server());
            let (cursors, questions) = (state.store.cursors(), state.desk.pending());
            let followers = state.followers.len();
            // A store on disk is a reader of the changes.
            let stores = usize::from(self.world.borrow().hosts[server].disk.is_some());
            let has_links_only = holdings.connections == links
                && descriptors == links
                && cursors == links / 2 + stores
                && questions == 0
                && followers == 0
                && holdings.input_bytes <= links * HEARTBEAT_BYTES
                && holdings.output_bytes <= links * HEARTBEAT_BYTES;
            if !has_links_only || !state.signals.is_empty() {
                return Err(format!(
                    "server {server} has {links} links, {descriptors} descriptors, {cursors} cursors, \
                     {questions} questions, {followers} followers and {holdings:?}"
                ));
            }
            timers.push(holdings.timers);
        }
        Ok(timers)
    }
}

/// One seed in so many has loiterers: waiting for their time limits takes as long as a storm.
const LOITERERS_ONE_IN: u64 = 6;
/// The time between two checks for agreement.
const STEP: Time = 200 * MILLISECOND;
/// The time limit for the pending replies of all clients, besides the time limits of Places.
const CLIENTS_MAX: Time = 30 * SECOND;
/// How long a client waits for the end of a stream, if the line that ends it may have been lost: its connection is over
/// TLS, and its end was not announced.
const STREAM_CUT_OFF_AFTER: Time = 20 * SECOND;
/// The time limit for freeing the connections of clients that have left.
const FREED_WITHIN: Time = 5 * SECOND;
/// The time limit for freeing idle connections to Places.
const PLACES_FREED_WITHIN: Time = 36 * SECOND;
/// The time limit for freeing the connections of clients that have followed: the first MARK after the end of a
/// half-closed client meets a reset, and the next one the end of the connection.
const STREAMS_FREED_WITHIN: Time = 40 * SECOND;
/// The length of the quiet time.
const QUIET: Time = 4 * SECOND;
/// Bytes of a heartbeat, which may have arrived or been sent in part.
const HEARTBEAT_BYTES: usize = 30;
/// The next heartbeat, and the end of a silence.
const TIMERS_PER_LINK: usize = 2;
/// Two timers, a MARK, the ACK to it and the ACK that is a heartbeat: each byte of these may arrive alone, or
/// wait for room. A loop that spins takes ten thousand turns in that time.
const TURNS_PER_HEARTBEAT: u64 = 2 + 3 * HEARTBEAT_BYTES as u64;
