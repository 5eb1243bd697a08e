//! Questions to Places that are not put, or are put twice (docs/protocol.md, section 1): one that is pending already is
//! shared, one that came too early is repeated, and while the breaker is open none is put but one now and then.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::kept_connections::send;
use crate::places::Behaviour;
use crate::scripts::Act;
use crate::simulation::Simulation;
use crate::world::{MILLISECOND, SECOND, Time};

impl Simulation {
    /// Three clients ask the same while Places takes a second. Then Places is busy, and then broken for a while.
    pub fn check_shared_questions(&mut self) -> Result<(), String> {
        if !self.await_calm_places()? {
            return Ok(());
        }
        let server = self.service_chance.index(self.loops.len());
        self.check_sharing(server)?;
        self.check_repetition(server)?;
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

    /// Places is busy, and is asked once more when it says.
    fn check_repetition(&mut self, server: usize) -> Result<(), String> {
        let begin = self.world.borrow().now;
        let question = format!("WHATSAT {} 2 5\n", self.first_id());
        self.places.behaviour = Behaviour::Busy;
        self.connect_client(server, VecDeque::from([send(&question), Act::HalfClose]));
        self.expect_asked(begin + SECOND, 1, "it is busy")?;
        self.places.behaviour = Behaviour::Patient;
        self.expect_asked(begin + 2 * SECOND, 1, "it was busy a second ago")
    }

    /// With two questions in flight, the sixth one may be put before the fifth one has failed, and the seventh is not.
    fn check_breaker(&mut self, server: usize) -> Result<(), String> {
        let begin = self.world.borrow().now;
        let id = self.first_id();
        let ask = |radii: &[&str]| {
            send(&radii.iter().map(|radius| format!("WHATSAT {id} {radius} 5\n")).collect::<String>())
        };
        let script = [
            Act::Wait(SECOND),
            ask(&["10", "1.25", "0.0005", "50.000", "007", "2", "3.5"]),
            Act::Wait(SECOND * 9 / 10),
            ask(&["10", "1.25"]),
            Act::Wait(SECOND * 11 / 10),
            ask(&["10", "1.25", "007"]),
            Act::Wait(SECOND * 3 / 2),
            ask(&["10", "1.25"]),
            Act::Wait(SECOND * 5 / 2),
            ask(&["10"]),
            Act::Wait(SECOND),
            ask(&["1.25", "007"]),
            Act::HalfClose,
        ];
        let given_up = VecDeque::from([Act::Wait(SECOND * 59 / 10), ask(&["1.25"])]);
        self.plan.places_connections = 2;
        self.reload(server);
        self.places.behaviour = Behaviour::Broken;
        self.connect_client(server, VecDeque::from(script));
        let given_up = self.connect_client(server, given_up);
        let at = |ms: Time| begin + ms * MILLISECOND;
        self.expect_asked_within(at(1900), 5..=6, "five questions fail, and open the breaker")?;
        self.expect_no_question(server, "the breaker has opened")?;
        self.expect_asked(at(3900), 1, "one question tries whether Places works")?;
        self.expect_asked(at(5400), 0, "that has failed")?;
        self.places.behaviour = Behaviour::Silent;
        self.expect_asked(at(6600), 1, "one question tries it again")?;
        self.world.borrow_mut().reset(given_up);
        self.places.behaviour = Behaviour::Patient;
        self.expect_asked(at(7900), 1, "that was given up, and the next one tries it")?;
        self.expect_asked(at(9500), 2, "that has succeeded")
    }

    fn expect_no_question(&self, server: usize, when: &str) -> Result<(), String> {
        let Some(event_loop) = &self.loops[server] else { return Ok(()) };
        match event_loop.application().server().desk.pending() {
            0 => Ok(()),
            pending => Err(format!("{pending} questions of server {server} are pending: {when}")),
        }
    }

    /// Lets time pass until then. Places must be asked so many questions meanwhile.
    fn expect_asked(&mut self, until: Time, expected: usize, when: &str) -> Result<(), String> {
        self.expect_asked_within(until, expected..=expected, when)
    }

    fn expect_asked_within(
        &mut self,
        until: Time,
        expected: RangeInclusive<usize>,
        when: &str,
    ) -> Result<(), String> {
        let before = self.places.asked;
        self.run_until(until)?;
        match self.places.asked - before {
            asked if expected.contains(&asked) => Ok(()),
            asked => Err(format!("Places was asked {asked} questions instead of {expected:?}: {when}")),
        }
    }
}
