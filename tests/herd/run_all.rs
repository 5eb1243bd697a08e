//! Tests of `herd run-all`: one process that starts all servers of a herd as its children.

use std::process::Stdio;

use crate::ask::{await_everywhere, iamat};
use crate::lab::{Lab, is_listening, until};
use crate::process::{Process, Signal, herd, is_running};
use crate::secrecy::KEY;

const THREE: &[(&str, &[&str])] = &[("Riley", &["Jaquez"]), ("Jaquez", &["Juzang"]), ("Juzang", &[])];

fn run_all(lab: &Lab) -> Process {
    let mut command = herd();
    command.arg("run-all").arg("-c").arg(lab.file()).env("PLACES_API_KEY", KEY);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut all = Process::start(&mut command, &lab.folder.name());
    until("every server is started", || all.children().len() >= THREE.len());
    lab.names().iter().for_each(|name| lab.await_listening(name));
    all
}

fn await_end_of_all(lab: &Lab, children: &[u32]) {
    for &child in children {
        until("no child is left", || !is_running(child, &lab.folder.name()));
    }
    for name in lab.names() {
        assert!(!is_listening(lab.port(name)), "{name} still listens");
    }
}

/// All servers of the herd run and are linked. Ctrl-C ends all of them, with status 0.
#[test]
fn control_c_ends_all_servers() {
    let lab = Lab::new(THREE);
    let mut all = run_all(&lab);
    let line = iamat(&lab, "Riley", "kiwi");
    await_everywhere(&lab, &lab.names(), "kiwi", &line);
    let children = all.children();
    all.signal(Signal::INT);
    assert_eq!(all.wait().code(), Some(0));
    await_end_of_all(&lab, &children);
}

/// When `run-all` is killed, its servers end, although it cannot stop them.
#[test]
fn servers_end_when_run_all_is_killed() {
    let lab = Lab::new(THREE);
    let mut all = run_all(&lab);
    let children = all.children();
    assert!(children.iter().all(|&child| is_running(child, &lab.folder.name())), "{children:?}");
    all.kill();
    await_end_of_all(&lab, &children);
}
