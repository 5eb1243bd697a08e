//! The servers of the soak test, as processes that can be killed, stopped and restarted.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use herd::config::HerdFile;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};

pub struct Herd {
    pub servers: Vec<Server>,
    folder: PathBuf,
}

pub struct Server {
    pub name: String,
    pub port: u16,
    process: Option<Child>,
    /// Whether the process is stopped by SIGSTOP.
    stopped: bool,
    pub started: Instant,
    pub killed: Vec<Instant>,
}

impl Herd {
    /// Starts the built-in herd on free ports, in an empty folder.
    pub fn start(folder: &Path, places: &str) -> Herd {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).unwrap();
        let mut ports = (FIRST_PORT..).filter(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
        let mut servers = Vec::new();
        let mut section = Map::new();
        for server in HerdFile::built_in().servers {
            let port = ports.next().expect("a free port");
            let listen = format!("127.0.0.1:{port}");
            section.insert(server.name.clone(), json!({ "listen": listen, "talks_to": server.neighbours }));
            let started = Instant::now();
            servers.push(Server {
                name: server.name,
                port,
                process: None,
                stopped: false,
                started,
                killed: Vec::new(),
            });
        }
        let file = json!({
            "herd": "soak",
            "servers": Value::Object(section),
            "places": { "url": places },
            "log": { "level": "off" },
            "limits": { "line_timeout_s": LINE_TIMEOUT_S },
        });
        fs::write(folder.join("herd.json"), file.to_string()).unwrap();
        let mut herd = Herd { servers, folder: folder.to_owned() };
        (0..herd.servers.len()).for_each(|server| herd.start_server(server));
        herd
    }

    pub fn ports(&self) -> Vec<u16> {
        self.servers.iter().map(|server| server.port).collect()
    }

    pub fn start_server(&mut self, server: usize) {
        let server = &mut self.servers[server];
        let mut command = Command::new(env!("CARGO_BIN_EXE_herd"));
        command.arg("serve").arg(&server.name).arg("-c").arg(self.folder.join("herd.json"));
        command.env("PLACES_API_KEY", "soak").stdin(Stdio::null());
        server.process = Some(command.spawn().unwrap());
        let begin = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).is_err() {
            assert!(begin.elapsed() < START_MAX, "{} does not listen", server.name);
            thread::sleep(Duration::from_millis(5));
        }
        server.started = Instant::now();
    }

    pub fn kill(&mut self, server: usize) {
        let server = &mut self.servers[server];
        server.signal(Signal::KILL);
        server.killed.push(Instant::now());
        server.stopped = false;
        if let Some(mut process) = server.process.take() {
            process.wait().unwrap();
        }
    }

    pub fn stop(&mut self, server: usize) {
        self.servers[server].signal(Signal::STOP);
        self.servers[server].stopped = true;
    }

    pub fn resume(&mut self, server: usize) {
        self.servers[server].signal(Signal::CONT);
        self.servers[server].stopped = false;
    }

    /// The indices of the servers that are neither killed nor stopped.
    pub fn running(&self) -> Vec<usize> {
        let is_running = |&server: &usize| {
            let server = &self.servers[server];
            server.process.is_some() && !server.stopped
        };
        (0..self.servers.len()).filter(is_running).collect()
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        (0..self.servers.len()).for_each(|server| self.kill(server));
    }
}

impl Server {
    /// The resident memory in KiB.
    pub fn memory_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.as_ref()?.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    }

    pub fn descriptors(&self) -> Option<usize> {
        Some(fs::read_dir(format!("/proc/{}/fd", self.process.as_ref()?.id())).ok()?.count())
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            // Fails if the process has ended by itself; the next sample shows that.
            let _ = kill_process(Pid::from_child(process), signal);
        }
    }
}

/// Below the system's ephemeral ports, one of which could be in use at a restart.
const FIRST_PORT: u16 = 21_500;
/// The bound from the start of a process to its first connection, on a busy machine.
const START_MAX: Duration = Duration::from_secs(10);
/// Short, so that incomplete lines expire within the run.
const LINE_TIMEOUT_S: u64 = 5;
