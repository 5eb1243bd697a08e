//! Questions to Places that are not put (docs/protocol.md, section 1): one that is pending already is shared, and while
//! the breaker is open none is put but one now and then.

use std::collections::VecDeque;

use crate::kept_connections::send;
use crate::places::Behaviour;
use crate::scripts::Act;
use crate::simulation::Simulation;
use crate::world::{MILLISECOND, SECOND, Time};

impl Simulation {
    /// Three clients ask the same while Places takes a second. Then Places is broken for a while.
    pub fn check_shared_questions(&mut self) -> Result<(), String> {
        if !self.await_calm_places()? {
            return Ok(());
        }
        let server = self.service_chance.index(self.loops.len());
        self.check_sharing(server)?;
        self.oracle.places_may_fail(Time::MAX / 2);
        self.check_breaker(server)?;
        let now = self.world.borrow().now;
        self.oracle.places_work_again(now);
        self.places.behaviour = Behaviour::Fast;
        self.settle().map(drop)
    }

    fn check_sharing(&mut self, server: usize) -> Result<(), String> {
        let begin = self.world.borrow().now;
        let id = self.first_id();
        // Its answer closes a breaker that faults have opened.
        let first = format!("IAMAT {id} +34.07-118.44 1621461482\nWHATSAT {id} 10 5\n");
        let ask = |bound: usize| send(&format!("WHATSAT {id} 1.25 {bound}\n"));
        let scripts = [
            vec![send(&first), Act::Wait(2 * SECOND), ask(5), Act::HalfClose],
            vec![Act::Wait(2 * SECOND), ask(0), Act::HalfClose],
            vec![Act::Wait(2 * SECOND), ask(20), Act::HalfClose],
        ];
        for script in scripts {
            self.connect_client(server, VecDeque::from(script));
        }
        self.run_until(begin + SECOND)?;
        self.places.behaviour = Behaviour::Late;
        self.expect_asked(begin + 4 * SECOND, 1, "three clients ask the same")
    }

    fn check_breaker(&mut self, server: usize) -> Result<(), String> {
        let begin = self.world.borrow().now;
        let id = self.first_id();
        let ask = |radii: &[&str]| {
            send(&radii.iter().map(|radius| format!("WHATSAT {id} {radius} 5\n")).collect::<String>())
        };
        let script = [
            Act::Wait(SECOND),
            ask(&["10", "1.25", "0.0005", "50.000", "007"]),
            Act::Wait(SECOND / 2),
            ask(&["10", "1.25"]),
            Act::Wait(3 * SECOND / 2),
            ask(&["10", "1.25", "007"]),
            Act::Wait(3 * SECOND / 2),
            ask(&["10", "1.25"]),
            Act::Wait(2 * SECOND),
            ask(&["10"]),
            Act::Wait(SECOND / 2),
            ask(&["1.25", "007"]),
            Act::HalfClose,
        ];
        self.places.behaviour = Behaviour::Broken;
        self.connect_client(server, VecDeque::from(script));
        let at = |ms: Time| begin + ms * MILLISECOND;
        self.expect_asked(at(1900), 5, "five questions fail, and open the breaker")?;
        self.expect_asked(at(3900), 1, "one question tries whether Places works")?;
        self.expect_asked(at(5400), 0, "that has failed")?;
        self.places.behaviour = Behaviour::Patient;
        self.expect_asked(at(6900), 1, "one question tries it again")?;
        self.expect_asked(at(8500), 2, "that has succeeded")
    }

    /// Lets time pass until then. Places must be asked so many questions meanwhile.
    fn expect_asked(&mut self, until: Time, expected: usize, when: &str) -> Result<(), String> {
        let before = self.places.asked;
        self.run_until(until)?;
        match self.places.asked - before {
            asked if asked == expected => Ok(()),
            asked => Err(format!("Places was asked {asked} questions instead of {expected}: {when}")),
        }
    }
}
