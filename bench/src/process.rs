//! Programs that the bench starts, and what the system knows about them.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

/// A program that ends when this value does, also by a panic, and when the bench is killed.
pub struct Process {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Where a program may run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the processor that the load generator does not use: alone, and measured alike in each run.
    OwnProcessor,
    /// Anywhere: for herds of several servers.
    Anywhere,
}

impl Process {
    /// Starts `program` in `folder` and waits until it accepts connections at `address`.
    pub fn start(
        program: &Path,
        arguments: &[String],
        environment: &[(&str, String)],
        place: Place,
        folder: &Path,
        address: SocketAddr,
    ) -> io::Result<Process> {
        let mut process = Process::spawn(program, arguments, environment, place, folder, address)?;
        let end = Instant::now() + START_MAX;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = process.child.try_wait()? {
                return Err(failed(program, &format!("ended at once with {status}"), folder));
            }
            if Instant::now() > end {
                return Err(failed(program, &format!("does not listen at {address}"), folder));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(process)
    }

    /// Starts it without waiting.
    pub fn spawn(
        program: &Path,
        arguments: &[String],
        environment: &[(&str, String)],
        place: Place,
        folder: &Path,
        address: SocketAddr,
    ) -> io::Result<Process> {
        let mut words: Vec<String> = Vec::new();
        if place == Place::OwnProcessor && processors() > 1 {
            words.extend(["taskset", "-c", "0"].map(str::to_owned));
        }
        // Both replace themselves by what they start, so the process is the program's own.
        words.extend(["setpriv", "--pdeathsig", "KILL"].map(str::to_owned));
        words.push(program.display().to_string());
        words.extend_from_slice(arguments);
        let output = fs::File::options().create(true).append(true).open(folder.join("output.txt"))?;
        let child = Command::new(&words[0])
            .args(&words[1..])
            .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| failed(program, &error.to_string(), folder))?;
        Ok(Process { child, address })
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn failed(program: &Path, why: &str, folder: &Path) -> io::Error {
    let said = fs::read_to_string(folder.join("output.txt")).unwrap_or_default();
    let last: Vec<_> = said.lines().rev().take(5).collect();
    io::Error::other(format!("{} {why}; it said: {last:?}", program.display()))
}

/// Processor time of a process and all its threads.
pub fn cpu_of(process: u32) -> Duration {
    cpu_in(Path::new(&format!("/proc/{process}/task")))
}

/// Processor time of the bench itself.
pub fn cpu_of_this_process() -> Duration {
    cpu_in(Path::new("/proc/self/task"))
}

fn cpu_in(tasks: &Path) -> Duration {
    let Ok(tasks) = fs::read_dir(tasks) else {
        return Duration::ZERO;
    };
    let nanoseconds = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok());
    Duration::from_nanos(nanoseconds.sum())
}

/// How many processors there are.
pub fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from).max(online_processors())
}

fn online_processors() -> usize {
    fs::read_to_string("/proc/cpuinfo")
        .map_or(1, |text| text.lines().filter(|line| line.starts_with("processor")).count())
}

/// Keeps the load generator on the last processor, away from a server that is measured alone.
pub fn stay_on_last_processor() {
    if processors() > 1 {
        let mut set = CpuSet::new();
        set.set(processors() - 1);
        let _ = sched_setaffinity(None, &set);
    }
}

/// Lets the bench, and what it starts, run anywhere.
pub fn run_anywhere() {
    let mut set = CpuSet::new();
    (0..processors()).for_each(|processor| set.set(processor));
    let _ = sched_setaffinity(None, &set);
}

/// An address on loopback at which nobody listens, below the ports that connections are given.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = (std::process::id() % 50) as u16 * 200;
    loop {
        let port = 20_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A folder for logs and herd files that is gone with this value.
pub struct Folder(PathBuf);

impl Folder {
    /// A new one.
    pub fn new() -> io::Result<Folder> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("herd-bench-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Forgets what was logged, so that long runs do not fill the disk. Who appends goes on at the beginning.
    pub fn empty_logs(&self) {
        for entry in fs::read_dir(self.0.join("logs")).into_iter().flatten().flatten() {
            let _ = fs::File::options().write(true).open(entry.path()).and_then(|file| file.set_len(0));
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How long a program may take until it listens. A Java program is compiled first.
const START_MAX: Duration = Duration::from_secs(30);
