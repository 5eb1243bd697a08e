//! Processes that end with the test that started them, also when it panics.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, kill_process, setrlimit};

pub use rustix::process::Signal;

use crate::lab::until;

/// The program under test.
pub fn herd() -> Command {
    let program =
        std::env::var_os("HERD_BIN").map_or_else(|| env!("CARGO_BIN_EXE_herd").into(), PathBuf::from);
    Command::new(program)
}

/// Held while a process is started: until it has become another program it has all sockets of this one,
/// and a port that another test has just found free and let go of is not free.
pub static FORKING: Mutex<()> = Mutex::new(());

/// A process of this test's own.
pub struct Process {
    child: Child,
    /// Processes that it started and that this test has seen: its end need not be theirs.
    children: Vec<u32>,
    /// What stands in the command line of each of them and of nobody else's.
    mark: String,
}

impl Process {
    /// `mark` is a text that stands in the command line of this process and of its children only, such
    /// as the path of a temporary folder.
    pub fn start(command: &mut Command, mark: &str) -> Process {
        let _forking = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Process { child, children: Vec::new(), mark: mark.to_owned() }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it without a chance to say anything, and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended already: then there is nothing to kill.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// The processes that it started and that have not ended.
    pub fn children(&mut self) -> Vec<u32> {
        let id = self.child.id();
        let text = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let children: Vec<u32> = text.split_whitespace().map(|id| id.parse().unwrap()).collect();
        self.children.extend(&children);
        children
    }

    /// Processor time that it has used.
    pub fn cpu_time(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name of the program, in parentheses, may hold spaces; what follows it may not.
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = [USER_TIME, SYSTEM_TIME].iter().map(|&at| fields[at].parse::<u64>().unwrap()).sum();
        TICK * u32::try_from(ticks).unwrap()
    }

    /// How many file descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// A number of `/proc/PID/status`: `Threads`, or `VmRSS` in KiB.
    pub fn status_number(&self, key: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
        line.trim_end_matches("kB").trim().parse().unwrap()
    }
}

/// Lets this process, and those that it starts from now on, have so many descriptors.
pub fn allow_descriptors(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.children();
        self.kill();
        for &child in &self.children {
            if is_running(child, &self.mark)
                && let Some(child) = i32::try_from(child).ok().and_then(Pid::from_raw)
            {
                let _ = kill_process(child, Signal::KILL);
            }
        }
    }
}

/// Whether this process runs and its command line holds the mark: the system gives the numbers of
/// processes that ended to others.
pub fn is_running(id: u32, mark: &str) -> bool {
    // The command line of one that has ended and was not waited for is empty.
    fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
}

/// Places in /proc/PID/stat, counted behind the name of the program.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;
/// USER_HZ is 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);
