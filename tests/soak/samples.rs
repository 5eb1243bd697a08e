//! The measurements of the soak test, and the failures that follow from them.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, now, time_of, time_text};
use crate::herd::Herd;
use crate::load::{Answered, AnsweredStatement};

pub struct Samples {
    begin: Instant,
    pub servers: Vec<ServerSamples>,
    /// For each probe its time, and the milliseconds until all running servers had its statement.
    pub probes: Vec<(f64, f64)>,
    /// For each pause of the load its time, and the milliseconds until all servers agreed.
    pub agreements: Vec<(f64, f64)>,
    /// The time of the last sample.
    pub length: f64,
    failures: Vec<String>,
}

/// The samples of one server. All times are in seconds since the start.
pub struct ServerSamples {
    pub name: String,
    /// Times and MiB.
    pub memory: Vec<(f64, f64)>,
    pub descriptors: Vec<(f64, f64)>,
    pub kills: Vec<f64>,
    pub stops: Vec<f64>,
    /// The number of descriptors before the load.
    pub baseline: usize,
    /// The number of descriptors after all clients have left.
    pub left: usize,
}

impl Samples {
    pub fn new(herd: &Herd) -> Samples {
        let servers = herd.servers.iter().map(|server| ServerSamples {
            name: server.name.clone(),
            memory: Vec::new(),
            descriptors: Vec::new(),
            kills: Vec::new(),
            stops: Vec::new(),
            baseline: server.descriptors().expect("a running server"),
            left: 0,
        });
        Samples {
            begin: Instant::now(),
            servers: servers.collect(),
            probes: Vec::new(),
            agreements: Vec::new(),
            length: 0.0,
            failures: Vec::new(),
        }
    }

    pub fn take(&mut self, herd: &Herd) {
        let at = self.seconds();
        self.length = at;
        for (server, samples) in herd.servers.iter().zip(&mut self.servers) {
            // The memory of a server that has just started is still growing.
            if server.started.elapsed() < WARM_UP {
                continue;
            }
            if let (Some(memory), Some(descriptors)) = (server.memory_kib(), server.descriptors()) {
                samples.memory.push((at, memory as f64 / 1024.0));
                samples.descriptors.push((at, descriptors as f64));
            }
        }
    }

    pub fn note_kill(&mut self, server: usize) {
        let at = self.seconds();
        self.servers[server].kills.push(at);
    }

    pub fn note_stop(&mut self, server: usize) {
        let at = self.seconds();
        self.servers[server].stops.push(at);
    }

    /// Sends an IAMAT to one running server, and waits until all running servers have the statement.
    pub fn probe(&mut self, herd: &Herd) {
        let (at, begin, running) = (self.seconds(), Instant::now(), herd.running());
        let number = self.probes.len();
        let origin = running[number % running.len()];
        let (id, time) = (format!("probe-{}", number % PROBES), now());
        let report = || {
            let mut client = Client::connect(herd.servers[origin].port)?;
            client.send(format!("IAMAT {id} +34.068930-118.445127 {}\n", time_text(time)).as_bytes())?;
            client.line()
        };
        if let Err(error) = report() {
            self.failures.push(format!("{at:.0} s: {} answers no IAMAT: {error}", herd.servers[origin].name));
            return;
        }
        for server in running {
            let port = herd.servers[server].port;
            let has_statement = || {
                let line = Client::connect(port).and_then(|mut client| {
                    client.send(format!("WHATSAT {id} 0 0\n").as_bytes())?;
                    client.whatsat_reply()
                });
                line.ok().flatten().is_some_and(|line| time_of(&line) == Some(time))
            };
            while !has_statement() {
                if begin.elapsed() > AGREEMENT_MAX {
                    let (from, to) = (&herd.servers[origin].name, &herd.servers[server].name);
                    self.failures.push(format!(
                        "{at:.0} s: a statement of {from} did not reach {to} within {AGREEMENT_MAX:?}"
                    ));
                    return;
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
        self.probes.push((at, begin.elapsed().as_secs_f64() * 1000.0));
    }

    /// Waits, while the load is paused, until all running servers have the same lines, none of them older
    /// than the answered statement of its client.
    pub fn agree(&mut self, herd: &Herd, answered: &Answered) {
        let (at, begin) = (self.seconds(), Instant::now());
        let mut ids: Vec<&String> = answered.keys().collect();
        ids.sort();
        let step = (ids.len() / SAMPLE).max(1);
        let ids: Vec<&String> = ids.into_iter().skip(self.agreements.len() % step).step_by(step).collect();
        loop {
            let answers: Vec<_> =
                herd.running().into_iter().map(|server| lines(herd.servers[server].port, &ids)).collect();
            let disagreement = ids.iter().enumerate().find_map(|(index, id)| {
                let first = answers[0].get(index);
                if first.is_none() || answers.iter().any(|answer| answer.get(index) != first) {
                    return Some(format!("the servers do not agree on {id}"));
                }
                let stored = first.and_then(|line| time_of(line.as_ref()?));
                let statement = &answered[*id];
                let is_lost = must_be_stored(herd, statement) && stored < Some(statement.time);
                is_lost.then(|| format!("the answered statement of {id} is lost"))
            });
            match disagreement {
                None => break,
                Some(reason) if begin.elapsed() > AGREEMENT_MAX => {
                    self.failures.push(format!("{at:.0} s: after {AGREEMENT_MAX:?} without load, {reason}"));
                    return;
                }
                Some(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
        self.agreements.push((at, begin.elapsed().as_secs_f64() * 1000.0));
    }

    /// Waits until all servers have as many descriptors as before the load.
    pub fn await_baseline(&mut self, herd: &Herd) {
        let begin = Instant::now();
        for (server, samples) in herd.servers.iter().zip(&mut self.servers) {
            while server.descriptors().is_some_and(|descriptors| descriptors > samples.baseline)
                && begin.elapsed() < BASELINE_MAX
            {
                thread::sleep(Duration::from_millis(100));
            }
            let (left, baseline) = (server.descriptors().unwrap_or(0), samples.baseline);
            samples.left = left;
            if left > baseline {
                let name = &server.name;
                self.failures
                    .push(format!("{name} has {left} descriptors after the load, {baseline} before"));
            }
        }
    }

    /// All failures, including growth of memory.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = self.failures.clone();
        for server in &self.servers {
            if server.has_grown(self.length) {
                let (growth, mean) = server.growth(self.length);
                failures.push(format!(
                    "{} grows: {growth:.2} MiB in the second half, with {mean:.1} MiB on average",
                    server.name
                ));
            }
        }
        if self.agreements.is_empty() {
            failures.push("agreement was never checked".to_owned());
        }
        failures
    }

    pub fn summary(&self) -> String {
        let memory = self.servers.iter().map(|server| {
            let last = server.memory.last().map_or(0.0, |last| last.1);
            format!("{} {last:.1} MiB ({:+.2})", server.name, server.growth(self.length).0)
        });
        let slowest = |times: &[(f64, f64)]| times.iter().fold(0.0, |most: f64, time| most.max(time.1));
        format!(
            "{}; {} probes, the slowest {:.0} ms; {} calms, the slowest {:.0} ms; {} failures",
            memory.collect::<Vec<_>>().join(", "),
            self.probes.len(),
            slowest(&self.probes),
            self.agreements.len(),
            slowest(&self.agreements),
            self.failures.len()
        )
    }

    fn seconds(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }
}

impl ServerSamples {
    /// Whether memory has grown by more than noise.
    fn has_grown(&self, length: f64) -> bool {
        let (growth, mean) = self.growth(length);
        growth > GROWTH_MIB.max(mean * GROWTH_PART)
    }

    /// The growth of memory in the second half, by least squares, and the mean, both in MiB.
    pub fn growth(&self, length: f64) -> (f64, f64) {
        let half: Vec<(f64, f64)> =
            self.memory.iter().copied().filter(|(at, _)| *at >= length / 2.0).collect();
        if half.len() < 2 {
            return (0.0, 0.0);
        }
        let count = half.len() as f64;
        let mean_at = half.iter().map(|point| point.0).sum::<f64>() / count;
        let mean = half.iter().map(|point| point.1).sum::<f64>() / count;
        let covariance: f64 = half.iter().map(|(at, memory)| (at - mean_at) * (memory - mean)).sum();
        let variance: f64 = half.iter().map(|(at, _)| (at - mean_at).powi(2)).sum();
        (covariance / variance.max(f64::MIN_POSITIVE) * length / 2.0, mean)
    }
}

/// The lines of these clients at one server; empty if it does not answer.
fn lines(port: u16, ids: &[&String]) -> Vec<Option<String>> {
    let ask = || {
        let mut client = Client::connect(port)?;
        let questions: String = ids.iter().map(|id| format!("WHATSAT {id} 0 0\n")).collect();
        client.send(questions.as_bytes())?;
        ids.iter().map(|_| client.whatsat_reply()).collect::<Result<Vec<_>, _>>()
    };
    ask().unwrap_or_default()
}

/// Whether an answered statement must not be lost: its server was not killed within [`SPREADING`] of the
/// answer.
fn must_be_stored(herd: &Herd, statement: &AnsweredStatement) -> bool {
    let spread = statement.at + SPREADING;
    !herd.servers[statement.server].killed.iter().any(|&killed| killed > statement.at && killed < spread)
}

/// The bound of agreement: 3 s until a dead link is dropped, 1 s until it is dialled again, 1 s to send the
/// missing statements.
pub const AGREEMENT_MAX: Duration = Duration::from_secs(5);
/// The time within which a statement reaches a neighbour.
const SPREADING: Duration = Duration::from_secs(1);
/// The time from the start of a server until it has all statements of the others.
const WARM_UP: Duration = Duration::from_millis(1500);
/// Longer than a connection to Places is kept (30 s), and than the line timeout.
const BASELINE_MAX: Duration = Duration::from_secs(45);
/// The tolerated growth of memory in the second half, in MiB. The load is constant, so that a leak of one
/// byte per message is 1 MiB in ten minutes; the noise of the allocator is less.
pub const GROWTH_MIB: f64 = 1.0;
/// The tolerated growth as a fraction of the mean, since large heaps have more noise.
pub const GROWTH_PART: f64 = 0.05;
/// The number of clients checked for agreement, below the greatest number of pending WHATSATs of a
/// connection.
const SAMPLE: usize = 50;
/// The number of client IDs of probes.
const PROBES: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_detected_and_constant_memory_is_not_a_leak() {
        let server = |memory: fn(f64) -> f64| ServerSamples {
            name: "Riley".to_owned(),
            memory: (0..600).map(|second| (f64::from(second), memory(f64::from(second)))).collect(),
            descriptors: Vec::new(),
            kills: Vec::new(),
            stops: Vec::new(),
            baseline: 0,
            left: 0,
        };
        let leaks = server(|second| 6.0 + second / 200.0);
        assert!((leaks.growth(600.0).0 - 1.5).abs() < 0.01 && leaks.has_grown(600.0));
        let saw = server(|second| 6.0 + second % 15.0 / 15.0);
        assert!(!saw.has_grown(600.0), "a server that is restarted again and again");
        let warms_up = server(|second| 6.0 + (second / 60.0).min(3.0));
        assert!(!warms_up.has_grown(600.0), "growth in the first half is not a leak");
    }
}
