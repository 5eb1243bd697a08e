//! Tests of `herd run-all`: one process that starts all servers of a herd as its children.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, kill_process};

use crate::ask::{await_everywhere, iamat};
use crate::lab::{Lab, is_listening, until};
use crate::process::{Process, Signal, herd, is_running};
use crate::secrecy::KEY;

const THREE: &[(&str, &[&str])] = &[("Riley", &["Jaquez"]), ("Jaquez", &["Juzang"]), ("Juzang", &[])];

fn run_all(lab: &Lab) -> Process {
    let mut command = herd();
    command.arg("run-all").arg("-c").arg(lab.file()).env("PLACES_API_KEY", KEY);
    command.stdin(Stdio::null()).stdout(fs::File::create(screen(lab)).unwrap()).stderr(Stdio::null());
    let mut all = Process::start(&mut command, &lab.folder.name());
    until("every server is started", || all.children().len() >= THREE.len());
    lab.names().iter().for_each(|name| lab.await_listening(name));
    all
}

/// The file to which `run-all` writes.
fn screen(lab: &Lab) -> PathBuf {
    lab.folder.path("screen")
}

fn shown(lab: &Lab) -> String {
    fs::read_to_string(screen(lab)).unwrap()
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

/// The screen has the banner, then a row for each thing that a person did or must know, and an end of one line.
/// The traffic between servers stays in the logs.
#[test]
fn the_screen_is_for_people() {
    let lab = Lab::new(THREE);
    let mut all = run_all(&lab);
    until("the banner is shown", || shown(&lab).contains("the logs have all of it.\n\n"));
    let banner = shown(&lab);
    assert!(banner.starts_with("The herd "), "{banner}");
    let line = iamat(&lab, "Riley", "kiwi");
    until("the flood is shown", || shown(&lab).contains('→'));
    let mut children = all.children();
    children.sort_unstable();
    // The servers are started in the order of the file.
    kill_process(Pid::from_raw(i32::try_from(children[2]).unwrap()).unwrap(), Signal::KILL).unwrap();
    until("the end of a server is shown", || {
        shown(&lab).contains("*** Juzang has ended (killed by signal 9)")
    });
    all.signal(Signal::INT);
    assert_eq!(all.wait().code(), Some(0));

    let screen = shown(&lab);
    let (_, rows) = screen.split_at(banner.len());
    let texts: Vec<&str> = rows.lines().map(|row| row.get(18..).unwrap_or(row)).collect();
    let statement = line.rsplit(' ').take(3).collect::<Vec<_>>();
    let command = format!("IAMAT {} {} {}", statement[2], statement[1], statement[0]);
    assert_eq!(&texts[..2], [command, format!("  {line}")], "{rows}");
    assert!(texts[2].starts_with("  → Jaquez"), "{rows}");
    // On a busy machine the second half of the flood can have a row of its own.
    assert!(rows.lines().count() <= 7, "{rows}");
    assert!(rows.ends_with(" has ended.\n"), "{rows}");
    for noise in ["HELLO", "WELCOME", "MARK", "ACK", "Connection", "\x1b"] {
        assert!(!screen.contains(noise), "{screen}");
    }
}
