//! Clients over HTTP, in the seeds that have them: programs that put, get and delete, readers of lists and of streams of
//! events, and a herd of phones.

use crate::chance::Chance;
use crate::phones::Phone;
use crate::plan::Plan;
use crate::simulation::Simulation;
use crate::web_client::WebClient;
use crate::web_scripts::script;
use crate::world::{Happening, Time, World};

/// The clients over HTTP.
pub struct Web {
    chance: Chance,
    pub clients: Vec<WebClient>,
    /// The clients whose streams go on when the storm is over.
    streaming: Vec<usize>,
}

impl Web {
    /// Decides whether a seed has clients over HTTP.
    pub fn new(mut chance: Chance, plan: &mut Plan) -> Option<Web> {
        if plan.is_large() || !chance.one_in(WEB_ONE_IN) {
            return None;
        }
        // The log of a statement over HTTP has another form.
        (plan.logs, plan.has_web) = (false, true);
        Some(Web { chance, clients: Vec::new(), streaming: Vec::new() })
    }

    fn is_streaming(&self, client: &WebClient) -> bool {
        self.streaming.contains(&client.number)
    }

    /// A client over HTTP that is not gone and need not go on; `None`: there is none.
    pub fn waiting(&self, streams_go_on: bool) -> Option<&WebClient> {
        self.clients.iter().find(|client| !(client.is_gone || streams_go_on && self.is_streaming(client)))
    }
}

impl Simulation {
    /// A client connects to a random server over HTTP, and another one follows.
    pub fn web_connects(&mut self) {
        let Some(web) = &mut self.web else { return };
        if !self.is_storm {
            return;
        }
        let server = web.chance.index(self.loops.len());
        let is_phone = web.chance.one_in(PHONES_ONE_IN);
        let phone_chance = Chance::new(web.chance.number());
        let number = web.clients.len();
        let pause = web.chance.below(4 * self.plan.client_every);
        let mut script = script(&self.plan.vocabulary, &self.oracle, server, &mut web.chance);
        let mut phone = is_phone.then(|| Phone::new(&self.plan.vocabulary, phone_chance));
        if let Some(phone) = &mut phone {
            script = phone.script(&self.plan.vocabulary);
        }
        let limits = self.limits(server);
        let mut client = WebClient::new(&mut self.world.borrow_mut(), number, limits, script);
        client.phone = phone;
        if let Some(web) = &mut self.web {
            web.clients.push(client);
        }
        self.world.borrow_mut().schedule_in(pause, Happening::WebConnects);
    }

    /// A client over HTTP continues.
    pub fn web_acts(&mut self, world: &mut World, client: usize) {
        if let Some(client) = self.web.as_mut().and_then(|web| web.clients.get_mut(client)) {
            client.step(world, &mut self.oracle);
        }
    }

    /// The storm is over: all clients end, except those whose streams go on.
    pub fn finish_web(&mut self) {
        let shared = self.world.clone();
        let Some(web) = &mut self.web else { return };
        for client in &mut web.clients {
            let mut world = shared.borrow_mut();
            if self.streams_go_on && client.goes_on_streaming(&mut world, &mut self.oracle) {
                web.streaming.push(client.number);
            } else {
                client.finish(&mut world, &mut self.oracle);
            }
        }
    }

    /// Each stream must have what its server knows. Returns whether there are streams.
    pub fn check_web_streams(&mut self) -> Result<bool, String> {
        let Some(web) = &mut self.web else { return Ok(false) };
        let streaming = std::mem::take(&mut web.streaming);
        for &number in &streaming {
            let world = self.world.borrow();
            if let Some(difference) = web.clients[number].stream_difference(&world, &self.oracle) {
                return Err(format!("web client {number}: {difference}"));
            }
        }
        Ok(!streaming.is_empty())
    }

    /// How long phones may have to send their queues again after the storm, because disks fail.
    pub fn phones_wait_max(&self) -> Time {
        let promises = self.oracle.promises.iter().flatten();
        let recovery = promises.map(|promises| promises.recovery()).max().unwrap_or_default();
        if self.web.is_some() { recovery } else { 0 }
    }
}

/// Derives the random numbers of clients over HTTP from a seed.
pub const WEB: u64 = 0x77_6562;
/// One seed in so many has clients over HTTP.
const WEB_ONE_IN: u64 = 3;
/// One of them in so many is a phone.
const PHONES_ONE_IN: u64 = 5;
