//! Clients that stay when all others have left, and neither read nor close nor go on: after a while
//! servers must let go of them all the same.

use std::collections::VecDeque;

use crate::client::Client;
use crate::connection::Side;
use crate::simulation::Simulation;
use crate::speech::{Act, Reading};
use crate::world::{MILLISECOND, SECOND, Time, show};

/// One of them.
pub struct Loiterer {
    client: usize,
    what: &'static str,
    /// Until then its server must have let go of it.
    until: Time,
}

impl Simulation {
    /// One of each kind comes. Each begins with what sets a late deadline, before what sets an earlier one.
    pub fn loiterers_come(&mut self) -> Vec<Loiterer> {
        let long = [b'x'; UNREAD_LINE];
        let unread = [&long[..], b"\n", &long[..], b"\nGET / HTTP/1.1\n"].concat();
        let kinds = [
            ("a HELLO that does not end", &b"HEL"[..], &b"LO herd/1 sim"[..], WIDE, HELLO_MAX + LINGER_MAX),
            ("a line that does not end", b"IAM", b"AT kiwi", WIDE, self.plan.line_timeout + LINGER_MAX),
            ("a connection that is not closed", b"GET / HT", b"TP/1.1\n", WIDE, LINGER_MAX),
            ("replies that are not read", b"x", &unread, UNREAD_LINE, UNREAD_MAX),
        ];
        let now = self.world.borrow().now;
        let mut loiterers = Vec::new();
        for (what, first, rest, window, patience) in kinds {
            let script = VecDeque::from([
                Act::Read(Reading::Nothing),
                Act::Say(first.to_vec()),
                Act::Wait(PAUSE),
                Act::Say(rest.to_vec()),
            ]);
            let server = self.extra.index(self.loops.len());
            let house = self.house(server);
            let mut world = self.world.borrow_mut();
            let client = Client::new(&mut world, self.clients.len(), house, script);
            world.connections[client.connection].pipe_from(Side::Acceptor).window = window;
            loiterers.push(Loiterer { client: self.clients.len(), what, until: now + patience + MARGIN });
            self.clients.push(client);
        }
        loiterers.sort_by_key(|loiterer| loiterer.until);
        loiterers
    }

    /// Waits until servers have let go of them, then they leave.
    pub fn check_patience(&mut self, loiterers: Vec<Loiterer>) -> Result<(), String> {
        for Loiterer { client, what, until } in loiterers {
            self.run_until(until)?;
            let shared = self.world.clone();
            let mut world = shared.borrow_mut();
            let client = &mut self.clients[client];
            if world.connections[client.connection].endpoint(Side::Acceptor).open {
                return Err(format!("at {}: server {} still has {what}", show(until), client.server));
            }
            client.leave(&mut world, &mut self.oracle);
        }
        Ok(())
    }
}

/// So long a HELLO may take, the other side's end is awaited, and output is kept that is not read:
/// docs/protocol.md, section 6.
const HELLO_MAX: Time = 2 * SECOND;
const LINGER_MAX: Time = 2 * SECOND;
const UNREAD_MAX: Time = 30 * SECOND;
/// Between the first bytes of a loiterer and the others: enough for a server to see them apart.
const PAUSE: Time = 100 * MILLISECOND;
/// For connecting, the pause and the way there; with it, lingering ends before any line's time is up.
const MARGIN: Time = SECOND;
/// A window that every reply fits into which a loiterer gets.
const WIDE: usize = 4096;
/// Two such lines make more replies than fit into a window, and less than the least high mark, above
/// which a server would not read on.
const UNREAD_LINE: usize = 60;
