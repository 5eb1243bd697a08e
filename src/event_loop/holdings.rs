//! The resources that a loop holds, so that a test can see that they do not grow.

use super::EventLoop;
use super::system::System;
use crate::protocol::Application;

/// The resources that a loop holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Connections of all kinds.
    pub connections: usize,
    /// Bytes of input that no protocol has consumed.
    pub input_bytes: usize,
    /// Bytes of output that the system has not taken.
    pub output_bytes: usize,
    /// Entries in the heap of timers, superseded ones included.
    pub timers: usize,
}

impl<S: System, A: Application> EventLoop<S, A> {
    /// The resources that this loop holds. Visits each connection.
    pub fn holdings(&self) -> Holdings {
        let mut holdings = Holdings {
            connections: self.connections.len(),
            timers: self.timers.len(),
            ..Holdings::default()
        };
        for connection in self.connections.iter() {
            holdings.input_bytes += connection.input.len();
            holdings.output_bytes += connection.transport.pending();
        }
        holdings
    }
}
