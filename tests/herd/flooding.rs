//! Statements reach everybody, on every graph that a report has.

use std::path::Path;

use herd::config::Herd;

use crate::ask::{UCLA, everyone, iamat};
use crate::lab::{BRUINS, Lab};

/// The herd of a file in `herds/`, on ports of this test's own: an IAMAT at any server is soon known,
/// byte for byte, to all of them, the server that is reached by one edge only as well.
fn everyone_learns(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("herds").join(file);
    let herd = Herd::read(&path).unwrap_or_else(|error| panic!("{error}"));
    let neighbours: Vec<(&str, Vec<&str>)> = herd
        .servers
        .iter()
        .map(|server| (server.name.as_str(), server.neighbours.iter().map(String::as_str).collect()))
        .collect();
    let edges: Vec<(&str, &[&str])> = neighbours.iter().map(|(name, of)| (*name, of.as_slice())).collect();
    let lab = Lab::running(&edges);
    let lines: Vec<(String, String)> = lab
        .names()
        .iter()
        .map(|origin| format!("client-of-{origin}"))
        .zip(lab.names())
        .map(|(id, origin)| (iamat(&lab, origin, &id), id))
        .collect();
    for (line, id) in &lines {
        everyone(&lab, &lab.names(), id, line);
    }
}

#[test]
fn everyone_learns_in_the_herd_of_report_000() {
    everyone_learns("report-000.json");
}

#[test]
fn everyone_learns_in_the_herd_of_report_001() {
    everyone_learns("report-001.json");
}

#[test]
fn everyone_learns_in_the_herd_of_report_002() {
    everyone_learns("report-002.json");
}

#[test]
fn row_15_everyone_learns_in_the_herd_of_report_003() {
    everyone_learns("report-003.json");
}

#[test]
fn everyone_learns_in_the_herd_of_report_004() {
    everyone_learns("report-004.json");
}

/// The greater client time wins everywhere, wherever it was said and in whatever order. An IAMAT that
/// loses is answered with its own data, but neither stored nor passed on.
#[test]
fn the_newest_statement_wins_everywhere() {
    let lab = Lab::running(BRUINS);
    let say = |server: &str, time: &str| {
        let line = lab.connect(server).ask(&format!("IAMAT kiwi {UCLA} {time}"));
        assert!(line.starts_with(&format!("AT {server} ")) && line.ends_with(&format!(" {time}")), "{line}");
        line
    };
    say("Riley", "5.000000001");
    let newest = say("Campbell", "5.000000002");
    everyone(&lab, &lab.names(), "kiwi", &newest);
    say("Bernard", "5.000000001");
    say("Riley", "4");
    // Once this one, which was said later, is everywhere, those would be too if they were passed on.
    let later = iamat(&lab, "Riley", "later");
    everyone(&lab, &lab.names(), "later", &later);
    everyone(&lab, &lab.names(), "kiwi", &newest);
}
