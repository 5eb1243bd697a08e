//! Which connections are let in, and as what.

use super::{Herd, LISTENER, NEIGHBOURS, SPARE};
use crate::clock::Clocks;
use crate::conversation::counts::{Listener, Rejection};
use crate::conversation::{Client, Conversation};
use crate::protocol::{Admission, Arrival, ListenerTag, Quota};

impl Herd {
    /// The quota of the listener for neighbours only, if there is one. Links do not count, once they are up.
    pub fn quota_of_neighbours() -> Quota {
        Quota { connections_max: GREETING_MAX, spare: 0, per_address: 0 }
    }

    /// The quota of the listener for HTTP, if that for lines has this one. No connection there is a neighbour's.
    pub fn quota_of_web(quota: Quota) -> Quota {
        Quota { spare: 0, ..quota }
    }

    /// The quota of the listener for `connections_max` connections, of them `per_address` of one address.
    pub fn quota(connections_max: usize, per_address: usize) -> Quota {
        Quota { connections_max, spare: SPARE, per_address }
    }

    /// The listener for HTTP, if there is one: the one after those for lines.
    pub(super) fn web_listener(&self) -> ListenerTag {
        ListenerTag(if self.have_own_port { NEIGHBOURS.0 + 1 } else { LISTENER.0 + 1 })
    }

    /// The protocol for a connection that was accepted; `None` closes it at once.
    pub(super) fn accept(&mut self, clocks: Clocks, arrival: &Arrival) -> Option<Conversation> {
        let listener = match arrival.listener {
            listener if listener == self.web_listener() => Listener::Http,
            NEIGHBOURS => Listener::Neighbours,
            _ => Listener::Clients,
        };
        let counts = &mut self.server.counts;
        match arrival.admission {
            Admission::Full => counts.rejected[Rejection::Full as usize] += 1,
            Admission::Admitted | Admission::Spare => counts.accepted[listener as usize] += 1,
        }
        match arrival.admission {
            Admission::Admitted | Admission::Spare if listener == Listener::Http => {
                Some(Conversation::Web(Box::default()))
            }
            Admission::Admitted | Admission::Spare if listener == Listener::Neighbours => {
                Some(Conversation::Client(Client::on_port_of_neighbours()))
            }
            Admission::Admitted if self.have_own_port => {
                Some(Conversation::Client(Client::on_port_of_clients()))
            }
            Admission::Admitted => Some(Conversation::Client(Client::unidentified())),
            Admission::Spare => Some(Conversation::Client(Client::peers_only())),
            Admission::Full => {
                self.server.set_time(clocks.wall);
                let or_address = match self.server.limits.max_connections_per_address {
                    0 => "",
                    _ => ", or its address has limits.max_connections_per_address",
                };
                self.server.log.event(format_args!(
                    "Connection from {} is closed at once: the server is full{or_address}",
                    arrival.address
                ));
                None
            }
        }
    }
}

/// Connections on the port of neighbours that have not sent HELLO: one of each server of the largest herd.
const GREETING_MAX: usize = 128;
