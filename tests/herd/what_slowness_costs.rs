//! What those who are slow cost others: a measurement, with a table of figures.
//!
//! Each trouble is measured in pairs, once without it and once with it, one after the other, so that
//! what else the machine does weighs on both alike.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ask::{UCLA, everyone, iamat};
use crate::client::Client;
use crate::fake_places::{Play, nearby};
use crate::lab::{Lab, PAIR};
use crate::process::{Signal, allow_descriptors};

/// What IAMATs on one connection, one after the other, took; and the memory of the server then.
#[derive(Clone, Copy)]
struct Sample {
    median: Duration,
    of_a_hundred_the_worst: Duration,
    memory_kib: u64,
}

struct Trouble {
    name: &'static str,
    /// How long it lasts.
    lasts: Duration,
    /// Whether another client moves a thousand clients as fast as it can, with the trouble and without.
    under_load: bool,
    begin: fn(&mut Lab) -> Vec<Client>,
    end: fn(&mut Lab),
}

const TROUBLES: [Trouble; 4] = [
    Trouble {
        name: "10 clients that ask and never read",
        lasts: SHORT,
        under_load: false,
        begin: |lab| (0..10).map(|_| never_reading(lab)).collect(),
        end: |_| {},
    },
    Trouble {
        name: "5,000 clients with half a line each",
        lasts: SHORT,
        under_load: false,
        begin: |lab| (0..5000).map(|_| said(lab, &"x".repeat(4096))).collect(),
        end: |_| {},
    },
    Trouble {
        name: "the neighbour stopped, under full load",
        lasts: Duration::from_secs(60),
        under_load: true,
        begin: |lab| {
            lab.signal("Jaquez", Signal::STOP);
            Vec::new()
        },
        end: |lab| lab.signal("Jaquez", Signal::CONT),
    },
    Trouble {
        name: "1,000 questions to a Places that hangs",
        lasts: SHORT,
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
    client.send_until_stuck(question.as_bytes(), SHORT / 10, SENT_BYTES_MAX);
    client
}

#[test]
#[ignore = "takes minutes; `make measure-faults` runs it"]
fn what_slowness_costs() {
    allow_descriptors(12_000);
    println!("| trouble | median, without | with | worst of 100, without | with | memory before | with |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for trouble in &TROUBLES {
        let mut lab = Lab::alone(PAIR);
        lab.config["log"] = json!({ "level": "events" });
        lab.write();
        lab.start_all();
        lab.places.on(UCLA, Play::Answer(nearby(20)));
        let kiwi = iamat(&lab, "Riley", "kiwi");
        lab.places.on("+1+1", Play::WhenReleased(nearby(1)));
        lab.connect("Riley").ask("IAMAT hangs +1+1 5");
        everyone(&lab, &lab.names(), "kiwi", &kiwi);
        let ending = AtomicBool::new(false);
        let port = lab.port("Riley");
        let pairs: Vec<[Sample; 2]> = thread::scope(|scope| {
            if trouble.under_load {
                scope.spawn(|| move_clients(port, &ending));
            }
            let pairs = (0..PAIRS)
                .map(|_| {
                    let without = measure(&mut lab, SHORT);
                    let clients = (trouble.begin)(&mut lab);
                    let with = measure(&mut lab, trouble.lasts);
                    (trouble.end)(&mut lab);
                    // One that only closed might still be waiting for its replies.
                    clients.into_iter().for_each(Client::reset);
                    [without, with]
                })
                .collect();
            ending.store(true, Ordering::SeqCst);
            pairs
        });
        print_row(trouble.name, &pairs);
        let last = iamat(&lab, "Riley", "last");
        everyone(&lab, &lab.names(), "last", &last);
    }
}

/// Moves a thousand clients, as fast as one connection can.
fn move_clients(port: u16, ending: &AtomicBool) {
    let mut client = Client::connect(port);
    for round in 0.. {
        if ending.load(Ordering::SeqCst) {
            return;
        }
        for hundred in 0..10 {
            let lines: String =
                (0..100).map(|n| format!("IAMAT load-{hundred}-{n} {UCLA} {round}\n")).collect();
            client.send(&lines).last_of_lines(100);
        }
    }
}

fn measure(lab: &mut Lab, lasts: Duration) -> Sample {
    let mut client = lab.connect("Riley");
    let mut took = Vec::new();
    let began = Instant::now();
    while began.elapsed() < lasts {
        let asked = Instant::now();
        client.ask(&format!("IAMAT measured {UCLA} {}", took.len()));
        took.push(asked.elapsed());
        // A client that thinks a little: others can have the processor.
        thread::sleep(Duration::from_micros(200));
    }
    took.sort_unstable();
    let memory_kib = lab.process("Riley").status_number("VmRSS");
    Sample { median: took[took.len() / 2], of_a_hundred_the_worst: took[took.len() * 99 / 100], memory_kib }
}

fn print_row(name: &str, pairs: &[[Sample; 2]]) {
    let microseconds = |which: usize, of: fn(&Sample) -> Duration| {
        format!("{} µs", median(pairs.iter().map(|pair| of(&pair[which]).as_micros())))
    };
    let memory = pairs.iter().map(|pair| pair[1].memory_kib).max().unwrap();
    println!(
        "| {name} | {} | {} | {} | {} | {} KiB | {memory} KiB |",
        microseconds(0, |sample| sample.median),
        microseconds(1, |sample| sample.median),
        microseconds(0, |sample| sample.of_a_hundred_the_worst),
        microseconds(1, |sample| sample.of_a_hundred_the_worst),
        pairs[0][0].memory_kib,
    );
}

fn median<T: Ord + Copy>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values[values.len() / 2]
}

const PAIRS: usize = 3;
/// What the system may keep in the sockets, with what the server does until its replies are stuck.
const SENT_BYTES_MAX: usize = 128 * 1024 * 1024;
const SHORT: Duration = Duration::from_secs(5);
