//! The turn of the loop in which an IAMAT is read, stored, answered, flooded and logged.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use herd::config::{Limits, PlacesSection};
use herd::conversation::{Identity, Server};
use herd::event_loop::system::System;
use herd::event_loop::{EventLoop, Turn};
use herd::herd::{Herd, LinkSettings, PlacesSettings, Settings, WebSettings};
use herd::log::{Level, Log};
use herd::protocol::WaterMarks;
use herd::text::peer_line::Epoch;

use crate::memory_system::{CountingSink, MemorySystem, Stream};
use crate::{ROUNDS, allocations, lines};

fn event_loop(sink: &Arc<Mutex<CountingSink>>) -> EventLoop<MemorySystem, Herd> {
    let identity = Identity { herd: "bruins".into(), name: "Riley".into(), epoch: Epoch(1) };
    let log = Log::writing_to("Riley", Level::Traffic, sink.clone());
    let silence = Duration::from_secs(3);
    let server = Server::new(identity, Limits::default(), silence, log);
    let neighbours =
        NEIGHBOURS.iter().map(|name| ((*name).to_owned(), "127.0.0.1:1".parse().unwrap())).collect();
    let settings = Settings {
        limits: Limits::default(),
        connections_max: 10,
        silence,
        neighbours,
        links: LinkSettings::default(),
        web: WebSettings::default(),
        places: PlacesSettings { section: PlacesSection::default(), key: None },
        log_level: Level::Traffic,
    };
    let system = MemorySystem::default();
    let quota = Herd::quota(settings.connections_max, 0);
    let herd = Herd::new(server, settings, None, 7, system.clocks());
    let mut event_loop = EventLoop::new(system, herd, WaterMarks::default());
    event_loop.add_listener((), None, quota);
    event_loop
}

/// A turn with one IAMAT, or with many, from the readable socket to three written ones and the log.
#[test]
fn the_loop_allocates_nothing_for_a_known_client() {
    let sink = Arc::<Mutex<CountingSink>>::default();
    let mut event_loop = event_loop(&sink);
    let client = Stream::default();
    event_loop.system().backlog.push(client.clone());
    turn(&mut event_loop);
    let links = event_loop.system().dialled.clone();
    assert_eq!(links.len(), NEIGHBOURS.len());
    for (link, name) in links.iter().zip(NEIGHBOURS) {
        event_loop.system().send(link, b"");
        turn(&mut event_loop);
        assert!(link.take_written() > 0, "HELLO");
        let welcome = format!("WELCOME {name} 00000000000000aa 0\n");
        event_loop.system().send(link, welcome.as_bytes());
        turn(&mut event_loop);
        assert!(link.take_written() > 0, "MARK");
    }

    let mut all_replied = 0;
    let mut carry = |bytes: &[u8]| {
        event_loop.system().send(&client, bytes);
        turn(&mut event_loop);
        let replied = client.take_written();
        assert!(replied > bytes.len());
        assert!(links.iter().all(|link| link.take_written() > replied), "the statement is flooded");
        all_replied += replied;
    };
    // The first round allocates records; in the second, buffers may still grow.
    for number in 0..WARM_UP {
        let lines = lines(number);
        lines.iter().for_each(|line| carry(line.as_bytes()));
        carry(lines.concat().replace(".959498503", ".959498504").as_bytes());
    }
    for number in WARM_UP..ROUNDS {
        let lines = lines(number);
        for line in &lines {
            assert_eq!(allocations(|| carry(line.as_bytes())), 0, "round {number}: {line}");
        }
        let text = lines.concat().replace(".959498503", ".959498504");
        assert_eq!(allocations(|| carry(text.as_bytes())), 0, "round {number}, all at once");
    }
    for _ in 0..TURNS_UNTIL_LOGGED {
        turn(&mut event_loop);
    }
    assert!(sink.lock().unwrap().0 > 4 * all_replied, "each statement is in the log four times");
}

fn turn(event_loop: &mut EventLoop<MemorySystem, Herd>) {
    assert_eq!(event_loop.turn().unwrap(), Turn::Done);
}

const NEIGHBOURS: [&str; 2] = ["Jaquez", "Juzang"];
const WARM_UP: u32 = 3;
/// Log lines wait for 10 ms, and a turn takes 1 ms.
const TURNS_UNTIL_LOGGED: u32 = 12;
