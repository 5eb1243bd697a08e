//! A herd on several machines, which are network namespaces: the test runs the commands of docs/operating.md as they
//! stand there, and beside that cuts a host off, listens to the network, and comes as a stranger.
//!
//! The first test makes namespaces for users, mounts, processes and networks, and runs the second one within them. The
//! kernel removes all of it when that process ends, in whatever way: the networks, the files, and the processes.
//! Where this is not possible, the test says so and is skipped.

mod hosts;
mod page;
mod sniffer;

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};

use hosts::{Hosts, until};
use page::Page;
use sniffer::Sniffer;

#[test]
fn a_herd_on_several_hosts_works_as_the_page_says() {
    let Some(way) = WAYS.into_iter().find(|way| probe(way).is_ok()) else {
        return skip(&probe(WAYS[0]).unwrap_err());
    };
    let mut command = unshare(way);
    // As process 1 the shell collects the processes whose parents have ended.
    command.args(["sh", "-c", "\"$0\" \"$@\"; exit $?"]).arg(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "within_the_namespaces", "--nocapture"]).env(WITHIN, "yes");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // When this process ends, however it does, the end of this pipe ends the other one.
    let alive = child.stdin.take();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    drop(alive);
    let said = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
    assert!(status.success() && said.contains(DONE), "{status}\n{said}");
}

#[test]
#[ignore = "the other test runs it within namespaces"]
fn within_the_namespaces() {
    if std::env::var_os(WITHIN).is_none() {
        return;
    }
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
    let mut hosts = Hosts::make(&[
        (OPERATOR, "192.0.2.1"),
        ("Riley", "192.0.2.11"),
        ("Jaquez", "192.0.2.12"),
        ("Juzang", "192.0.2.13"),
        ("Campbell", "192.0.2.14"),
        (STRANGER, "192.0.2.66"),
    ]);
    let sniffer = Sniffer::start();
    let mut page = Page::read("docs/operating.md");
    let mut follow =
        |hosts: &Hosts, title: &str| page.follow(title, &mut |text| hosts.run(OPERATOR, text), hosts);

    follow(&hosts, "The herd file");
    follow(&hosts, "Make the keys");
    hosts.run(OPERATOR, "cp -rp run/keys keys-of-before").unwrap();
    follow(&hosts, "Give each host its keys");
    for name in THREE {
        let files = hosts.run(name, "ls -A herd/run/keys").unwrap();
        assert_eq!(files, format!("{name}.key\n{name}.pem\nherd-ca.pem\n"), "and no other key");
    }
    follow(&hosts, "The firewall");
    follow(&hosts, "Start the servers");
    hosts.await_agreement(&THREE, "kiwi");
    the_network_sees_no_location(&hosts, &sniffer);
    for text in ["HELLO", "WELCOME", "MARK", "ACK", "campus"] {
        assert!(!sniffer.sees(PEERS, text.as_bytes()), "{text} is seen between servers");
    }
    strangers_are_refused(&hosts);
    a_host_is_cut_off(&hosts);

    let dropped = dropped_links(&hosts, "Riley");
    follow(&hosts, "Renew keys");
    assert_eq!(
        hosts.shown_serial("192.0.2.11:12326"),
        hosts.serial("Riley"),
        "Riley shows its new certificate"
    );
    assert_eq!(dropped_links(&hosts, "Riley"), dropped, "the links stay");

    let mut reads = Reads::of(&hosts);
    follow(&hosts, "Replace the authority");
    reads.await_one_more(&hosts);
    let dropped: Vec<usize> = THREE.iter().map(|name| dropped_links(&hosts, name)).collect();
    follow(&hosts, "Second, renew the keys of all servers");
    reads.await_one_more(&hosts);
    assert_eq!(
        THREE.iter().map(|name| dropped_links(&hosts, name)).collect::<Vec<_>>(),
        dropped,
        "the links stay"
    );
    follow(&hosts, "Third, remove the old authority");
    reads.await_one_more(&hosts);
    hosts.report("Juzang", "pear", "+5+5");
    hosts.await_agreement(&THREE, "pear");
    assert!(dropped_links(&hosts, "Riley") > dropped[0], "links of old certificates have ended");
    refused_by_tls(&hosts, "keys-of-before", "its certificate is of no authority in herd-ca.pem");

    follow(&hosts, "Add a server");
    hosts.report("Campbell", "lime", "+6+6");
    hosts.await_agreement(&FOUR, "lime");
    follow(&hosts, "Restart a server");
    assert_eq!(hosts.log("Jaquez").matches(" Jaquez ends\n").count(), 1, "in order");
    for id in ["kiwi", "pear", "lime"] {
        hosts.await_agreement(&FOUR, id);
    }
    for name in FOUR {
        assert_eq!(hosts.run(name, "cat herd/serve.out").unwrap(), "", "standard error of {name}");
    }
    the_network_sees_no_location(&hosts, &sniffer);
    page.assert_followed();
    hosts.succeeded();
    println!("{DONE}");
}

/// What clients send in plain text is seen, so that the sniffer works. Of links it sees TLS, and nothing else.
fn the_network_sees_no_location(hosts: &Hosts, sniffer: &Sniffer) {
    let before = sniffer.encrypted("192.0.2.11", PEERS);
    hosts.run(OPERATOR, "herd send Riley 'IAMAT quince +12.3456-78.9012 now'").unwrap();
    hosts.await_agreement(&THREE, "quince");
    until("the sniffer sees the report of the client", || sniffer.sees(CLIENTS, b"+12.3456-78.9012"));
    until("the sniffer sees the flood", || sniffer.encrypted("192.0.2.11", PEERS) > before);
    for text in ["12.3456", "34.0689", "quince", "kiwi", "AT Riley"] {
        assert!(!sniffer.sees(PEERS, text.as_bytes()), "{text} is seen between servers");
    }
}

/// The firewall drops what comes from other hosts. A host of the herd that has no keys is refused by the server.
fn strangers_are_refused(hosts: &Hosts) {
    let rules_in_use = || {
        let rules = hosts.run("Riley", "nft list chain inet herd input").unwrap();
        2 - rules.matches("counter packets 0 bytes 0 drop").count()
    };
    assert_eq!(rules_in_use(), 0);
    assert!(hosts.connect(STRANGER, "192.0.2.11:12336").is_err(), "the firewall drops it");
    assert_eq!(rules_in_use(), 1);

    let hello = "HELLO herd/1 campus Jaquez 0123456789abcdef\n";
    for (from, port) in [(STRANGER, CLIENTS), ("Juzang", PEERS)] {
        let mut stream = hosts.connect(from, &format!("192.0.2.11:{port}")).unwrap();
        stream.write_all(hello.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("REFUSED ") && reply.lines().count() == 1, "{reply}");
    }
    let seen = |text: &str| until(&format!("Riley logs: {text}"), || hosts.log("Riley").contains(text));
    seen("A HELLO from (192.0.2.66, ");
    seen("A HELLO from (192.0.2.13, ");
    hosts.try_tls("Juzang", "");
    seen("showed no certificate of a neighbour");
    hosts.run(OPERATOR, "mkdir other && cp herd.json other && cd other && herd keys").unwrap();
    refused_by_tls(hosts, "other/run/keys", "its certificate is of no authority in herd-ca.pem");
    assert!(!hosts.log("Riley").contains("server Jaquez was dropped"), "the links are untouched");
}

/// The port of neighbours refuses the certificate of Jaquez in this folder of the operator's machine.
fn refused_by_tls(hosts: &Hosts, folder: &str, why: &str) {
    let count = || hosts.log("Riley").matches(why).count();
    let before = count();
    hosts.run(OPERATOR, &format!("scp -p {folder}/Jaquez.pem {folder}/Jaquez.key Juzang:")).unwrap();
    hosts.try_tls("Juzang", "-cert Jaquez.pem -key Jaquez.key");
    until(&format!("Riley logs once more: {why}"), || count() > before);
}

/// All packets of Juzang are dropped, by nftables, until both sides have lost their links; then none.
fn a_host_is_cut_off(hosts: &Hosts) {
    let links = |name: &str, other: &str| {
        let log = hosts.log(name);
        let count = |text: String| log.matches(&text).count();
        (
            count(format!("New connection to server {other} was made")),
            count(format!("to server {other} was dropped")),
        )
    };
    let pairs = [("Riley", "Juzang"), ("Jaquez", "Juzang"), ("Juzang", "Riley"), ("Juzang", "Jaquez")];
    let before = pairs.map(|(name, other)| links(name, other));
    let cut = "table inet cut {
        chain in { type filter hook input priority -10; iifname != lo drop; }
        chain out { type filter hook output priority -10; oifname != lo drop; }
    }";
    hosts.run("Juzang", &format!("echo '{cut}' | nft -f -")).unwrap();
    for ((name, other), before) in pairs.into_iter().zip(before) {
        until(&format!("{name} has lost {other}"), || links(name, other).1 > before.1);
    }
    // The same clients on both sides: the newer statement wins, wherever it was made.
    hosts.report("Riley", "grape", "+1+1");
    hosts.report("Juzang", "grape", "+2+2");
    hosts.report("Juzang", "plum", "+3+3");
    hosts.report("Riley", "plum", "+4+4");
    hosts.report("Juzang", "fig", "+5+5");
    assert_eq!(hosts.stored("Riley", "fig"), None, "Juzang is cut off");
    assert_ne!(hosts.stored("Riley", "grape"), hosts.stored("Juzang", "grape"));
    hosts.run("Juzang", "nft delete table inet cut").unwrap();
    for (id, location) in [("grape", "+2+2"), ("plum", "+4+4"), ("fig", "+5+5")] {
        let line = hosts.await_agreement(&THREE, id);
        assert!(line.contains(&format!(" {id} {location} ")), "{line}");
    }
    for ((name, other), before) in pairs.into_iter().zip(before) {
        until(&format!("{name} has {other} again"), || links(name, other).0 > before.0);
    }
}

fn dropped_links(hosts: &Hosts, name: &str) -> usize {
    hosts.log(name).lines().filter(|line| line.contains(" server ") && line.ends_with(" was dropped")).count()
}

/// How often each server has read its keys again.
struct Reads([usize; 3]);

impl Reads {
    fn of(hosts: &Hosts) -> Reads {
        Reads(THREE.map(|name| hosts.log(name).matches(" has read its settings and keys again").count()))
    }

    fn await_one_more(&mut self, hosts: &Hosts) {
        let expected = self.0.map(|count| count + 1);
        until("all servers have read their keys again", || Reads::of(hosts).0 == expected);
        self.0 = expected;
    }
}

/// Whether namespaces can be made in this way, with all that the test needs in them. The error says why not.
fn probe(way: &[&str]) -> Result<(), String> {
    let mut command = unshare(way);
    command.args(["sh", "-ec", PROBE]).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("unshare cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(said.lines().last().unwrap_or("unshare failed").to_owned())
}

fn unshare(way: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]).args(way);
    command
}

/// Says it on standard error itself, which the test harness does not capture.
fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "tests/namespaces is skipped: no network namespaces here: {why}");
}

/// As root, and as a user who may make a user namespace.
const WAYS: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];

const PROBE: &str = "mount -t tmpfs tmpfs /run
    ip netns add probe
    ip link add bridge0 type bridge
    ip link add veth0 type veth peer name eth0 netns probe
    nsenter --net=/run/netns/probe nft add table inet probe
    openssl version";

/// The environment variable that the process within the namespaces has.
const WITHIN: &str = "HERD_WITHIN_NAMESPACES";

/// Printed at the end of the test within the namespaces.
const DONE: &str = "the page was followed to its end";

const THREE: [&str; 3] = ["Riley", "Jaquez", "Juzang"];
const FOUR: [&str; 4] = ["Riley", "Jaquez", "Juzang", "Campbell"];

/// The machine on which the commands of the page are run.
const OPERATOR: &str = "operator";
/// A machine that is not of the herd.
const STRANGER: &str = "stranger";

/// The port of clients, and that of neighbours, of all servers.
const CLIENTS: u16 = 12326;
const PEERS: u16 = 12336;
