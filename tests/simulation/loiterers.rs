//! Clients that stay after all others have left, and neither read, nor close, nor send more. Servers must
//! close their connections in time.

use std::collections::VecDeque;

use crate::client::Client;
use crate::connection::Side;
use crate::scripts::{Act, Reading};
use crate::simulation::Simulation;
use crate::world::{MILLISECOND, SECOND, Time, show};

pub struct Loiterer {
    pub client: usize,
    pub name: &'static str,
    /// When its server must have closed its connection.
    pub until: Time,
}

impl Simulation {
    /// One loiterer of each kind connects. Its first bytes set a late deadline, the rest an earlier one.
    pub fn loiterers_connect(&mut self) -> Vec<Loiterer> {
        let long = [b'x'; UNREAD_LINE];
        let unread = [&long[..], b"\n", &long[..], b"\nGET / HTTP/1.1\n"].concat();
        let many = [&long[..], b"\n"].concat().repeat(UNREAD_LINES);
        let all = [
            ("a HELLO that does not end", &b"HEL"[..], &b"LO herd/1 sim"[..], WIDE, HELLO_MAX + LINGER_MAX),
            ("a line that does not end", b"IAM", b"AT kiwi", WIDE, self.plan.line_timeout + LINGER_MAX),
            ("a connection that is not closed", b"GET / HT", b"TP/1.1\n", WIDE, LINGER_MAX),
            ("replies that are not read", b"x", &unread, UNREAD_LINE, UNREAD_MAX),
            ("a half-closed client that does not read", b"x", &many, UNREAD_LINE, UNREAD_MAX),
        ];
        let now = self.world.borrow().now;
        let mut loiterers = Vec::new();
        for (name, first, rest, window, time_limit) in all {
            let mut script = VecDeque::from([
                Act::Read(Reading::Nothing),
                Act::Send(first.to_vec()),
                Act::Wait(PAUSE),
                Act::Send(rest.to_vec()),
            ]);
            if rest.len() == many.len() {
                script.push_back(Act::HalfClose);
            }
            let server = self.extra.index(self.loops.len());
            let limits = self.limits(server);
            let mut world = self.world.borrow_mut();
            let client = Client::new(&mut world, self.clients.len(), limits, script);
            world.connections[client.connection].pipe_from(Side::Acceptor).window = window;
            world.connections[client.connection].pipe_from(Side::Dialler).window = many.len();
            loiterers.push(Loiterer { client: self.clients.len(), name, until: now + time_limit + MARGIN });
            self.clients.push(client);
        }
        loiterers.sort_by_key(|loiterer| loiterer.until);
        loiterers
    }

    /// Waits until servers must have closed the connections of all loiterers.
    pub fn check_time_limits(&mut self, loiterers: Vec<Loiterer>) -> Result<(), String> {
        for Loiterer { client, name, until } in loiterers {
            self.run_until(until)?;
            let shared = self.world.clone();
            let mut world = shared.borrow_mut();
            let client = &mut self.clients[client];
            if world.connections[client.connection].endpoint(Side::Acceptor).open {
                return Err(format!("at {}: server {} still has {name}", show(until), client.server));
            }
            client.close(&mut world, &mut self.oracle);
        }
        Ok(())
    }
}

/// The time limits of a HELLO, of the peer's end, and of output that is not read (docs/protocol.md, section
/// 6).
const HELLO_MAX: Time = 2 * SECOND;
const LINGER_MAX: Time = 2 * SECOND;
const UNREAD_MAX: Time = 30 * SECOND;
/// The time between the first bytes of a loiterer and the rest: long enough for a server to read them apart.
const PAUSE: Time = 100 * MILLISECOND;
/// For connecting, the pause and the latency. Short enough for lingering to end before the time limit of a
/// line.
const MARGIN: Time = SECOND;
/// A window that is larger than every reply to a loiterer, in bytes.
const WIDE: usize = 4096;
/// Bytes of a line. The replies to two such lines are larger than a window, and smaller than the lowest
/// high-water mark, above which a server would not read.
const UNREAD_LINE: usize = 60;
/// Lines whose replies exceed the highest high-water mark, so that the server does not read the last of them.
const UNREAD_LINES: usize = 150;
