//! Tests of resolvers that fail (docs/faults.md, row 32). They have a resolver of their own at 127.0.0.1, port 53, in a
//! network namespace that the first test makes. Where that is not possible, it says so and is skipped.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::json;

use crate::ask::TIME;
use crate::faults_certificates::{authority, certificate, places};
use crate::faults_places::{fails, near, with_timeout};
use crate::lab::Lab;

/// Runs [`within_the_namespace`].
#[test]
fn row_32_resolvers_that_fail() {
    let is_possible =
        |way: &&[&str]| within(way).args(["true"]).output().is_ok_and(|output| output.status.success());
    let Some(way) = WAYS.into_iter().find(is_possible) else {
        // Past the test harness, which would capture it.
        let _ = writeln!(std::io::stderr(), "faults_names is skipped: no network namespaces here");
        return;
    };
    let mut command = within(way);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "faults_names::within_the_namespace"]);
    command.env(WITHIN, "yes").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // When this process ends, however it does, the end of this pipe ends the other one.
    let alive = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(alive);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains(DONE), "{}\n{said}", output.status);
}

#[test]
#[ignore = "the other test runs it within a network namespace"]
fn within_the_namespace() {
    if std::env::var_os(WITHIN).is_none() {
        return;
    }
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
    resolver();
    a_name_with_a_thousand_addresses();
    a_resolver_that_does_not_answer();
    a_name_that_does_not_exist();
    println!("{DONE}");
}

/// Starts a server that asks a Places of this name, and that Places.
fn asking(host: &str) -> Lab {
    let ours = authority();
    let port = places(certificate(Some(&ours), host, false), false);
    with_timeout(5000, |lab| {
        std::fs::write(lab.folder.path("trusted.pem"), ours.pem()).unwrap();
        lab.config["places"]["url"] = json!(format!("https://{host}:{port}"));
        lab.config["places"]["trust"] = json!("trusted.pem");
    })
}

/// If one of them works, Places is reached. If none does, the answer comes at once: not each of them is tried.
fn a_name_with_a_thousand_addresses() {
    let lab = asking("many.example");
    assert_eq!(near(&lab, "+1+1")["status"], "OK");
    let mut lab = asking("useless.example");
    let descriptors = lab.process("Solo").descriptors();
    for _ in 0..4 {
        fails(&lab, "+1+1", "no connection can be made");
    }
    assert!(
        lab.process("Solo").descriptors() <= descriptors + 1,
        "one is that of the lookup's lane, at most"
    );
}

/// It takes 30 s. The question is over before, others are served meanwhile, and the server ends in order.
fn a_resolver_that_does_not_answer() {
    let mut lab = asking("slow.example");
    let mut client = lab.connect("Solo");
    client.ask(&format!("IAMAT kiwi +1+1 {TIME}"));
    client.send("WHATSAT kiwi 10 1\n");
    for _ in 0..100 {
        assert_eq!(lab.connect("Solo").ask("PING"), "? PING");
    }
    assert!(client.is_quiet());
    let message = client.whats_at().1["error_message"].to_string();
    assert!(message.contains("no answer within 5s"), "{message}");
    fails(&lab, "+1+1", "no answer within 5s");
    lab.signal("Solo", crate::process::Signal::TERM);
    assert!(lab.process("Solo").wait().success());
}

fn a_name_that_does_not_exist() {
    let lab = asking("gone.example");
    fails(&lab, "+1+1", "its name cannot be looked up");
}

/// A shell command within new namespaces for networks and mounts, where only [`resolver`] answers.
fn within(way: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount"]).args(way).args(["sh", "-ec", SETUP, "sh"]);
    command
}

/// Starts a DNS server (RFC 1035) for the names of these tests. A long answer goes over TCP.
fn resolver() {
    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 53)).unwrap();
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = datagrams.recv_from(&mut query) {
            if let Some(answer) = answer(&query[..length]) {
                let mut short = answer;
                if short.len() > 512 {
                    short.truncate(length);
                    // TC, and no records.
                    short[2] |= 2;
                    short[6..8].fill(0);
                }
                let _ = datagrams.send_to(&short, from);
            }
        }
    });
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut query).unwrap();
                    let answer = answer(&query).unwrap();
                    stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
                    stream.write_all(&answer).unwrap();
                }
            });
        }
    });
}

/// The answer to a query, in the form for TCP; `None`: there is none.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let is_about = |name: &str| memchr::memmem::find(query, name.as_bytes()).is_some();
    let asks_for_ipv4 = query.ends_with(&[0, 1, 0, 1]);
    if is_about("slow") {
        return None;
    }
    // Nothing listens at any of these.
    let useless = (0..999_u16).map(|number| [127, 7, (number >> 8) as u8, number as u8]);
    let last = if is_about("many") { Ipv4Addr::LOCALHOST.octets() } else { [127, 8, 0, 1] };
    let addresses: Vec<[u8; 4]> = match asks_for_ipv4 && !is_about("gone") {
        true => useless.chain([last]).collect(),
        false => Vec::new(),
    };
    let mut answer = query.to_vec();
    let name_error = if is_about("gone") { 3 } else { 0 };
    answer[2..4].copy_from_slice(&[0x81, 0x80 | name_error]);
    answer[6..8].copy_from_slice(&u16::try_from(addresses.len()).unwrap().to_be_bytes());
    for address in addresses {
        // The name of the question, A, IN, 60 s, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address);
    }
    Some(answer)
}

/// As root, and as a user who may make a user namespace.
const WAYS: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];

const SETUP: &str = "ip link set lo up
    mount -t tmpfs tmpfs /mnt
    echo 'nameserver 127.0.0.1' > /mnt/resolv.conf
    echo 'options timeout:30 attempts:1' >> /mnt/resolv.conf
    echo 'hosts: files dns' > /mnt/nsswitch.conf
    for file in resolv.conf nsswitch.conf; do mount --bind /mnt/$file /etc/$file; done
    exec \"$@\"";

/// The environment variable of the process within the namespace.
const WITHIN: &str = "HERD_WITHIN_A_NETWORK_NAMESPACE";

/// Printed at the end of the test within the namespace.
const DONE: &str = "all resolvers have failed";
