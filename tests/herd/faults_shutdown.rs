//! Tests of logs that cannot be written, and of shutdown and kills under load (docs/faults.md, rows 33, 34,
//! 37, 38).

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};

use crate::ask::{UCLA, await_everywhere, iamat, stored_line};
use crate::client::Client;
use crate::fake_places::{Play, nearby};
use crate::lab::{Lab, SOLO, until};
use crate::process::Signal;

/// When a full disk has room again, the log is written again, beginning with the number of lost lines.
#[test]
fn row_33_full_disk_that_has_room_again() {
    let mut lab = Lab::new(SOLO);
    let log = lab.folder.path("logs/Solo.log");
    fs::create_dir(lab.folder.path("logs")).unwrap();
    symlink("/dev/full", &log).unwrap();
    lab.start_all();
    let mut client = lab.connect("Solo");
    assert_eq!(client.ask("LOST"), "? LOST");
    until("Solo reports the failure", || lab.output("Solo").contains("Solo.log cannot be written"));
    fs::remove_file(&log).unwrap();
    until("the log is written again", || {
        assert_eq!(client.ask("WRITTEN"), "? WRITTEN");
        lab.log("Solo").contains("received 'WRITTEN'")
    });
    assert!(lab.log("Solo").starts_with('('), "{}", lab.log("Solo"));
    assert!(lab.log("Solo").contains(" lines of this log could not be written and are lost)\n"));
    assert_eq!(lab.output("Solo").lines().count(), 1, "{}", lab.output("Solo"));
}

/// A log at the file size limit does not stop the server.
#[test]
fn row_33_log_at_the_file_size_limit() {
    let mut lab = Lab::new(SOLO);
    // Blocks of 512 bytes.
    lab.start_after("ulimit -f 8", "Solo");
    let mut client = lab.connect("Solo");
    for n in 0..200 {
        assert_eq!(client.ask(&format!("{n} {UCLA}")), format!("? {n} {UCLA}"));
    }
    until("Solo reports the failure", || lab.output("Solo").contains("Solo.log cannot be written"));
    assert_eq!(client.ask("PING"), "? PING");
}

/// A server serves on when neither its log nor standard error can be written, as on a full disk, and when it
/// must report an invalid herd file.
#[test]
fn row_33_log_and_standard_error_on_a_full_disk() {
    let mut lab = Lab::new(SOLO);
    fs::create_dir(lab.folder.path("logs")).unwrap();
    symlink("/dev/full", lab.folder.path("logs/Solo.log")).unwrap();
    lab.start_after("exec 2>/dev/full", "Solo");
    let mut client = lab.connect("Solo");
    assert_eq!(client.ask("PING"), "? PING");
    fs::write(lab.file(), "{").unwrap();
    lab.signal("Solo", Signal::HUP);
    // The signal is handled in the turn that accepts this connection, or before.
    iamat(&lab, "Solo", "kiwi");
    assert_eq!(client.ask("STILL HERE"), "? STILL HERE");
    lab.signal("Solo", Signal::TERM);
    assert_eq!(lab.process("Solo").wait().code(), Some(0));
}

/// A deleted log is created again on SIGHUP. Lines written before that are lost.
#[test]
fn row_34_deleted_log() {
    let mut lab = Lab::running(SOLO);
    let mut client = lab.connect("Solo");
    client.ask("BEFORE");
    lab.await_log("Solo", "BEFORE");
    fs::remove_file(lab.folder.path("logs/Solo.log")).unwrap();
    assert_eq!(client.ask("MEANWHILE"), "? MEANWHILE");
    lab.signal("Solo", Signal::HUP);
    until("there is a new log", || lab.folder.path("logs/Solo.log").exists());
    client.ask("AFTER");
    lab.await_log("Solo", "AFTER");
    assert!(!lab.log("Solo").contains("MEANWHILE"));
}

/// A log that is a FIFO does not stop the server, neither without a reader nor with a slow one.
#[test]
fn row_34_log_that_is_a_fifo() {
    let mut lab = Lab::new(SOLO);
    let log = lab.folder.path("logs/Solo.log");
    fs::create_dir(lab.folder.path("logs")).unwrap();
    mknodat(CWD, &log, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    lab.start_all();
    let mut client = lab.connect("Solo");
    assert_eq!(client.ask("UNREAD"), "? UNREAD");
    until("Solo reports the failure", || lab.output("Solo").contains("Solo.log cannot be written"));
    let reader = open(&log, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    lab.signal("Solo", Signal::HUP);
    // Many times the capacity of a FIFO.
    for n in 0..200 {
        let long = format!("{n} {}", "x".repeat(4000));
        assert_eq!(client.ask(&long), format!("? {long}"));
    }
    let mut lines = [0; 4096];
    assert!(fs::File::from(reader).read(&mut lines).unwrap() > 0);
}

/// SIGTERM under load, with pending questions to Places: all replies are complete and in order, and the
/// server ends within its grace period with status 0. A second signal ends it at once.
#[test]
fn row_37_shutdown_under_load() {
    for signals in [1, 2] {
        let mut lab = Lab::alone(SOLO);
        lab.start_all();
        iamat(&lab, "Solo", "kiwi");
        lab.places.on(UCLA, Play::WhenReleased(nearby(1)));
        let mut waiting = lab.connect("Solo");
        waiting.send(&"WHATSAT kiwi 10 1\n".repeat(10));
        lab.places.await_question(UCLA);
        let port = lab.port("Solo");
        let clients: Vec<_> =
            (0..4).map(|number| thread::spawn(move || ask_until_closed(port, number))).collect();
        for number in 0..4 {
            let of_this = format!("received 'IAMAT load-{number} ");
            until("each client is served", || lab.log("Solo").matches(&of_this).count() > 10);
        }
        let began = Instant::now();
        for signal in [Signal::TERM, Signal::INT].into_iter().take(signals) {
            lab.signal("Solo", signal);
        }
        assert_eq!(lab.process("Solo").wait().code(), Some(0));
        assert!(began.elapsed() < SHUTDOWN_MAX, "{:?}", began.elapsed());
        for client in clients {
            assert!(client.join().unwrap() >= 10);
        }
        let answered = waiting.everything();
        assert!(signals == 2 || answered.matches("UNKNOWN_ERROR").count() == 10, "{answered}");
    }
}

/// Sends IAMATs until the server closes, and checks their replies. Returns the number of replies.
fn ask_until_closed(port: u16, number: usize) -> usize {
    let mut client = Client::connect(port);
    let mut replies = Vec::new();
    for time in 0.. {
        if !client.try_send(format!("IAMAT load-{number} {UCLA} {time}\n").as_bytes())
            || !client.is_answered()
        {
            replies = client.every_byte();
            break;
        }
    }
    let replies = String::from_utf8(replies).unwrap();
    assert!(replies.is_empty() || replies.ends_with('\n'), "half a reply: {replies}");
    for (time, reply) in replies.lines().enumerate() {
        assert!(reply.ends_with(&format!(" load-{number} {UCLA} {time}")), "{time}: {reply}");
    }
    replies.lines().count()
}

/// A server is killed and restarted again and again while clients report to the other servers. No statement
/// that a running server has answered is lost, and the port is free at once.
fn kills_under_load(kills: usize) {
    let mut lab = Lab::new(&[("Left", &["Middle"]), ("Middle", &["Right"]), ("Right", &["Left"])]);
    lab.start_all();
    let ending = AtomicBool::new(false);
    let ports = ["Left", "Right"].map(|name| lab.port(name));
    let answered: Vec<(String, String)> = thread::scope(|scope| {
        let load = ports.map(|port| {
            let ending = &ending;
            scope.spawn(move || {
                let mut client = Client::connect(port);
                let mut answered = Vec::new();
                while !ending.load(Ordering::SeqCst) {
                    let id = format!("client-{port}-{}", answered.len());
                    let line = client.ask(&format!("IAMAT {id} {UCLA} 5"));
                    answered.push((id, line));
                    thread::sleep(Duration::from_millis(1));
                }
                answered
            })
        });
        for _ in 0..kills {
            lab.kill("Middle");
            lab.start("Middle");
            let line = iamat(&lab, "Middle", "of-middle");
            assert!(line.starts_with("AT Middle "));
        }
        ending.store(true, Ordering::SeqCst);
        load.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let last = iamat(&lab, "Middle", "last");
    await_everywhere(&lab, &lab.names(), "last", &last);
    assert!(answered.len() > kills);
    for server in lab.names() {
        let (id, line) = answered.last().unwrap();
        until(&format!("{server} has the line of {id}"), || {
            stored_line(&lab, server, id).as_ref() == Some(line)
        });
        let mut client = lab.connect(server);
        let questions: String = answered.iter().map(|(id, _)| format!("WHATSAT {id} 1 0\n")).collect();
        client.send(&questions);
        for (_, line) in &answered {
            assert_eq!(client.whats_at().0, *line);
        }
    }
}

#[test]
fn row_38_kill_and_restart_ten_times_under_load() {
    kills_under_load(10);
}

#[test]
#[ignore = "takes long; `make measure-faults` runs it"]
fn row_38_kill_and_restart_a_hundred_times_under_load() {
    kills_under_load(100);
}

/// The grace period of 300 ms, and some time for a busy machine.
const SHUTDOWN_MAX: Duration = Duration::from_millis(800);
