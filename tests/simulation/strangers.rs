//! Strangers: they say HELLO without the certificate of a neighbour, and state what must never be stored; or
//! they begin handshakes that they do not complete.

use std::collections::VecDeque;

use crate::scripts::Act;
use crate::simulation::Simulation;
use crate::tls::{Certificate, HANDSHAKE, Message, seal};
use crate::wire::Wire;
use crate::world::{MILLISECOND, SECOND, Time};

impl Simulation {
    /// A stranger of some kind comes to some server.
    pub fn stranger_comes(&mut self) {
        let now = self.world.borrow().now;
        let names = self.plan.names.clone();
        let Some(tls) = &mut self.tls else { return };
        let server = tls.chance.index(names.len());
        let neighbours: Vec<usize> = self.plan.neighbours_of(server).collect();
        let neighbour = *tls.chance.pick(&neighbours);
        let other = (neighbour + 1 + tls.chance.index(names.len() - 1)) % names.len();
        let (name, other) = (names[neighbour].clone(), names[other].clone());
        let authority = *tls.chance.pick(&tls.trusted(server).authorities);
        let valid = Certificate { name: name.clone(), authority, until: Time::MAX };
        let kind = tls.chance.below(10);
        let mut script = VecDeque::from([Act::Send(hello("simulated", &name)), Act::HalfClose]);
        let certificate = match kind {
            2 => Some(Certificate { authority: FOREIGN, ..valid }),
            3 => Some(Certificate { name: other, ..valid }),
            4 => Some(Certificate { until: now.saturating_sub(1), ..valid }),
            5 => {
                script.push_front(Act::Wait(3 * SECOND / 2));
                Some(Certificate { until: now + SECOND, ..valid })
            }
            _ => None,
        };
        match kind {
            1 => {
                let (herd, name) = *tls.chance.pick(&[("simulated", "nobody"), ("strangers", &name)]);
                script[0] = Act::Send(hello(herd, name));
            }
            6 => script[0] = Act::Send(format!("AT {name} +0.000000000 forged +1-1 9\n").into_bytes()),
            7..10 => script = half_done(tls.chance.below(5), tls.chance.below(3 * SECOND), &name),
            _ => {}
        }
        let is_tls = kind < 7 && (kind > 0 || tls.chance.one_in(2));
        let wire = match kind {
            7..10 => Wire::Raw,
            _ if is_tls => tls.wire(certificate.clone()),
            _ => Wire::Plain,
        };
        self.world.borrow().print(|| format!("a stranger of kind {kind} comes to server {server}"));
        let client = self.connect_over(server, script, wire);
        client.learns_nothing = certificate.is_none();
        // The handshake may fail, or HELLO be refused.
        client.is_excused = certificate.is_some();
    }
}

/// The HELLO of a server, and a statement after it.
pub fn hello(herd: &str, name: &str) -> Vec<u8> {
    format!("HELLO herd/1 {herd} {name} 0123456789abcdef\nAT {name} +0.000000000 forged +1-1 9\nMARK 1\n")
        .into_bytes()
}

/// The first flight of a handshake.
pub fn client_hello() -> Vec<u8> {
    seal(HANDSHAKE, &Message::ClientHello(None).bytes(), 0)
}

/// A handshake that stops half way, or goes on with something else.
fn half_done(how: u64, pause: Time, name: &str) -> VecDeque<Act> {
    let whole = client_hello();
    let (begin, end) = whole.split_at(1 + pause as usize % (whole.len() - 1));
    let send = |bytes: &[u8]| Act::Send(bytes.to_vec());
    match how {
        0 => [send(begin)].into(),
        1 => [send(begin), Act::Wait(pause), send(end)].into(),
        2 => [send(&whole), send(&hello("simulated", name))].into(),
        3 => [send(&whole), Act::Wait(pause % (50 * MILLISECOND)), send(&[0x17, 3, 0, 1, 2]), Act::Close]
            .into(),
        _ => [send(&[0x16, 3, 0xff, 0xff]), send(&[0; 4000])].into(),
    }
}

/// An authority that no server trusts.
const FOREIGN: u8 = 9;
