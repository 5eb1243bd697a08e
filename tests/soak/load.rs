//! The load: clients that send IAMATs, clients that send WHATSATs, and clients that violate the protocol.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::client::{Client, now, time_text};

/// The newest answered statement of each client, by client ID.
pub type Answered = HashMap<String, AnsweredStatement>;

#[derive(Clone)]
pub struct AnsweredStatement {
    /// The client time, in nanoseconds since 1970.
    pub time: u64,
    /// The index of the server that has answered.
    pub server: usize,
    /// The time of the answer.
    pub at: Instant,
}

pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    ports: Vec<u16>,
    /// Locked for reading by a client while its commands are pending.
    gate: RwLock<()>,
    ended: AtomicBool,
    answered: Mutex<Answered>,
}

impl Load {
    pub fn start(ports: Vec<u16>) -> Load {
        let shared = Arc::new(Shared {
            ports,
            gate: RwLock::new(()),
            ended: AtomicBool::new(false),
            answered: Mutex::new(HashMap::new()),
        });
        let mut threads = Vec::new();
        let kinds: [fn(&Shared, u64); 4] = [report, report, ask, misbehave];
        for (number, kind) in (0..).zip(kinds) {
            let shared = Arc::clone(&shared);
            threads.push(thread::spawn(move || kind(&shared, number)));
        }
        Load { shared, threads }
    }

    /// Pauses all clients and calls `check` with the statements answered so far.
    pub fn in_calm(&self, check: impl FnOnce(&Answered)) {
        let _calm = self.shared.gate.write().unwrap();
        check(&self.shared.answered.lock().unwrap().clone());
    }

    /// Ends all clients.
    pub fn stop(self) -> Answered {
        self.shared.ended.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.shared.answered.lock().unwrap().clone()
    }
}

impl Shared {
    /// Connects to one random server after the other until the load ends. Errors are ignored, because the
    /// server may have been killed.
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

/// Sends IAMATs of many clients, in batches, and checks the replies.
fn report(shared: &Shared, reporter: u64) {
    shared.visit(&mut Chance(reporter), |chance, server, mut client| {
        for _ in 0..BATCHES {
            {
                let _gate = shared.gate.read().unwrap();
                let mut lines = String::new();
                let mut expected = Vec::new();
                for _ in 0..BATCH {
                    let id = format!("client-{reporter}-{}", chance.below(CLIENTS));
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
                    shared.answered.lock().unwrap().insert(id, AnsweredStatement { time, server, at });
                }
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    });
}

/// Sends WHATSATs about known and unknown clients.
fn ask(shared: &Shared, asker: u64) {
    shared.visit(&mut Chance(asker), |chance, _, mut client| {
        for _ in 0..BATCHES {
            {
                let _gate = shared.gate.read().unwrap();
                for _ in 0..4 {
                    let id = format!("client-{}-{}", chance.below(2), chance.below(CLIENTS + 5));
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

/// Sends incomplete lines, random bytes, oversized lines, HTTP and a forged HELLO, and does not read replies.
fn misbehave(shared: &Shared, seed: u64) {
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
                // Closing with unread replies sends a reset.
                2 => client.send("WHATSAT client-0-1 10 20\n".repeat(500).as_bytes())?,
                3 => client.send("GET / HTTP/1.1\r\nIAMAT browser +1-1 1\r\n\r\n".as_bytes())?,
                4 => client.send(&[b'x'; 100_000])?,
                5 => client.send(b"HELLO herd/1 soak Riley 0123456789abcdef nonsense")?,
                _ => {
                    for byte in b"WHATSAT client-1-1 10 20\n" {
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

/// The number of client IDs of a reporter, so few that memory is constant after a minute.
const CLIENTS: usize = 1000;
/// Commands sent before the first reply is read.
const BATCH: usize = 20;
/// Batches on one connection.
const BATCHES: usize = 50;
/// The pause between two batches, so that the machine is not overloaded.
const PAUSE: Duration = Duration::from_millis(20);
const HALF_LINES_MAX: usize = 200;
