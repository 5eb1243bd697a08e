//! Child processes of a test. They are killed when the test ends, also when it panics.

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

/// Locked while a process is started. Between fork and exec the child has copies of all sockets of this
/// process, among them those with which [`crate::lab::free_port`] tries ports.
pub static FORKING: Mutex<()> = Mutex::new(());

/// A child process.
pub struct Process {
    child: Child,
    /// The children of the process that [`Process::children`] has seen. They may outlive it.
    children: Vec<u32>,
    /// A text in the command lines of the process and its children, and in no other.
    mark: String,
}

impl Process {
    /// Starts a process. `mark` must be a text in the command lines of the process and its children, and in
    /// no other, such as the path of a temporary folder.
    pub fn start(command: &mut Command, mark: &str) -> Process {
        let _forking = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Process { child, children: Vec::new(), mark: mark.to_owned() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills the process by SIGKILL and waits for its end.
    pub fn kill(&mut self) {
        // Fails if the process has ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// The running children of the process.
    pub fn children(&mut self) -> Vec<u32> {
        let id = self.child.id();
        let text = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let children: Vec<u32> = text.split_whitespace().map(|id| id.parse().unwrap()).collect();
        self.children.extend(&children);
        children
    }

    /// The command line of the process, as every user of the machine sees it.
    pub fn command_line(&self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.child.id())).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The processor time that the process has used.
    pub fn cpu_time(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name of the program, in parentheses, may contain spaces.
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = [USER_TIME, SYSTEM_TIME].iter().map(|&at| fields[at].parse::<u64>().unwrap()).sum();
        TICK * u32::try_from(ticks).unwrap()
    }

    /// The number of open file descriptors, without that of the log, which a thread of its own opens at some
    /// time.
    pub fn descriptors(&self) -> usize {
        let is_log = |link: PathBuf| link.extension().is_some_and(|extension| extension == "log");
        let links = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        links.flatten().filter(|entry| !fs::read_link(entry.path()).is_ok_and(is_log)).count()
    }

    /// A number of `/proc/PID/status`: `Threads`, or `VmRSS` in KiB.
    pub fn status_number(&self, key: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
        line.trim_end_matches("kB").trim().parse().unwrap()
    }
}

/// Raises the limit of file descriptors of this process, and of processes that it starts from now on.
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

/// Whether the process `id` runs and has the mark in its command line. The system reuses the ids of ended
/// processes.
pub fn is_running(id: u32, mark: &str) -> bool {
    // The command line of a zombie is empty.
    fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
}

/// Indices of fields in /proc/PID/stat, from 0, after the name of the program.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;
/// The unit of these fields: USER_HZ is 100 on Linux.
const TICK: Duration = Duration::from_millis(10);
