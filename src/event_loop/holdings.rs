//! What a loop holds, for whoever wants to see that it does not grow.

use super::EventLoop;
use super::system::System;

/// How much of everything a loop holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Connections of all kinds.
    pub connections: usize,
    /// Bytes of input that no conversation has used yet.
    pub input_bytes: usize,
    /// Bytes of output that the network has not taken yet.
    pub output_bytes: usize,
    /// Questions to Places that are asked or wait.
    pub questions: usize,
    /// Readers of the store's list of changes: one for each link that is up.
    pub cursors: usize,
    /// Timers, those included that nobody needs any more.
    pub timers: usize,
}

impl<S: System> EventLoop<S> {
    /// How much of everything it holds. Looks at each connection.
    pub fn holdings(&mut self) -> Holdings {
        let mut holdings = Holdings {
            connections: self.connections.len(),
            questions: self.asking.questions(),
            cursors: self.server.store.cursors(),
            timers: self.timers.len(),
            ..Holdings::default()
        };
        for id in self.connections.ids() {
            if let Some(connection) = self.connections.get_mut(id) {
                holdings.input_bytes += connection.input.len();
                holdings.output_bytes += connection.transport.waiting();
            }
        }
        holdings
    }
}
