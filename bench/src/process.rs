//! The processes that the bench starts, and their processor time and memory.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, gettid, sched_setaffinity};

/// A child process. It is killed when the value is dropped, and when the bench is killed.
pub struct Process {
    child: Child,
    /// The address that the program listens on.
    pub address: SocketAddr,
}

/// The processors that a program may use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// The processor that the load generator does not use, for reproducible measurements of one server.
    OwnProcessor,
    /// The first two processors, for a server whose log is written by another thread.
    TwoProcessors,
    /// All processors, for herds of several servers.
    Anywhere,
}

/// The end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By SIGTERM: the process can write what it has to.
    InOrder,
    /// By SIGKILL.
    Killed,
}

impl Process {
    /// Starts `program` in `folder` and waits until it accepts connections at `address`.
    pub fn start(
        program: &Path,
        arguments: &[String],
        environment: &[(&str, String)],
        affinity: Affinity,
        folder: &Path,
        address: SocketAddr,
    ) -> io::Result<Process> {
        let mut process = Process::spawn(program, arguments, environment, affinity, folder, address)?;
        let end = Instant::now() + START_MAX;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = process.child.try_wait()? {
                return Err(failed(program, &format!("has ended at once with {status}"), folder));
            }
            if Instant::now() > end {
                return Err(failed(program, &format!("does not listen on {address}"), folder));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(process)
    }

    /// Starts `program` without waiting for it.
    pub fn spawn(
        program: &Path,
        arguments: &[String],
        environment: &[(&str, String)],
        affinity: Affinity,
        folder: &Path,
        address: SocketAddr,
    ) -> io::Result<Process> {
        let mut words: Vec<String> = Vec::new();
        let own = match affinity {
            Affinity::OwnProcessor => Some("0"),
            Affinity::TwoProcessors => Some("0,1"),
            Affinity::Anywhere => None,
        };
        if let Some(own) = own.filter(|_| processors() > 1) {
            words.extend(["taskset", "-c", own].map(str::to_owned));
        }
        // Both programs exec the next one, so that the process ID is that of `program`.
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

    /// The process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process and waits for it.
    pub fn end(&mut self, end: End) -> io::Result<()> {
        match end {
            End::InOrder => kill_process(Pid::from_child(&self.child), Signal::TERM)?,
            End::Killed => self.child.kill()?,
        }
        let patience = Instant::now() + END_MAX;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > patience {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "a server does not end"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// The resident memory in bytes.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most resident memory so far, in bytes.
    pub fn memory_max(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn failed(program: &Path, reason: &str, folder: &Path) -> io::Error {
    let output = fs::read_to_string(folder.join("output.txt")).unwrap_or_default();
    let last: Vec<_> = output.lines().rev().take(5).collect();
    io::Error::other(format!("{} {reason}; its last output: {last:?}", program.display()))
}

/// The processor time of all threads of a process.
pub fn cpu_of(process: u32) -> Duration {
    cpu_in(Path::new(&format!("/proc/{process}/task")))
}

/// The processor time of the bench.
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

/// The number of processors.
pub fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from).max(online_processors())
}

fn online_processors() -> usize {
    fs::read_to_string("/proc/cpuinfo")
        .map_or(1, |text| text.lines().filter(|line| line.starts_with("processor")).count())
}

/// Pins the load generator to the last processor, away from a single server.
pub fn stay_on_last_processor() {
    if processors() > 1 {
        let mut set = CpuSet::new();
        set.set(processors() - 1);
        let _ = sched_setaffinity(None, &set);
    }
}

/// Lets the bench, and processes that it starts, use all processors.
pub fn run_anywhere() {
    let mut set = CpuSet::new();
    (0..processors()).for_each(|processor| set.set(processor));
    let _ = sched_setaffinity(None, &set);
}

/// Has the calling thread run only while no other thread wants its processor.
pub fn run_when_idle() -> io::Result<()> {
    let thread = gettid().as_raw_nonzero().to_string();
    let done = Command::new("chrt").args(["--idle", "--pid", "0", &thread]).output()?;
    if !done.status.success() {
        let reason = String::from_utf8_lossy(&done.stderr);
        return Err(io::Error::other(format!("chrt --idle --pid 0 {thread}: {}", reason.trim())));
    }
    Ok(())
}

/// A free loopback address, with a port below the system's ephemeral ports.
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

/// A temporary folder for logs and herd files. It is removed when the value is dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// Creates a folder.
    pub fn new() -> io::Result<Folder> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("herd-bench-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The bytes that its files take on the disk, reserved room included.
    pub fn bytes_on_disk(&self) -> u64 {
        bytes_on_disk(&self.0)
    }

    /// Waits until its files have not changed their size for a while, as when a program rewrites them in the
    /// background. Returns the size.
    pub fn until_settled(&self) -> io::Result<u64> {
        let end = Instant::now() + SETTLED_MAX;
        let (mut bytes, mut changed) = (0, Instant::now());
        while changed.elapsed() < SETTLED_AFTER {
            let now = self.bytes_on_disk();
            if now != bytes {
                (bytes, changed) = (now, Instant::now());
            }
            if Instant::now() > end {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the files of a server grow without end",
                ));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(bytes)
    }

    /// Truncates all logs, so that long runs do not fill the disk. Servers append, so they continue at the
    /// start.
    pub fn empty_logs(&self) {
        for entry in fs::read_dir(self.0.join("logs")).into_iter().flatten().flatten() {
            // A FIFO without a reader would block.
            if entry.metadata().is_ok_and(|about| about.is_file()) {
                let _ = fs::File::options().write(true).open(entry.path()).and_then(|file| file.set_len(0));
            }
        }
    }
}

fn bytes_on_disk(folder: &Path) -> u64 {
    // A file may be removed meanwhile.
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_on_disk(&entry.path()),
        Ok(about) => about.blocks() * BLOCK,
        Err(_) => 0,
    };
    fs::read_dir(folder).into_iter().flatten().flatten().map(bytes).sum()
}

/// Fails if temporary folders are in memory, where everything that waits for a disk would be too fast.
pub fn check_disk() -> io::Result<()> {
    let folder = std::env::temp_dir();
    if rustix::fs::statfs(&folder)?.f_type as u32 != TMPFS {
        return Ok(());
    }
    let folder = folder.display();
    Err(io::Error::other(format!("{folder} is in memory (tmpfs): set TMPDIR to a folder on a disk")))
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The bound until a program listens. A Java program is compiled first.
const START_MAX: Duration = Duration::from_secs(30);
/// The bound until a program has ended in order. It may have gigabytes to write.
const END_MAX: Duration = Duration::from_secs(60);
/// The time without change after which files have their size.
const SETTLED_AFTER: Duration = Duration::from_millis(500);
/// The bound until then.
const SETTLED_MAX: Duration = Duration::from_secs(120);
/// The bytes of a block in the figures of the system.
const BLOCK: u64 = 512;
/// The type of a file system in memory (statfs(2)).
const TMPFS: u32 = 0x0102_1994;
