//! The steps of a graceful shutdown. The application decides when each of them is due.

use std::io;
use std::time::Duration;

use super::connection::{Connection, Life};
use super::system::{Event, System};
use super::{Application, EventLoop, Lost, Notice, Protocol};

/// The stages of a loop, which only ever advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Running,
    /// No new connections; input that was received is being delivered.
    Draining,
    /// All of that input was delivered.
    Drained,
    /// Protocols were asked to shut down; their output is being sent.
    ShuttingDown,
    Over,
}

impl<S, P> Connection<S, P> {
    /// Whether the peer may have sent something that was not delivered.
    fn has_undelivered_input(&self) -> bool {
        let is_held_back = self.transport.reading_is_paused() && !self.input.is_empty();
        self.is_open() && (self.readable || self.wants_service() || is_held_back)
    }
}

impl<S: System, A: Application> EventLoop<S, A> {
    /// Accepts the backlog, so that its clients are answered too, closes the listeners, and reads every
    /// connection once more.
    pub(super) fn drain(&mut self) {
        self.close_listeners();
        self.advance_to(Stage::Draining);
        for id in self.connections.ids() {
            if let Some(connection) = self.connections.get_mut(id) {
                // Input may have arrived whose edge was not reported yet.
                connection.readable = true;
            }
            self.list(id);
        }
    }

    /// Notifies the application once all input was delivered.
    pub(super) fn finish_draining(&mut self) {
        if self.stage == Stage::Draining && !self.connections.iter().any(Connection::has_undelivered_input) {
            self.advance_to(Stage::Drained);
            self.application.notice(self.clocks, Notice::Drained);
            self.carry_out();
        }
    }

    /// Asks all protocols to shut down.
    pub(super) fn shut_down(&mut self) {
        self.advance_to(Stage::ShuttingDown);
        for id in self.connections.ids() {
            let is_open = self.call(id, |protocol, context| protocol.shut_down(context)).is_some();
            if !is_open
                && let Some(connection) = self.connections.get_mut(id)
                && let Life::Connecting(_) | Life::Handshaking { .. } = connection.life
            {
                self.kill(id, Lost::Aborted);
            }
        }
    }

    /// Waits, after the last turn, until the tasks that run have ended, or `patience` is over, or a signal asks for
    /// the end. Returns whether all have ended.
    pub fn finish(&mut self, patience: Duration) -> io::Result<bool> {
        let deadline = self.system.now() + patience;
        let mut events = Vec::new();
        while self.tasks > 0 {
            self.read_clocks();
            if self.clocks.now >= deadline {
                return Ok(false);
            }
            self.system.poll(Some(deadline - self.clocks.now), &mut events)?;
            for event in events.drain(..) {
                match event {
                    Event::Done { ticket, done } => self.done(ticket, done),
                    Event::Stop => return Ok(false),
                    _ => {}
                }
            }
            self.application.turn_ended(self.clocks, true);
            self.carry_out();
        }
        Ok(true)
    }

    pub(super) fn advance_to(&mut self, stage: Stage) {
        self.stage = self.stage.max(stage);
    }

    pub(super) fn is_over(&self) -> bool {
        match self.stage {
            Stage::Over => true,
            Stage::ShuttingDown => self.connections.len() == 0,
            Stage::Running | Stage::Draining | Stage::Drained => false,
        }
    }
}
