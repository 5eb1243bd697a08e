//! What operators and monitoring see: metrics, health, `herd status`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::ask::{await_everywhere, iamat};
use crate::authority::Authority;
use crate::lab::{Lab, PAIR, SOLO, free_port, until};
use crate::process::herd;

/// A lab whose servers have an address of HTTP. No server runs.
fn lab(edges: &[(&str, &[&str])]) -> Lab {
    let mut lab = Lab::new(edges);
    for (name, _) in edges {
        lab.config["servers"][*name]["http"] = json!(format!("127.0.0.1:{}", free_port()));
    }
    lab.write();
    lab
}

/// The status and the body of a GET; status 0: nothing answers.
fn get(lab: &Lab, server: &str, target: &str) -> (u16, String) {
    let address = lab.config["servers"][server]["http"].as_str().unwrap();
    let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return (0, String::new()) };
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut response = String::new();
    if stream.write_all(request.as_bytes()).is_err() || stream.read_to_string(&mut response).is_err() {
        return (0, String::new());
    }
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{response}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn await_ready(lab: &Lab, server: &str) {
    until(&format!("{server} is ready"), || get(lab, server, "/readyz") == (200, "ready\n".to_owned()));
}

/// The samples of a server, by name and labels.
fn metrics(lab: &Lab, server: &str) -> BTreeMap<String, f64> {
    let (status, text) = get(lab, server, "/metrics");
    assert_eq!(status, 200, "{text}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// Section 8: a metric counts what it says, and a gauge falls again.
#[test]
fn metrics_count_what_was_done() {
    let mut lab = lab(PAIR);
    lab.start_all();
    ["Riley", "Jaquez"].iter().for_each(|server| await_ready(&lab, server));
    let before = metrics(&lab, "Riley");
    let line = iamat(&lab, "Riley", "kiwi");
    await_everywhere(&lab, &["Jaquez"], "kiwi", &line);
    let mut client = lab.connect("Riley");
    client.ask("IAMAT kiwi +1-1 1");
    client.ask("FORGET nobody");
    client.ask("FLY");
    client.send("WHATSAT kiwi 10 1\n").whats_at();
    client.ask("FORGET kiwi");
    let open = metrics(&lab, "Riley");
    assert_eq!(
        open["herd_connections_open{kind=\"client\"}"],
        1.0 + before["herd_connections_open{kind=\"client\"}"]
    );
    drop(client);
    let is = |name: &str, expected: f64| {
        until(&format!("{name} has grown by {expected}"), || {
            let now = metrics(&lab, "Riley")[name] - before[name];
            assert!(now <= expected, "{name} has grown by {now}");
            now == expected
        });
    };
    is("herd_commands_total{verb=\"IAMAT\",outcome=\"accepted\"}", 1.0);
    is("herd_commands_total{verb=\"IAMAT\",outcome=\"outdated\"}", 1.0);
    is("herd_commands_total{verb=\"WHATSAT\",outcome=\"accepted\"}", 1.0);
    is("herd_commands_total{verb=\"FORGET\",outcome=\"accepted\"}", 1.0);
    is("herd_commands_total{verb=\"FORGET\",outcome=\"refused\"}", 1.0);
    is("herd_commands_total{verb=\"invalid\",outcome=\"refused\"}", 1.0);
    is("herd_refusals_total{reason=\"unknown_client\"}", 1.0);
    is("herd_refusals_total{reason=\"invalid\"}", 1.0);
    is("herd_changes_total{source=\"client\"}", 2.0);
    is("herd_places_questions_total{outcome=\"accepted\"}", 1.0);
    is("herd_places_answers_total{outcome=\"answered\"}", 1.0);
    is("herd_places_seconds_count", 1.0);
    is("herd_connections_accepted_total{listener=\"clients\"}", 2.0);
    is("herd_connections_open{kind=\"client\"}", 0.0);
    // IAMAT twice, FORGET twice, FLY: WHATSAT waits for Places.
    is("herd_reply_seconds_count", 5.0);
    let after = metrics(&lab, "Riley");
    assert!(
        after["herd_received_bytes_total{kind=\"client\"}"]
            >= before["herd_received_bytes_total{kind=\"client\"}"] + 100.0
    );
    assert!(
        after["herd_sent_bytes_total{kind=\"neighbour_out\"}"]
            > before["herd_sent_bytes_total{kind=\"neighbour_out\"}"]
    );
    assert!(
        after["herd_log_lines_total{outcome=\"written\"}"]
            > before["herd_log_lines_total{outcome=\"written\"}"]
    );
    assert!(after["herd_turn_seconds_count"] > before["herd_turn_seconds_count"]);
    assert_eq!(after["herd_link_up{neighbour=\"Jaquez\",direction=\"to\"}"], 1.0);
    assert!(after["process_open_fds"] > 5.0 && after["process_cpu_seconds_total"] > 0.0);
    let of_jaquez = metrics(&lab, "Jaquez");
    assert_eq!(of_jaquez["herd_changes_total{source=\"neighbour\"}"], 2.0);
    assert!(after.keys().all(|name| !name.contains("kiwi")), "no ID of a client");
    lab.kill("Jaquez");
    iamat(&lab, "Riley", "plum");
    until("the backlog has the change", || {
        let now = metrics(&lab, "Riley");
        now["herd_link_up{neighbour=\"Jaquez\",direction=\"from\"}"] == 0.0
            && now["herd_link_unacknowledged_changes{neighbour=\"Jaquez\"}"] >= 1.0
    });
}

/// Section 8: the text of a running server is what Prometheus' own checker takes.
#[test]
fn promtool_takes_the_metrics_of_a_server() {
    let mut lab = lab(SOLO);
    lab.start_all();
    until("HTTP is served", || get(&lab, "Solo", "/livez").0 == 200);
    let text = get(&lab, "Solo", "/metrics").1;
    let checker = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut checker) = checker else {
        return eprintln!("skipped: there is no promtool; it is in the Debian package prometheus");
    };
    checker.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let checked = checker.wait_with_output().unwrap();
    assert!(
        checked.status.success() && checked.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}

/// Section 8: a log that cannot be written makes a server unfit, and one that can be written again makes it fit.
#[test]
fn a_server_is_ready_again_when_its_log_can_be_written() {
    let mut lab = lab(SOLO);
    fs::create_dir(lab.folder.path("logs")).unwrap();
    let log = lab.folder.path("logs/Solo.log");
    symlink("/dev/full", &log).unwrap();
    lab.start("Solo");
    iamat(&lab, "Solo", "kiwi");
    until("it is not ready", || get(&lab, "Solo", "/readyz").0 == 503);
    assert!(get(&lab, "Solo", "/readyz").1.starts_with("log: it cannot be written"));
    assert_eq!(get(&lab, "Solo", "/livez"), (200, "alive\n".to_owned()));
    assert!(metrics(&lab, "Solo")["herd_log_errors_total"] >= 1.0);
    fs::remove_file(&log).unwrap();
    // The requests are lines of the log.
    await_ready(&lab, "Solo");
    assert_eq!(metrics(&lab, "Solo")["herd_ready"], 1.0);
}

/// Section 8: what is written to the disk is in the metrics.
#[test]
fn the_store_on_disk_is_in_the_metrics() {
    let mut lab = lab(SOLO);
    lab.config["store"] = json!({ "dir": "store" });
    lab.write();
    lab.start("Solo");
    iamat(&lab, "Solo", "kiwi");
    until("a batch was written", || metrics(&lab, "Solo")["herd_store_batches_total"] >= 1.0);
    let now = metrics(&lab, "Solo");
    assert!(now["herd_store_written_bytes_total"] > 50.0 && now["herd_store_batch_seconds_count"] >= 1.0);
    assert!(now["herd_store_last_write_timestamp_seconds"] > 1_600_000_000.0);
    until("the change is on the disk", || metrics(&lab, "Solo")["herd_store_unsynced_changes"] == 0.0);
    await_ready(&lab, "Solo");
}

/// Runs `herd status` for a lab.
fn status(lab: &Lab, arguments: &[&str], token: Option<&str>) -> Output {
    let mut command = herd();
    command.args(["status", "-c"]).arg(lab.file()).args(arguments).env_remove("HERD_TOKEN");
    if let Some(token) = token {
        command.env("HERD_TOKEN", token);
    }
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Section 8: `herd status` shows what each server says, and its exit status whether something is wrong.
#[test]
fn herd_status_shows_the_whole_herd() {
    let mut lab = lab(PAIR);
    lab.config["servers"]["Silent"] = json!({ "listen": format!("127.0.0.1:{}", free_port()) });
    lab.write();
    ["Riley", "Jaquez"].iter().for_each(|server| lab.start(server));
    ["Riley", "Jaquez"].iter().for_each(|server| await_ready(&lab, server));
    let line = iamat(&lab, "Riley", "kiwi");
    await_everywhere(&lab, &["Jaquez"], "kiwi", &line);
    let output = status(&lab, &[], None);
    let table = text(&output.stdout);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{table}");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "STATE", "CLIENTS", "CONNECTIONS", "LINKS", "BACKLOG", "UPTIME"]);
    assert_eq!(
        (&rows[1][..3], &rows[1][4..7]),
        (&["Riley", "ready", "1"][..], &["2", "of", "2"][..]),
        "{table}"
    );
    assert_eq!(rows[3][..3], ["Silent", "no", "http"]);
    assert!(table.ends_with("\nAll have the same number of clients: 1.\n"), "{table}");
    let one = status(&lab, &["Riley"], None);
    assert_eq!((one.status.code(), text(&one.stdout).lines().count()), (Some(0), 2));
    lab.kill("Jaquez");
    until("the links are down", || {
        let (_, page) = get(&lab, "Riley", "/v1/herd");
        let page: Value = serde_json::from_str(&page).unwrap();
        ["to", "from"].iter().all(|direction| page["neighbours"][0][direction]["state"] == "down")
    });
    let output = status(&lab, &["--json"], None);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), report["is_well"].as_bool()), (Some(1), Some(false)));
    let states: Vec<&str> = report["servers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|server| server["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["ready", "down", "not_asked"]);
    let table = text(&status(&lab, &[], None).stdout);
    for problem in ["\nRiley: the link to Jaquez is down\n", "\nJaquez: no answer from 127.0.0.1:"] {
        assert!(table.contains(problem), "{table}");
    }
    let wrong = status(&lab, &["Silent"], None);
    assert_eq!((wrong.status.code(), text(&wrong.stderr).contains("no server to ask")), (Some(2), true));
}

/// Section 8: with tokens and TLS, `herd status` needs a token that may operate, and accepts the certificate of the herd
/// file under any name.
#[test]
fn herd_status_works_with_tokens_and_tls() {
    let mut lab = lab(SOLO);
    let authority = Authority::new();
    authority.sign("herd.example.org").write(&lab.folder.path("web"), "web");
    lab.config["http"] =
        json!({ "tokens": "tokens.json", "certificate": "web/web.pem", "key": "web/web.key" });
    lab.write();
    let token = |name: &str, may: &str| {
        let made = herd().args(["token", name, "--may", may, "-c"]).arg(lab.file()).output().unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
        text(&made.stdout).lines().last().unwrap().trim().to_owned()
    };
    let (operator, reader) = (token("operator", "operate"), token("reader", "read:*"));
    lab.start("Solo");
    until("HTTP is served", || text(&status(&lab, &[], Some(&operator)).stdout).contains(" ready "));
    let output = status(&lab, &[], Some(&operator));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let output = status(&lab, &["--token", &operator], Some("wrong"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    for (token, expected) in [
        (None, "--token or HERD_TOKEN"),
        (Some("wrong"), "it does not know the token"),
        (Some(&*reader), "may not operate"),
    ] {
        let output = status(&lab, &[], token);
        let table = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{table}");
        assert!(table.contains(" ready ") && table.contains(expected), "{table}");
    }
    // Another certificate than that of the file.
    // The server goes on with the one that it has.
    authority.sign("herd.example.org").write(&lab.folder.path("web"), "web");
    let table = text(&status(&lab, &[], Some(&operator)).stdout);
    assert!(table.contains("Solo  down ") && table.to_lowercase().contains("certificate"), "{table}");
}
