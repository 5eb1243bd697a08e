//! The connections to Places that a server keeps (docs/protocol.md, section 1): none that it closes takes a
//! further question, and a question whose own connection is still being made takes one that became idle.

use std::collections::VecDeque;

use crate::client::Client;
use crate::connection::Side;
use crate::places::Behaviour;
use crate::scripts::Act;
use crate::simulation::Simulation;
use crate::world::{MILLISECOND, SECOND, Time};

impl Simulation {
    /// One client asks a question, a second one just after the connection of the first was closed, and two at
    /// once when no further connection can be made. Each is answered by Places.
    pub fn check_kept_connections(&mut self) -> Result<(), String> {
        if !self.await_calm_places()? {
            return Ok(());
        }
        let begin = self.world.borrow().now;
        let id = self.first_id();
        let question = format!("WHATSAT {id} 10 5\n");
        let first = format!("IAMAT {id} +34.07-118.44 1621461482\n{question}");
        let script = VecDeque::from([
            send(&first),
            Act::Wait(CLOSED_AFTER),
            send(&question),
            Act::Wait(2 * SECOND),
            send(&format!("{question}WHATSAT {id} 1.25 5\n")),
            Act::HalfClose,
        ]);
        let server = self.kept_chance.index(self.loops.len());
        let limits = self.limits(server);
        let number = self.clients.len();
        let client = Client::new(&mut self.world.borrow_mut(), number, limits, script);
        self.world.borrow_mut().connections[client.connection].pipe_from(Side::Dialler).window = WINDOW_MIN;
        self.clients.push(client);
        self.run_until(begin + CLOSED_AFTER + SECOND)?;
        self.world.borrow_mut().places_hangs = true;
        self.run_until(begin + CLOSED_AFTER + 2 * SECOND + self.plan.places_timeout + SECOND)?;
        self.world.borrow_mut().places_hangs = false;
        self.places.behaviour = Behaviour::Fast;
        self.settle().map(drop)
    }

    /// Lets Places answer after a while, and waits until earlier questions have no effect. Returns false where an answer
    /// may take as long as the limits of Places, or where there may be no room for a client.
    pub fn await_calm_places(&mut self) -> Result<bool, String> {
        if self.plan.conditions.window_min < WINDOW_MIN || self.plan.connections_max < CONNECTIONS_MIN {
            return Ok(false);
        }
        self.places.behaviour = Behaviour::Patient;
        self.was_places_asked = true;
        let now = self.world.borrow().now;
        self.run_until(now + FORGOTTEN_WITHIN)?;
        Ok(true)
    }

    /// A client that scripts use.
    pub fn first_id(&self) -> String {
        String::from_utf8_lossy(&self.plan.vocabulary.ids[0]).into_owned()
    }
}

/// Sends a text.
pub fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

/// With this window an answer takes a few round trips.
const WINDOW_MIN: usize = 4096;
/// A server with fewer places may be full of clients that have just left.
const CONNECTIONS_MIN: usize = 20;
/// Connections of earlier questions, and the failures that faults have caused, are gone after this time, and the
/// breaker lets a question through, whatever faults there were.
const FORGOTTEN_WITHIN: Time = 36 * SECOND;
/// A server closes an idle connection after 30 s, and waits for the other end for up to 2 s. The first answer
/// arrives less than 900 ms after its question.
const CLOSED_AFTER: Time = 30 * SECOND + 900 * MILLISECOND;
