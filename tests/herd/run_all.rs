//! `herd run-all`: the whole herd as one process and its children.

use std::process::Stdio;

use crate::ask::{everyone, iamat};
use crate::lab::{Lab, is_listening, until};
use crate::process::{Process, Signal, herd, is_running};
use crate::secrecy::KEY;

const THREE: &[(&str, &[&str])] = &[("Riley", &["Jaquez"]), ("Jaquez", &["Juzang"]), ("Juzang", &[])];

fn run_all(lab: &Lab) -> Process {
    let mut command = herd();
    command.arg("run-all").arg("-c").arg(lab.file()).env("PLACES_API_KEY", KEY);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut all = Process::start(&mut command, &lab.folder.name());
    until("every server has been started", || all.children().len() >= THREE.len());
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

/// Every server of the herd runs, and they talk to each other. Ctrl-C ends all of them, with status 0.
#[test]
fn control_c_ends_all() {
    let lab = Lab::new(THREE);
    let mut all = run_all(&lab);
    let line = iamat(&lab, "Riley", "kiwi");
    everyone(&lab, &lab.names(), "kiwi", &line);
    let children = all.children();
    all.signal(Signal::INT);
    assert_eq!(all.wait().code(), Some(0));
    await_end_of_all(&lab, &children);
}

/// No server outlives it, even if it has no time to end them.
#[test]
fn servers_end_with_a_run_all_that_is_killed() {
    let lab = Lab::new(THREE);
    let mut all = run_all(&lab);
    let children = all.children();
    assert!(children.iter().all(|&child| is_running(child, &lab.folder.name())), "{children:?}");
    all.kill();
    await_end_of_all(&lab, &children);
}
