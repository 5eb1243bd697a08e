//! Clients: those that walk, those that ask, and those that nobody wants.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::client::{Client, now, time_text};

/// The newest statement of each client that a server has answered.
pub type Acknowledged = HashMap<String, Acknowledgement>;

#[derive(Clone)]
pub struct Acknowledgement {
    pub time: u64,
    pub server: usize,
    pub at: Instant,
}

pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    ports: Vec<u16>,
    /// Held for reading while something is on its way.
    gate: RwLock<()>,
    ended: AtomicBool,
    acknowledged: Mutex<Acknowledged>,
}

impl Load {
    pub fn start(ports: Vec<u16>) -> Load {
        let shared = Arc::new(Shared {
            ports,
            gate: RwLock::new(()),
            ended: AtomicBool::new(false),
            acknowledged: Mutex::new(HashMap::new()),
        });
        let mut threads = Vec::new();
        let kinds: [fn(&Shared, u64); 4] = [walk, walk, ask, rabble];
        for (number, kind) in (0..).zip(kinds) {
            let shared = Arc::clone(&shared);
            threads.push(thread::spawn(move || kind(&shared, number)));
        }
        Load { shared, threads }
    }

    /// Runs something while no client says anything, with what was acknowledged until then.
    pub fn in_calm(&self, act: impl FnOnce(&Acknowledged)) {
        let _calm = self.shared.gate.write().unwrap();
        act(&self.shared.acknowledged.lock().unwrap().clone());
    }

    /// Ends every client.
    pub fn stop(self) -> Acknowledged {
        self.shared.ended.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.shared.acknowledged.lock().unwrap().clone()
    }
}

impl Shared {
    /// A visit to one server after the other until the load ends. A visit that fails is no failure:
    /// its server may have been killed under it.
    fn visit(
        &self,
        chance: &mut Chance,
        mut visit: impl FnMut(&mut Chance, usize, Client) -> io::Result<()>,
    ) {
        while !self.ended.load(Ordering::SeqCst) {
            let server = chance.below(self.ports.len());
            let result = Client::connect(self.ports[server]).and_then(|client| visit(chance, server, client));
            if result.is_err() {
                thread::sleep(PAUSE);
            }
        }
    }
}

/// Tells where its clients are, many lines at a time.
fn walk(shared: &Shared, walker: u64) {
    shared.visit(&mut Chance(walker), |chance, server, mut client| {
        for _ in 0..BATCHES {
            {
                let _gate = shared.gate.read().unwrap();
                let mut lines = String::new();
                let mut expected = Vec::new();
                for _ in 0..BATCH {
                    let id = format!("walker-{walker}-{}", chance.below(CLIENTS));
                    let (time, latitude) = (now(), chance.below(90));
                    lines += &format!("IAMAT {id} +{latitude}.5-118.445127 {}\n", time_text(time));
                    expected.push((id, time));
                }
                client.send(lines.as_bytes())?;
                for (id, time) in expected {
                    let reply = client.line()?;
                    let words: Vec<&str> = reply.split(' ').collect();
                    let is_reply = words.len() == 6 && words[0] == "AT" && words[3] == id;
                    assert!(is_reply && words[5] == time_text(time), "{reply} for {id} at {time}");
                    let at = Instant::now();
                    shared.acknowledged.lock().unwrap().insert(id, Acknowledgement { time, server, at });
                }
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    });
}

/// Asks what is near clients, known and unknown ones.
fn ask(shared: &Shared, asker: u64) {
    shared.visit(&mut Chance(asker), |chance, _, mut client| {
        for _ in 0..BATCHES {
            {
                let _gate = shared.gate.read().unwrap();
                for _ in 0..4 {
                    let id = format!("walker-{}-{}", chance.below(2), chance.below(CLIENTS + 5));
                    client.send(format!("WHATSAT {id} 10 1\n").as_bytes())?;
                }
                for _ in 0..4 {
                    client.whatsat_reply()?;
                }
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    });
}

/// Breaks every rule of good manners.
fn rabble(shared: &Shared, seed: u64) {
    let mut half_lines = Vec::new();
    shared.visit(&mut Chance(seed), |chance, _, mut client| {
        {
            let _gate = shared.gate.read().unwrap();
            match chance.below(7) {
                0 => {
                    client.send(b"IAMAT half-a-line +34.0")?;
                    half_lines.push(client);
                }
                1 => {
                    let garbage: Vec<u8> =
                        (0..chance.below(20_000)).map(|_| chance.below(256) as u8).collect();
                    client.send(&garbage)?;
                    client.socket().shutdown(Shutdown::Write)?;
                    while client.line().is_ok() {}
                }
                // Replies that are never read make the system send a reset.
                2 => client.send("WHATSAT walker-0-1 10 20\n".repeat(500).as_bytes())?,
                3 => client.send("GET / HTTP/1.1\r\nIAMAT browser +1-1 1\r\n\r\n".as_bytes())?,
                4 => client.send(&[b'x'; 100_000])?,
                5 => client.send(b"HELLO herd/1 soak Riley 0123456789abcdef nonsense")?,
                _ => {
                    for byte in b"WHATSAT walker-1-1 10 20\n" {
                        client.send(&[*byte])?;
                    }
                    client.whatsat_reply()?;
                }
            }
            if half_lines.len() > HALF_LINES_MAX {
                half_lines.clear();
            }
        }
        thread::sleep(PAUSE);
        Ok(())
    });
}

/// Clients of each walker: few enough that memory is level after a minute.
const CLIENTS: usize = 1000;
/// Lines that are sent before the first reply is read.
const BATCH: usize = 20;
/// Batches before the next server is visited.
const BATCHES: usize = 50;
/// Between two batches: the herd is to be busy, not the machine.
const PAUSE: Duration = Duration::from_millis(20);
const HALF_LINES_MAX: usize = 200;
