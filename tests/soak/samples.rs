//! What is looked at every second, and what it comes to.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, now, time_of, time_text};
use crate::herd::Herd;
use crate::load::{Acknowledged, Acknowledgement};

pub struct Samples {
    begin: Instant,
    pub servers: Vec<ServerSamples>,
    /// When a statement was made, and after how many milliseconds all that lived had it.
    pub probes: Vec<(f64, f64)>,
    /// When it was calm, and after how many milliseconds all gave the same lines.
    pub agreements: Vec<(f64, f64)>,
    /// How long it has taken, in seconds.
    pub length: f64,
    failures: Vec<String>,
}

/// Of one server, with the seconds since the begin.
pub struct ServerSamples {
    pub name: String,
    /// In MiB.
    pub memory: Vec<(f64, f64)>,
    pub descriptors: Vec<(f64, f64)>,
    pub kills: Vec<f64>,
    pub stops: Vec<f64>,
    /// Descriptors before the load, and when all clients have left.
    pub baseline: usize,
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
            baseline: server.descriptors().expect("it runs"),
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
            // A server that has just started is still on its way to what it needs.
            if server.started.elapsed() < GROWING_UP {
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

    /// What one living server is told, all living ones must know soon.
    pub fn probe(&mut self, herd: &Herd) {
        let (at, begin, living) = (self.seconds(), Instant::now(), herd.living());
        let number = self.probes.len();
        let origin = living[number % living.len()];
        let (id, time) = (format!("probe-{}", number % PROBES), now());
        let tell = || {
            let mut client = Client::connect(herd.servers[origin].port)?;
            client.send(format!("IAMAT {id} +34.068930-118.445127 {}\n", time_text(time)).as_bytes())?;
            client.line()
        };
        if let Err(error) = tell() {
            self.failures.push(format!("{at:.0} s: {} answers no IAMAT: {error}", herd.servers[origin].name));
            return;
        }
        for server in living {
            let port = herd.servers[server].port;
            let knows = || {
                let line = Client::connect(port).and_then(|mut client| {
                    client.send(format!("WHATSAT {id} 0 0\n").as_bytes())?;
                    client.whatsat_reply()
                });
                line.ok().flatten().is_some_and(|line| time_of(&line) == Some(time))
            };
            while !knows() {
                if begin.elapsed() > AGREEMENT_MAX {
                    let (from, to) = (&herd.servers[origin].name, &herd.servers[server].name);
                    self.failures.push(format!(
                        "{at:.0} s: what {from} was told {to} did not know within {AGREEMENT_MAX:?}"
                    ));
                    return;
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
        self.probes.push((at, begin.elapsed().as_secs_f64() * 1000.0));
    }

    /// When nobody says anything, all servers must soon give the same lines, none of them older than
    /// what its client was answered.
    pub fn agree(&mut self, herd: &Herd, acknowledged: &Acknowledged) {
        let (at, begin) = (self.seconds(), Instant::now());
        let mut ids: Vec<&String> = acknowledged.keys().collect();
        ids.sort();
        let step = (ids.len() / SAMPLE).max(1);
        let ids: Vec<&String> = ids.into_iter().skip(self.agreements.len() % step).step_by(step).collect();
        loop {
            let answers: Vec<_> =
                herd.living().into_iter().map(|server| lines(herd.servers[server].port, &ids)).collect();
            let disagreement = ids.iter().enumerate().find_map(|(index, id)| {
                let first = answers[0].get(index);
                if first.is_none() || answers.iter().any(|answer| answer.get(index) != first) {
                    return Some(format!("of {id} not all say the same"));
                }
                let known = first.and_then(|line| time_of(line.as_ref()?));
                let acknowledgement = &acknowledged[*id];
                let is_lost = must_be_known(herd, acknowledgement) && known < Some(acknowledgement.time);
                is_lost.then(|| format!("of {id} all have forgotten what was answered"))
            });
            match disagreement {
                None => break,
                Some(what) if begin.elapsed() > AGREEMENT_MAX => {
                    self.failures.push(format!("{at:.0} s: in calm for {AGREEMENT_MAX:?}, {what}"));
                    return;
                }
                Some(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
        self.agreements.push((at, begin.elapsed().as_secs_f64() * 1000.0));
    }

    /// When everybody has left, the descriptors must be what they were.
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
                    .push(format!("{name} has {left} descriptors when all have left, {baseline} before"));
            }
        }
    }

    /// Everything that is wrong, the growth of memory included.
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
            failures.push("it was never calm".to_owned());
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
    /// Whether memory grows by more than chance.
    fn has_grown(&self, length: f64) -> bool {
        let (growth, mean) = self.growth(length);
        growth > GROWTH_MIB.max(mean * GROWTH_PART)
    }

    /// By how many MiB memory grows in the second half, by least squares, and what it is on average.
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

/// The lines of these clients at one server, as far as it gives them.
fn lines(port: u16, ids: &[&String]) -> Vec<Option<String>> {
    let ask = || {
        let mut client = Client::connect(port)?;
        let questions: String = ids.iter().map(|id| format!("WHATSAT {id} 0 0\n")).collect();
        client.send(questions.as_bytes())?;
        ids.iter().map(|_| client.whatsat_reply()).collect::<Result<Vec<_>, _>>()
    };
    ask().unwrap_or_default()
}

/// What only a server knew that was killed at once is lost.
fn must_be_known(herd: &Herd, acknowledgement: &Acknowledgement) -> bool {
    let spread = acknowledgement.at + SPREADING;
    !herd.servers[acknowledgement.server]
        .killed
        .iter()
        .any(|&killed| killed > acknowledgement.at && killed < spread)
}

/// A link is taken for dead after 3 s, its neighbour is dialled again within 1 s, and what it lacks
/// is told within another.
pub const AGREEMENT_MAX: Duration = Duration::from_secs(5);
/// A statement that a server has had so long before its end has reached a neighbour.
const SPREADING: Duration = Duration::from_secs(1);
/// From the start of a server until it has everything that the others know.
const GROWING_UP: Duration = Duration::from_millis(1500);
/// Kept connections to Places end after 30 s, half lines sooner.
const BASELINE_MAX: Duration = Duration::from_secs(45);
/// Growth of memory in the second half that is none. The load is the same all the time, so a leak of
/// one byte for each message would be 1 MiB in ten minutes; an allocator's heap moves by less.
pub const GROWTH_MIB: f64 = 1.0;
/// The same as a part of what there is: large heaps move more.
pub const GROWTH_PART: f64 = 0.05;
/// Clients that are asked about in calm: fewer than the WHATSATs that one connection may have waiting.
const SAMPLE: usize = 50;
/// Clients that probe.
const PROBES: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_seen_and_a_level_memory_is_none() {
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
        assert!(!saw.has_grown(600.0), "a server that is killed again and again");
        let warms_up = server(|second| 6.0 + (second / 60.0).min(3.0));
        assert!(!warms_up.has_grown(600.0), "what comes in the first half is no leak");
    }
}
