//! The graceful shutdown of a server (docs/protocol.md, section 5): stops accepting, carries out the input
//! that was received, then closes every conversation. A second request ends the server at once.

use std::time::Duration;

use super::{Command, Herd, Tag};
use crate::clock::Moment;

/// The progress of a shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shutdown {
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Running,
    Draining,
    Closing,
}

/// An action of a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Stop accepting and read all input; call [`Shutdown::drained`] when it is carried out, or at this
    /// moment.
    DrainUntil(Moment),
    /// Close every conversation; exit when all are gone, or at this moment.
    CloseUntil(Moment),
    /// Exit now.
    Exit,
}

impl Shutdown {
    /// Whether a shutdown was requested.
    pub fn has_begun(self) -> bool {
        self.phase != Phase::Running
    }

    /// Requests a shutdown, or the immediate end if one has begun.
    pub fn request(&mut self, now: Moment) -> Step {
        if self.has_begun() {
            return Step::Exit;
        }
        self.phase = Phase::Draining;
        Step::DrainUntil(now + DRAINING_MAX)
    }

    /// All input was carried out, or the time for that is over: a client that sends faster than its commands
    /// are carried out, or does not read, must not hold up the shutdown.
    pub fn drained(&mut self, now: Moment) -> Option<Step> {
        if self.phase != Phase::Draining {
            return None;
        }
        self.phase = Phase::Closing;
        Some(Step::CloseUntil(now + CLOSING_MAX))
    }
}

impl Herd {
    /// Carries out a step of the shutdown.
    pub(super) fn shut_down(&mut self, step: Option<Step>) {
        match step {
            None => {}
            Some(Step::DrainUntil(at)) => {
                self.server.log.event(format_args!("{} ends", self.server.identity.name));
                self.server.is_ending = true;
                self.commands.push_back(Command::Drain);
                self.commands.push_back(Command::Timer { at, tag: Tag::DrainingOver });
                // No WHATSAT may delay the replies after it any longer.
                self.server.desk.close();
                self.server.followers.close();
            }
            Some(Step::CloseUntil(at)) => {
                let dropped = self.server.statements_dropped;
                if dropped > 0 {
                    self.server.log.event(format_args!(
                        "{dropped} statements of neighbours were dropped, because the store was full"
                    ));
                }
                let not_logged = self.server.refusals.take_not_logged();
                if not_logged > 0 {
                    self.server.log.event(format_args!("{not_logged} refusals were not logged"));
                }
                let not_logged = self.server.connections_refused.take_not_logged()
                    + self.server.handshakes_failed.take_not_logged();
                if not_logged > 0 {
                    self.server.log.event(format_args!(
                        "{not_logged} refused connections and failed TLS handshakes were not logged"
                    ));
                }
                self.commands.push_back(Command::Timer { at, tag: Tag::ClosingOver });
                self.commands.push_back(Command::ShutDown);
            }
            Some(Step::Exit) => self.commands.push_back(Command::Exit),
        }
    }
}

/// The time limit for carrying out input; with [`CLOSING_MAX`] it keeps the promise of 300 ms.
const DRAINING_MAX: Duration = Duration::from_millis(120);
/// The time limit for sending the last output.
const CLOSING_MAX: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_in_order_takes_less_than_300_ms() {
        let mut shutdown = Shutdown::default();
        let Step::DrainUntil(drained_at) = shutdown.request(Moment::START) else { panic!("no draining") };
        let Some(Step::CloseUntil(closed_at)) = shutdown.drained(drained_at) else { panic!("no closing") };
        assert!(closed_at - Moment::START < Duration::from_millis(300));
        assert_eq!(shutdown.drained(drained_at), None, "once");
    }

    #[test]
    fn a_second_request_ends_at_once() {
        let mut shutdown = Shutdown::default();
        assert!(!shutdown.has_begun());
        shutdown.request(Moment::START);
        assert!(shutdown.has_begun());
        assert_eq!(shutdown.request(Moment::START), Step::Exit);
    }
}
