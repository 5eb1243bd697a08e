//! Tests that statements reach all servers, on the graph of each course report.

use std::path::Path;

use herd::config::HerdFile;

use crate::ask::{UCLA, await_everywhere, iamat};
use crate::lab::{BRUINS, Lab};

/// In the herd of a file in `herds/`, an IAMAT at any server reaches all servers, byte for byte.
fn statements_reach_all_servers(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("herds").join(file);
    let herd = HerdFile::read(&path).unwrap_or_else(|error| panic!("{error}"));
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
        await_everywhere(&lab, &lab.names(), id, line);
    }
}

#[test]
fn statements_reach_the_herd_of_report_000() {
    statements_reach_all_servers("report-000.json");
}

#[test]
fn statements_reach_the_herd_of_report_001() {
    statements_reach_all_servers("report-001.json");
}

#[test]
fn statements_reach_the_herd_of_report_002() {
    statements_reach_all_servers("report-002.json");
}

#[test]
fn row_15_statements_reach_the_herd_of_report_003() {
    statements_reach_all_servers("report-003.json");
}

#[test]
fn statements_reach_the_herd_of_report_004() {
    statements_reach_all_servers("report-004.json");
}

/// The statement with the greatest client time wins on all servers, whatever server received it and in
/// whatever order. A losing IAMAT is answered with its own data, but neither stored nor flooded.
#[test]
fn the_newest_statement_wins_everywhere() {
    let lab = Lab::running(BRUINS);
    let report = |server: &str, time: &str| {
        let line = lab.connect(server).ask(&format!("IAMAT kiwi {UCLA} {time}"));
        assert!(line.starts_with(&format!("AT {server} ")) && line.ends_with(&format!(" {time}")), "{line}");
        line
    };
    report("Riley", "5.000000001");
    let newest = report("Campbell", "5.000000002");
    await_everywhere(&lab, &lab.names(), "kiwi", &newest);
    report("Bernard", "5.000000001");
    report("Riley", "4");
    // Changes arrive in order: when this later one has arrived, the losers would have arrived, too.
    let later = iamat(&lab, "Riley", "later");
    await_everywhere(&lab, &lab.names(), "later", &later);
    await_everywhere(&lab, &lab.names(), "kiwi", &newest);
}
