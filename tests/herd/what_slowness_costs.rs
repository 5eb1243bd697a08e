//! What those who are slow cost others: a measurement, with a table of figures.
//!
//! A machine is never quiet for minutes, and what else it does weighs more than what is looked for. So
//! short rounds with a trouble and without it take turns, each trouble has many such pairs, every other
//! pair begins with the trouble, and what counts is the middle of the pairs' ratios. How far apart the
//! quarters of them are says how much that is worth.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask::{UCLA, everyone, iamat};
use crate::client::Client;
use crate::fake_places::{Play, nearby};
use crate::faults_crowds::{NARROW, UNREAD_LINES, until_idle};
use crate::lab::{Lab, PAIR, until};
use crate::process::{Signal, allow_descriptors};

/// What IAMATs on one connection, one after the other, took; what the other clients did meanwhile, and
/// the memory of the server at the end.
#[derive(Clone, Copy)]
struct Sample {
    median_us: f64,
    /// Of a hundred, the worst but one: p99.
    worst_us: f64,
    /// IAMATs a second of the client that moves others.
    load: f64,
    memory_kib: u64,
}

/// What the threads of a measurement have in common.
#[derive(Default)]
struct Meter {
    ending: AtomicBool,
    /// IAMATs of the client that moves others.
    moved: AtomicU64,
    /// IAMATs that were measured, and times of trouble that are over. They number what is said, so that each
    /// is newer than the one before: what loses is not told to the neighbours and costs less.
    measured: AtomicU64,
    over: AtomicU64,
}

struct Trouble {
    name: &'static str,
    pairs: usize,
    /// How long a round lasts, with the trouble and without.
    round: Duration,
    /// Rounds without it before and after one long spell of it, and the rounds of that.
    spell: Option<[usize; 2]>,
    /// Whether another client moves a thousand clients as fast as it can, with the trouble and without.
    under_load: bool,
    begin: fn(&mut Lab) -> Vec<Client>,
    end: fn(&mut Lab),
}

const TROUBLES: [Trouble; 5] = [
    Trouble {
        name: "10 clients that ask and never read",
        pairs: PAIRS,
        round: SHORT,
        spell: None,
        under_load: false,
        begin: |lab| (0..10).map(|_| never_reading(lab)).collect(),
        end: |_| {},
    },
    Trouble {
        name: "1,000 clients that say 512 KB each and never read",
        pairs: PAIRS,
        round: SHORT,
        spell: None,
        under_load: false,
        begin: |lab| {
            let lines = format!("{}\n", "x".repeat(4000)).repeat(UNREAD_LINES);
            let clients = (0..1000).map(|_| never_reading_echoes(lab, lines.as_bytes())).collect();
            // Half a gigabyte that it has to echo is a load. What is measured is what they cost behind it.
            until_idle(lab, "Riley");
            clients
        },
        end: |_| {},
    },
    Trouble {
        name: "5,000 clients with half a line each",
        pairs: PAIRS,
        round: SHORT,
        spell: None,
        under_load: false,
        begin: |lab| (0..5000).map(|_| said(lab, &"x".repeat(4096))).collect(),
        end: |_| {},
    },
    Trouble {
        name: "the neighbour stopped, under full load",
        // Its links are taken for dead within the round.
        pairs: 6,
        round: Duration::from_secs(4),
        // A minute in a row.
        spell: Some([2, 15]),
        under_load: true,
        begin: |lab| {
            lab.signal("Jaquez", Signal::STOP);
            Vec::new()
        },
        end: |lab| lab.signal("Jaquez", Signal::CONT),
    },
    Trouble {
        name: "1,000 questions to a Places that hangs",
        pairs: PAIRS,
        round: SHORT,
        spell: None,
        under_load: false,
        begin: |lab| (0..20).map(|_| said(lab, &"WHATSAT hangs 10 1\n".repeat(50))).collect(),
        end: |_| {},
    },
];

fn said(lab: &Lab, text: &str) -> Client {
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
    client.send_what_is_taken(lines);
    client
}

/// Twenty results of a thousand bytes, as large as Google's are.
fn usual_answer() -> String {
    let result = format!("{{\"name\":\"{}\"}}", "x".repeat(1000));
    format!("{{\"results\":[{}],\"status\":\"OK\"}}", vec![result; 20].join(","))
}

#[test]
#[ignore = "takes minutes; `make measure-faults` runs it"]
fn what_slowness_costs() {
    allow_descriptors(12_000);
    println!(
        "| trouble | rounds | median, µs: without, with, ratio | p99, µs: without, with, ratio \
         | load, IAMATs/s: without, with | memory, KiB: without, with at most |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for trouble in &TROUBLES {
        let mut lab = Lab::alone(PAIR);
        lab.config["log"] = json!({ "level": "events" });
        lab.write();
        lab.start_all();
        lab.places.on(UCLA, Play::Answer(usual_answer()));
        let kiwi = iamat(&lab, "Riley", "kiwi");
        lab.places.on("+1+1", Play::WhenReleased(nearby(1)));
        lab.connect("Riley").ask("IAMAT hangs +1+1 5");
        everyone(&lab, &lab.names(), "kiwi", &kiwi);
        let meter = Meter::default();
        let port = lab.port("Riley");
        let (pairs, spell) = thread::scope(|scope| {
            if trouble.under_load {
                scope.spawn(|| move_clients(port, &meter));
            }
            // What the first ones make a server allocate and a processor learn is nobody's cost.
            measure(&mut lab, trouble.round, &meter);
            let pairs: Vec<[Sample; 2]> =
                (0..trouble.pairs).map(|number| pair(&mut lab, trouble, number % 2 == 1, &meter)).collect();
            let spell = trouble.spell.map(|rounds| spell(&mut lab, trouble, rounds, &meter));
            meter.ending.store(true, Ordering::SeqCst);
            (pairs, spell)
        });
        let ratios =
            |of: fn(&Sample) -> f64| pairs.iter().map(|[without, with]| of(with) / of(without)).collect();
        let [without, with] = [0, 1].map(|which| pairs.iter().map(|pair| pair[which]).collect::<Vec<_>>());
        let seconds = trouble.round.as_secs_f64();
        let rounds = format!("{} pairs of {seconds} s", trouble.pairs);
        print_row(trouble.name, &rounds, &without, &with, ratios);
        if let Some([without, with]) = spell {
            let middle = |of: fn(&Sample) -> f64| quartiles(without.iter().map(of)).middle;
            let ratios = |of: fn(&Sample) -> f64| with.iter().map(|sample| of(sample) / middle(of)).collect();
            let rounds = format!("{} in a row, {} before and after", with.len(), without.len());
            print_row(
                &format!("{} for {} s", trouble.name, with.len() as f64 * seconds),
                &rounds,
                &without,
                &with,
                ratios,
            );
        }
        let last = iamat(&lab, "Riley", "last");
        everyone(&lab, &lab.names(), "last", &last);
    }
}

/// A round without the trouble and one with it, in this order or the other one.
fn pair(lab: &mut Lab, trouble: &Trouble, with_first: bool, meter: &Meter) -> [Sample; 2] {
    if with_first {
        let with = with_trouble(lab, trouble, 1, meter)[0];
        [measure(lab, trouble.round, meter), with]
    } else {
        let without = measure(lab, trouble.round, meter);
        [without, with_trouble(lab, trouble, 1, meter)[0]]
    }
}

/// Rounds of one long spell of the trouble, and as many as wanted before and after it: `[without, with]`.
fn spell(lab: &mut Lab, trouble: &Trouble, [around, within]: [usize; 2], meter: &Meter) -> [Vec<Sample>; 2] {
    let mut without: Vec<Sample> = (0..around).map(|_| measure(lab, trouble.round, meter)).collect();
    let with = with_trouble(lab, trouble, within, meter);
    without.extend((0..around).map(|_| measure(lab, trouble.round, meter)));
    [without, with]
}

/// So many rounds while there is trouble. When this returns, nothing is left of it.
fn with_trouble(lab: &mut Lab, trouble: &Trouble, rounds: usize, meter: &Meter) -> Vec<Sample> {
    let descriptors = lab.process("Riley").descriptors();
    let clients = (trouble.begin)(lab);
    let samples = (0..rounds).map(|_| measure(lab, trouble.round, meter)).collect();
    (trouble.end)(lab);
    // One that only closed might still be waiting for its replies.
    clients.into_iter().for_each(Client::reset);
    // Who was reset is gone, and the neighbour has caught up.
    until("they are gone", || lab.process("Riley").descriptors() <= descriptors + PLACES_MAX);
    let id = format!("over-{}", meter.over.fetch_add(1, Ordering::SeqCst));
    let over = iamat(lab, "Riley", &id);
    everyone(lab, &lab.names(), &id, &over);
    samples
}

/// Moves a thousand clients, as fast as one connection can, and counts.
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

fn measure(lab: &mut Lab, lasts: Duration, meter: &Meter) -> Sample {
    let mut client = lab.connect("Riley");
    let mut took = Vec::new();
    let (began, moved_before) = (Instant::now(), meter.moved.load(Ordering::SeqCst));
    while began.elapsed() < lasts {
        let asked = Instant::now();
        client.ask(&format!("IAMAT measured {UCLA} {}", meter.measured.fetch_add(1, Ordering::SeqCst)));
        took.push(asked.elapsed().as_secs_f64() * 1e6);
        // A client that thinks a little: others can have the processor.
        thread::sleep(Duration::from_micros(200));
    }
    let load = (meter.moved.load(Ordering::SeqCst) - moved_before) as f64 / began.elapsed().as_secs_f64();
    took.sort_unstable_by(f64::total_cmp);
    let memory_kib = lab.process("Riley").status_number("VmRSS");
    Sample { median_us: took[took.len() / 2], worst_us: took[took.len() * 99 / 100], load, memory_kib }
}

/// The middle of some values, and where the middle half of them lies.
struct Quartiles {
    middle: f64,
    half: Range<f64>,
}

fn quartiles(values: impl Iterator<Item = f64>) -> Quartiles {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| {
        // Between two values as far as the part lies between their places.
        let place = part * (values.len() - 1) as f64;
        let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
        low + (high - low) * place.fract()
    };
    Quartiles { middle: at(0.5), half: at(0.25)..at(0.75) }
}

fn print_row(
    name: &str,
    rounds: &str,
    without: &[Sample],
    with: &[Sample],
    ratios: impl Fn(fn(&Sample) -> f64) -> Vec<f64>,
) {
    let middle = |samples: &[Sample], of: fn(&Sample) -> f64| quartiles(samples.iter().map(of)).middle;
    let both = |of: fn(&Sample) -> f64| {
        let Quartiles { middle: ratio, half } = quartiles(ratios(of).into_iter());
        let (without, with) = (middle(without, of), middle(with, of));
        format!("{without:.0}, {with:.0}, {ratio:.2} ({:.2} to {:.2})", half.start, half.end)
    };
    let load = |samples: &[Sample]| middle(samples, |sample| sample.load);
    let memory = |samples: &[Sample]| samples.iter().map(|sample| sample.memory_kib).max().unwrap_or(0);
    println!(
        "| {name} | {rounds} | {} | {} | {:.0}, {:.0} | {}, {} |",
        both(|sample| sample.median_us),
        both(|sample| sample.worst_us),
        load(without),
        load(with),
        without[0].memory_kib,
        memory(with),
    );
}

#[test]
fn quartiles_lie_where_they_should() {
    let of = |values: &[f64]| quartiles(values.iter().copied());
    assert_eq!((of(&[3.0, 1.0, 2.0]).middle, of(&[3.0, 1.0, 2.0]).half), (2.0, 1.5..2.5));
    assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).middle, 2.5);
    assert_eq!(of(&[7.0]).half, 7.0..7.0);
}

/// An even number, so that as many begin with the trouble as without it.
const PAIRS: usize = 8;
/// A p99 of a thousand IAMATs or more, and no longer: the machine changes from second to second.
const SHORT: Duration = Duration::from_millis(1200);
/// So long has the server taken nothing of a client that it has stopped reading.
const STUCK_AFTER: Duration = Duration::from_millis(100);
/// Connections to Places that are kept for the next question.
const PLACES_MAX: usize = 64;
/// What the system may keep in the sockets, with what the server does until its replies are stuck.
const SENT_BYTES_MAX: usize = 128 * 1024 * 1024;
