//! A measurement of the cost of slow clients, neighbours and Places for other clients. It prints a table.
//!
//! Other load on the machine varies more than the effect to be measured. The measurement therefore alternates
//! short rounds with a fault and without it, in many pairs, every other pair with the fault first. The result
//! is the median of the ratios of all pairs, with their quartiles as a measure of its accuracy.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask::{UCLA, await_everywhere, iamat};
use crate::client::Client;
use crate::fake_places::{Play, nearby};
use crate::faults_crowds::{NARROW, UNREAD_LINES, until_idle};
use crate::lab::{Lab, PAIR, until};
use crate::process::{Signal, allow_descriptors};

/// The result of one round: the latency of IAMATs on one connection, the throughput of the load, and the
/// memory of the server at the end.
#[derive(Clone, Copy)]
struct Sample {
    median_us: f64,
    /// The 99th percentile.
    p99_us: f64,
    /// IAMATs per second of the load.
    load: f64,
    memory_kib: u64,
}

/// The shared state of the threads of a measurement.
#[derive(Default)]
struct Meter {
    ending: AtomicBool,
    /// The number of IAMATs of the load.
    moved: AtomicU64,
    /// The number of measured IAMATs, and of faults that have ended. Both are used as client times, so that
    /// each IAMAT is newer than the one before: one that loses is not flooded and costs less.
    measured: AtomicU64,
    over: AtomicU64,
}

/// A fault that is measured.
struct Fault {
    name: &'static str,
    pairs: usize,
    /// The duration of a round, with and without the fault.
    round: Duration,
    /// For one long spell of the fault: the number of rounds without it before and after, and the number of
    /// rounds of the spell.
    spell: Option<[usize; 2]>,
    /// Whether another client moves a thousand clients as fast as it can, with and without the fault.
    under_load: bool,
    begin: fn(&mut Lab) -> Vec<Client>,
    end: fn(&mut Lab),
}

const FAULTS: [Fault; 5] = [
    Fault {
        name: "10 clients that send WHATSATs and never read",
        pairs: PAIRS,
        round: SHORT,
        spell: None,
        under_load: false,
        begin: |lab| (0..10).map(|_| never_reading(lab)).collect(),
        end: |_| {},
    },
    Fault {
        name: "1,000 clients that send 512 KB each and never read",
        pairs: PAIRS,
        round: SHORT,
        spell: None,
        under_load: false,
        begin: |lab| {
            let lines = format!("{}\n", "x".repeat(4000)).repeat(UNREAD_LINES);
            let clients = (0..1000).map(|_| never_reading_echoes(lab, lines.as_bytes())).collect();
            // Not measured: the server echoes half a gigabyte.
            until_idle(lab, "Riley");
            clients
        },
        end: |_| {},
    },
    Fault {
        name: "5,000 clients with half a line each",
        pairs: PAIRS,
        round: SHORT,
        spell: None,
        under_load: false,
        begin: |lab| (0..5000).map(|_| sending(lab, &"x".repeat(4096))).collect(),
        end: |_| {},
    },
    Fault {
        name: "the neighbour stopped, under full load",
        // A round is longer than `peers.silence_ms`, so that the links are dropped in it.
        pairs: 6,
        round: Duration::from_secs(4),
        // A minute without interruption.
        spell: Some([2, 15]),
        under_load: true,
        begin: |lab| {
            lab.signal("Jaquez", Signal::STOP);
            Vec::new()
        },
        end: |lab| lab.signal("Jaquez", Signal::CONT),
    },
    Fault {
        name: "1,000 questions to a Places that does not answer",
        pairs: PAIRS,
        round: SHORT,
        spell: None,
        under_load: false,
        begin: |lab| (0..20).map(|_| sending(lab, &"WHATSAT hangs 10 1\n".repeat(50))).collect(),
        end: |_| {},
    },
];

/// A client that has sent this text.
fn sending(lab: &Lab, text: &str) -> Client {
    let mut client = lab.connect("Riley");
    client.send(text);
    client
}

fn never_reading(lab: &Lab) -> Client {
    let mut client = lab.connect("Riley");
    let question = format!("WHATSAT kiwi 10 20{}\n", " ".repeat(4000));
    client.send_until_stuck(question.as_bytes(), STUCK_AFTER, SENT_BYTES_MAX);
    client
}

fn never_reading_echoes(lab: &Lab, lines: &[u8]) -> Client {
    let mut client = Client::connect_narrow(lab.port("Riley"), NARROW);
    client.send_without_blocking(lines);
    client
}

/// An answer with twenty results of a thousand bytes, about the size of Google's.
fn usual_answer() -> String {
    let result = format!("{{\"name\":\"{}\"}}", "x".repeat(1000));
    format!("{{\"results\":[{}],\"status\":\"OK\"}}", vec![result; 20].join(","))
}

#[test]
#[ignore = "takes minutes; `make measure-faults` runs it"]
fn cost_of_slowness() {
    allow_descriptors(12_000);
    println!(
        "| fault | rounds | median, µs: without, with, ratio | p99, µs: without, with, ratio \
         | load, IAMATs/s: without, with | memory, KiB: without, with at most |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for fault in &FAULTS {
        let mut lab = Lab::alone(PAIR);
        lab.config["log"] = json!({ "level": "events" });
        lab.write();
        lab.start_all();
        lab.places.on(UCLA, Play::Answer(usual_answer()));
        let kiwi = iamat(&lab, "Riley", "kiwi");
        lab.places.on("+1+1", Play::WhenReleased(nearby(1)));
        lab.connect("Riley").ask("IAMAT hangs +1+1 5");
        await_everywhere(&lab, &lab.names(), "kiwi", &kiwi);
        let meter = Meter::default();
        let port = lab.port("Riley");
        let (pairs, spell) = thread::scope(|scope| {
            if fault.under_load {
                scope.spawn(|| move_clients(port, &meter));
            }
            // A warm-up round, for allocations and caches.
            measure(&mut lab, fault.round, &meter);
            let pairs: Vec<[Sample; 2]> =
                (0..fault.pairs).map(|number| pair(&mut lab, fault, number % 2 == 1, &meter)).collect();
            let spell = fault.spell.map(|rounds| spell(&mut lab, fault, rounds, &meter));
            meter.ending.store(true, Ordering::SeqCst);
            (pairs, spell)
        });
        let ratios =
            |of: fn(&Sample) -> f64| pairs.iter().map(|[without, with]| of(with) / of(without)).collect();
        let [without, with] = [0, 1].map(|which| pairs.iter().map(|pair| pair[which]).collect::<Vec<_>>());
        let seconds = fault.round.as_secs_f64();
        let rounds = format!("{} pairs of {seconds} s", fault.pairs);
        print_row(fault.name, &rounds, &without, &with, ratios);
        if let Some([without, with]) = spell {
            let median = |of: fn(&Sample) -> f64| quartiles(without.iter().map(of)).median;
            let ratios = |of: fn(&Sample) -> f64| with.iter().map(|sample| of(sample) / median(of)).collect();
            let rounds = format!("{} in a row, {} before and after", with.len(), without.len());
            print_row(
                &format!("{} for {} s", fault.name, with.len() as f64 * seconds),
                &rounds,
                &without,
                &with,
                ratios,
            );
        }
        let last = iamat(&lab, "Riley", "last");
        await_everywhere(&lab, &lab.names(), "last", &last);
    }
}

/// A round without the fault and one with it, in this order or the reverse.
fn pair(lab: &mut Lab, fault: &Fault, with_first: bool, meter: &Meter) -> [Sample; 2] {
    if with_first {
        let with = with_fault(lab, fault, 1, meter)[0];
        [measure(lab, fault.round, meter), with]
    } else {
        let without = measure(lab, fault.round, meter);
        [without, with_fault(lab, fault, 1, meter)[0]]
    }
}

/// Rounds before and after one long spell of the fault, and the rounds of the spell: `[without, with]`.
fn spell(lab: &mut Lab, fault: &Fault, [around, within]: [usize; 2], meter: &Meter) -> [Vec<Sample>; 2] {
    let mut without: Vec<Sample> = (0..around).map(|_| measure(lab, fault.round, meter)).collect();
    let with = with_fault(lab, fault, within, meter);
    without.extend((0..around).map(|_| measure(lab, fault.round, meter)));
    [without, with]
}

/// Measures rounds with the fault, and waits until all its effects have ended.
fn with_fault(lab: &mut Lab, fault: &Fault, rounds: usize, meter: &Meter) -> Vec<Sample> {
    let descriptors = lab.process("Riley").descriptors();
    let clients = (fault.begin)(lab);
    let samples = (0..rounds).map(|_| measure(lab, fault.round, meter)).collect();
    (fault.end)(lab);
    // Reset, because a closed connection stays while replies are pending.
    clients.into_iter().for_each(Client::reset);
    until("the connections are gone", || lab.process("Riley").descriptors() <= descriptors + PLACES_MAX);
    let id = format!("over-{}", meter.over.fetch_add(1, Ordering::SeqCst));
    let over = iamat(lab, "Riley", &id);
    await_everywhere(lab, &lab.names(), &id, &over);
    samples
}

/// The load: moves a thousand clients as fast as one connection can, and counts the IAMATs.
fn move_clients(port: u16, meter: &Meter) {
    let mut client = Client::connect(port);
    for round in 0.. {
        for hundred in 0..10 {
            if meter.ending.load(Ordering::SeqCst) {
                return;
            }
            let lines: String =
                (0..100).map(|n| format!("IAMAT load-{hundred}-{n} {UCLA} {round}\n")).collect();
            client.send(&lines).last_of_lines(100);
            meter.moved.fetch_add(100, Ordering::SeqCst);
        }
    }
}

/// Measures one round.
fn measure(lab: &mut Lab, duration: Duration, meter: &Meter) -> Sample {
    let mut client = lab.connect("Riley");
    let mut took = Vec::new();
    let (began, moved_before) = (Instant::now(), meter.moved.load(Ordering::SeqCst));
    while began.elapsed() < duration {
        let asked = Instant::now();
        client.ask(&format!("IAMAT measured {UCLA} {}", meter.measured.fetch_add(1, Ordering::SeqCst)));
        took.push(asked.elapsed().as_secs_f64() * 1e6);
        // Leaves processor time for others.
        thread::sleep(Duration::from_micros(200));
    }
    let load = (meter.moved.load(Ordering::SeqCst) - moved_before) as f64 / began.elapsed().as_secs_f64();
    took.sort_unstable_by(f64::total_cmp);
    let memory_kib = lab.process("Riley").status_number("VmRSS");
    Sample { median_us: took[took.len() / 2], p99_us: took[took.len() * 99 / 100], load, memory_kib }
}

/// The median and the interquartile range.
struct Quartiles {
    median: f64,
    range: Range<f64>,
}

fn quartiles(values: impl Iterator<Item = f64>) -> Quartiles {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| {
        // Linear interpolation between the two nearest values.
        let index = part * (values.len() - 1) as f64;
        let (low, high) = (values[index.floor() as usize], values[index.ceil() as usize]);
        low + (high - low) * index.fract()
    };
    Quartiles { median: at(0.5), range: at(0.25)..at(0.75) }
}

fn print_row(
    name: &str,
    rounds: &str,
    without: &[Sample],
    with: &[Sample],
    ratios: impl Fn(fn(&Sample) -> f64) -> Vec<f64>,
) {
    let median = |samples: &[Sample], of: fn(&Sample) -> f64| quartiles(samples.iter().map(of)).median;
    let both = |of: fn(&Sample) -> f64| {
        let Quartiles { median: ratio, range } = quartiles(ratios(of).into_iter());
        let (without, with) = (median(without, of), median(with, of));
        format!("{without:.0}, {with:.0}, {ratio:.2} ({:.2} to {:.2})", range.start, range.end)
    };
    let load = |samples: &[Sample]| median(samples, |sample| sample.load);
    let memory = |samples: &[Sample]| samples.iter().map(|sample| sample.memory_kib).max().unwrap_or(0);
    println!(
        "| {name} | {rounds} | {} | {} | {:.0}, {:.0} | {}, {} |",
        both(|sample| sample.median_us),
        both(|sample| sample.p99_us),
        load(without),
        load(with),
        without[0].memory_kib,
        memory(with),
    );
}

#[test]
fn quartiles_are_interpolated() {
    let of = |values: &[f64]| quartiles(values.iter().copied());
    assert_eq!((of(&[3.0, 1.0, 2.0]).median, of(&[3.0, 1.0, 2.0]).range), (2.0, 1.5..2.5));
    assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
    assert_eq!(of(&[7.0]).range, 7.0..7.0);
}

/// Even, so that half of the pairs begin with the fault.
const PAIRS: usize = 8;
/// Long enough for a p99 of a thousand IAMATs, and no longer, because the load of the machine changes.
const SHORT: Duration = Duration::from_millis(1200);
/// The time without progress after which the server has stopped reading from a client.
const STUCK_AFTER: Duration = Duration::from_millis(100);
/// The greatest number of kept connections to Places.
const PLACES_MAX: usize = 64;
/// The capacity of the socket buffers, and of all that the server reads before it pauses the client.
const SENT_BYTES_MAX: usize = 128 * 1024 * 1024;
