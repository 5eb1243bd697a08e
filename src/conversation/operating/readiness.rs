//! Whether a server is fit to serve (docs/protocol.md, section 6): a load balancer or a supervisor asks.

use std::fmt::Write;
use std::time::Duration;

use crate::clock::Moment;
use crate::conversation::Server;

/// Where a server stands between its start and its end.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// When the server was started.
    pub started: Moment,
    /// The part of the store on disk that was read, in percent; `None`: all of it, or there is none.
    pub store_read: Option<u8>,
}

impl Default for Course {
    fn default() -> Course {
        Course { started: Moment::START, store_read: None }
    }
}

/// The answer to `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whether the server is fit to serve: status 200, else 503.
    pub is_ready: bool,
    /// `ready`, or one reason on each line. It ends with LF.
    pub body: String,
}

/// Whether a server is fit to serve, and the reasons why not.
pub fn readiness(server: &Server, now: Moment) -> Readiness {
    let mut reasons = String::new();
    let mut reason = |text: std::fmt::Arguments<'_>| {
        // Writing into a string does not fail.
        let _ = writeln!(reasons, "{text}");
    };
    if server.is_ending {
        reason(format_args!("the server is shutting down"));
    }
    if let Some(percent) = server.course.store_read {
        reason(format_args!("the store is being read: {percent} %"));
    }
    if now < server.course.started + NEIGHBOURS_MAX {
        for id in server.neighbours.ids() {
            let known = server.neighbours.get(id);
            let name = &known.name;
            if !known.present {
            } else if !known.was_reached {
                reason(format_args!("neighbour {name}: not reached yet"));
            } else if !known.was_caught_up {
                reason(format_args!("neighbour {name}: its changes are being received"));
            }
        }
    }
    if server.log.is_failing() {
        reason(format_args!("log: it cannot be written, and lines are lost; standard error has the reason"));
    }
    if server.durability.fails() {
        reason(format_args!(
            "store: it cannot be written to the disk; the log and standard error have the reason"
        ));
    }
    match reasons.is_empty() {
        true => Readiness { is_ready: true, body: "ready\n".to_owned() },
        false => Readiness { is_ready: false, body: reasons },
    }
}

/// How long after its start a server waits for neighbours before it counts as ready without them: they may be down
/// (docs/protocol.md, section 6).
const NEIGHBOURS_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::conversation::{Identity, NeighbourId};
    use crate::log::{Level, Log};
    use crate::text::peer_line::Epoch;

    fn at(ms: u64) -> Moment {
        Moment::START + Duration::from_millis(ms)
    }

    fn server() -> (Server, NeighbourId) {
        let identity = Identity { herd: "bruins".into(), name: "Riley".into(), epoch: Epoch(0xee) };
        let log = Log::new("Riley", Level::Traffic);
        let mut server = Server::new(identity, Limits::default(), Duration::from_secs(3), log);
        server.course.started = at(1000);
        let id = server.neighbours.add("Jaquez");
        (server, id)
    }

    fn reasons(server: &Server, ms: u64) -> String {
        let Readiness { is_ready, body } = readiness(server, at(ms));
        assert_eq!(is_ready, body == "ready\n");
        body
    }

    #[test]
    fn a_server_is_ready_when_each_neighbour_was_reached_and_caught_up_with() {
        let (mut server, id) = server();
        assert_eq!(reasons(&server, 1000), "neighbour Jaquez: not reached yet\n");
        server.neighbours.get_mut(id).acknowledged(0);
        assert_eq!(reasons(&server, 1000), "neighbour Jaquez: its changes are being received\n");
        server.neighbours.get_mut(id).was_caught_up = true;
        assert_eq!(reasons(&server, 1000), "ready\n");
        // A neighbour that the herd file no longer names.
        let juzang = server.neighbours.add("Juzang");
        assert_eq!(reasons(&server, 1000), "neighbour Juzang: not reached yet\n");
        server.neighbours.get_mut(juzang).present = false;
        assert_eq!(reasons(&server, 1000), "ready\n");
    }

    #[test]
    fn a_server_is_ready_without_its_neighbours_five_seconds_after_its_start() {
        let (server, _) = server();
        assert_eq!(reasons(&server, 5999), "neighbour Jaquez: not reached yet\n");
        assert_eq!(reasons(&server, 6000), "ready\n");
    }

    #[test]
    fn each_reason_has_a_line() {
        let (mut server, _) = server();
        server.course.store_read = Some(40);
        server.is_ending = true;
        server.durability.failed();
        let expected = "the server is shutting down\nthe store is being read: 40 %\nneighbour Jaquez: not reached yet\n\
                        store: it cannot be written to the disk; the log and standard error have the reason\n";
        assert_eq!(reasons(&server, 1000), expected);
        server.durability.works_again();
        (server.course.store_read, server.is_ending) = (None, false);
        assert_eq!(reasons(&server, 60_000), "ready\n");
    }
}
