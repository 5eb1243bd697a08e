//! Clients that neither end their lines nor half-close, and servers whose settings serve them
//! (docs/protocol.md, section 1). They connect after the storm, so that their times are known.

use std::collections::VecDeque;
use std::time::Duration;

use herd::config::ClientsSection;

use crate::client::Client;
use crate::connection::Side;
use crate::loiterers::Loiterer;
use crate::places::Behaviour;
use crate::scripts::{Act, Reading};
use crate::simulation::Simulation;
use crate::world::{MILLISECOND, SECOND, Time};

impl Simulation {
    /// Silent clients of all kinds connect, one of each, and must be served and closed in time.
    pub fn check_silent_clients(&mut self) -> Result<(), String> {
        let silence = self.silence_chance.between(400, 1000) * MILLISECOND;
        let closes = self.silence_chance.one_in(2);
        let close_after = if closes { 3 * silence } else { 0 };
        let [end_line_after, close_after_setting] = [silence, close_after].map(Duration::from_nanos);
        self.serve_silent_clients(ClientsSection { end_line_after, close_after: close_after_setting });
        // A reply that is pending for long keeps the connection open.
        self.places.behaviour = Behaviour::Slow;
        self.was_places_asked = true;
        self.oracle.places_may_fail(Time::MAX / 2);
        let now = self.world.borrow().now;
        self.run_until(now + RELOADED_WITHIN)?;
        let clients = self.silent_clients_connect(silence, closes);
        self.check_time_limits(clients)?;
        self.places.behaviour = Behaviour::Fast;
        let now = self.world.borrow().now;
        self.oracle.places_work_again(now);
        self.serve_silent_clients(ClientsSection::default());
        self.settle().map(drop)
    }

    fn silent_clients_connect(&mut self, silence: Time, closes: bool) -> Vec<Loiterer> {
        let id = self.plan.vocabulary.ids[0].clone();
        let id = String::from_utf8_lossy(&id);
        let (iamat, whatsat) = (format!("IAMAT {id} +34.07-118.44 162146"), format!("WHATSAT {id} 10 5"));
        let whole = format!("{iamat}1");
        let send = |text: &str| Act::Send(text.as_bytes().to_vec());
        // A server reads at least two parts apart, but none of them a silence after the one before.
        let pause = Act::Wait(silence * 6 / 10);
        let ends = [Act::EndBySilence(silence), Act::Wait(silence + ANSWERED_WITHIN)];
        let parts = [
            send(&iamat),
            pause.clone(),
            send("48"),
            pause.clone(),
            send("27"),
            ends[0].clone(),
            ends[1].clone(),
        ];
        let question = [send(&whatsat), ends[0].clone(), Act::Wait(silence)];
        let typing = Act::Wait(silence * 18 / 10);
        let typed = vec![send("F"), typing.clone(), send("O"), typing, send("O\n")];
        let all: [(&'static str, Vec<Act>); 6] = [
            ("a client that sends nothing", Vec::new()),
            ("a client that does not end its lines", [&parts[..], &question[..]].concat()),
            ("a client whose line is no command", vec![send("FOO"), Act::Wait(2 * silence), send("\n")]),
            ("a client that types", typed),
            ("a client that waits for Places", vec![send(&format!("{whole}\n{whatsat}\n"))]),
            (
                "a client that reads late",
                vec![
                    Act::Read(Reading::Nothing),
                    send(&format!("{}\n", "x".repeat(WIDE))),
                    Act::Wait(2 * silence),
                    Act::Read(Reading::Everything),
                ],
            ),
        ];
        let now = self.world.borrow().now;
        let mut clients = Vec::new();
        for (name, acts) in all {
            let script_reads_late = matches!(acts[..], [Act::Read(_), ..]);
            let mut script = VecDeque::from(acts);
            if !closes {
                script.push_back(Act::HalfClose);
            }
            let server = self.silence_chance.index(self.loops.len());
            let limits = self.limits(server);
            let mut world = self.world.borrow_mut();
            let client = Client::new(&mut world, self.clients.len(), limits, script);
            let connection = &mut world.connections[client.connection];
            connection.pipe_from(Side::Dialler).window = WINDOW;
            if script_reads_late {
                connection.pipe_from(Side::Acceptor).window = NARROW;
            }
            let script_max = 5 * silence + ANSWERED_WITHIN + self.plan.places_timeout;
            let until = now + script_max + limits.close_after * 9 / 8 + CLOSED_WITHIN;
            clients.push(Loiterer { client: self.clients.len(), name, until });
            self.clients.push(client);
        }
        clients
    }
}

/// How long a server takes to read its settings again.
const RELOADED_WITHIN: Time = 50 * MILLISECOND;
/// The longest time from the end of a silence to the reply.
const ANSWERED_WITHIN: Time = 500 * MILLISECOND;
/// For connecting, latency, and the wait for the end of the client.
const CLOSED_WITHIN: Time = 3 * SECOND;
/// Bytes of a reply that does not fit the window of a client that reads late, and this window.
const WIDE: usize = 60;
const NARROW: usize = 16;
/// A window for all that a client sends at once.
const WINDOW: usize = 4096;
