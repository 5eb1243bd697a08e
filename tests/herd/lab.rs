//! A herd in a folder of its own, whose servers a test starts, kills, stops and asks.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::fake_places::FakePlaces;
use crate::process::{FORKING, Process, Signal, herd};

/// The built-in herd's names, and whom each of them talks to.
pub const BRUINS: &[(&str, &[&str])] = &[
    ("Riley", &["Jaquez", "Juzang"]),
    ("Jaquez", &["Bernard"]),
    ("Juzang", &["Bernard", "Campbell"]),
    ("Campbell", &["Bernard"]),
    ("Bernard", &[]),
];
pub const PAIR: &[(&str, &[&str])] = &[("Riley", &["Jaquez"]), ("Jaquez", &[])];
pub const SOLO: &[(&str, &[&str])] = &[("Solo", &[])];

/// One herd. A test has one at most: two that each wait for the other's turn would wait for ever.
pub struct Lab {
    // In the order in which they have to end: the folder is the servers' own until they are gone.
    servers: BTreeMap<String, Process>,
    pub places: FakePlaces,
    names: Vec<String>,
    /// The herd file, which [`Lab::write`] writes.
    pub config: Value,
    pub folder: Folder,
    _turn: Turn,
}

impl Lab {
    /// A herd of which no server runs yet, on free ports, with a Places server of its own.
    pub fn new(edges: &[(&str, &[&str])]) -> Lab {
        Lab::with_turn(edges, Turn::with_others())
    }

    /// The same, while no other test runs: for those that measure time.
    pub fn alone(edges: &[(&str, &[&str])]) -> Lab {
        Lab::with_turn(edges, Turn::alone())
    }

    /// A herd that runs.
    pub fn running(edges: &[(&str, &[&str])]) -> Lab {
        let mut lab = Lab::new(edges);
        lab.start_all();
        lab
    }

    fn with_turn(edges: &[(&str, &[&str])], turn: Turn) -> Lab {
        let places = FakePlaces::start();
        let servers = edges.iter().map(|(name, talks_to)| {
            let listen = format!("127.0.0.1:{}", free_port());
            ((*name).to_owned(), json!({ "listen": listen, "talks_to": talks_to }))
        });
        let config = json!({
            "herd": "laboratory",
            "servers": Value::Object(servers.collect()),
            // No test that holds an answer back may be overtaken by the time-out.
            "places": { "url": places.url(), "timeout_ms": 60_000 },
            "peers": { "tls": false },
        });
        let names = edges.iter().map(|(name, _)| (*name).to_owned()).collect();
        let lab = Lab { servers: BTreeMap::new(), places, names, config, folder: Folder::new(), _turn: turn };
        lab.write();
        lab
    }

    /// Writes [`Lab::config`] as the herd file.
    pub fn write(&self) {
        fs::write(self.file(), self.config.to_string()).unwrap();
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path("herd.json")
    }

    pub fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    pub fn port(&self, server: &str) -> u16 {
        let listen = self.config["servers"][server]["listen"].as_str().unwrap();
        listen.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    pub fn start(&mut self, server: &str) {
        self.start_by(herd(), server);
    }

    pub fn start_all(&mut self) {
        let names = self.names.clone();
        for name in &names {
            let process = self.spawn(herd(), name);
            self.servers.insert(name.clone(), process);
        }
        names.iter().for_each(|name| self.await_listening(name));
    }

    /// Starts a server with at most so many file descriptors.
    pub fn start_with_descriptors(&mut self, server: &str, descriptors: u32) {
        let program = herd();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")])
            .arg(program.get_program());
        self.start_by(shell, server);
    }

    fn start_by(&mut self, command: Command, server: &str) {
        let process = self.spawn(command, server);
        self.servers.insert(server.to_owned(), process);
        self.await_listening(server);
    }

    fn spawn(&self, mut command: Command, server: &str) -> Process {
        let output = OpenOptions::new().append(true).create(true).open(self.output_file(server)).unwrap();
        command.arg("serve").arg(server).arg("-c").arg(self.file());
        // Not a folder that a relative path could be meant from.
        command.current_dir("/").env("PLACES_API_KEY", KEY).stdin(Stdio::null());
        command.stdout(output.try_clone().unwrap()).stderr(output);
        Process::start(&mut command, &self.folder.name())
    }

    pub fn await_listening(&self, server: &str) {
        until(&format!("{server} listens"), || is_listening(self.port(server)));
    }

    /// The process of a server.
    pub fn process(&mut self, server: &str) -> &mut Process {
        self.servers.get_mut(server).unwrap()
    }

    pub fn kill(&mut self, server: &str) {
        self.servers.remove(server).unwrap().kill();
    }

    pub fn signal(&mut self, server: &str, signal: Signal) {
        self.process(server).signal(signal);
    }

    pub fn connect(&self, server: &str) -> Client {
        Client::connect(self.port(server))
    }

    /// The log of a server, as far as it is written.
    pub fn log(&self, server: &str) -> String {
        fs::read_to_string(self.folder.path(format!("logs/{server}.log"))).unwrap_or_default()
    }

    /// Waits until this text is in the log of a server.
    pub fn await_log(&self, server: &str, text: &str) {
        until(&format!("{text:?} is in the log of {server}"), || self.log(server).contains(text));
    }

    /// What a server said on standard output and standard error.
    pub fn output(&self, server: &str) -> String {
        fs::read_to_string(self.output_file(server)).unwrap_or_default()
    }

    fn output_file(&self, server: &str) -> PathBuf {
        self.folder.path(format!("{server}.output"))
    }
}

/// A folder that is removed with this value, unless the test has failed.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("herd-test-{}-{count}-", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        Folder(folder)
    }

    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.0.join(inside)
    }

    /// Its path, which stands in the command lines of what runs in it.
    pub fn name(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("what the test left is in {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Tests run side by side, but not beside one that measures time.
static TURNS: RwLock<()> = RwLock::new(());

/// Held as long as a test runs; never looked at.
pub struct Turn {
    _shared: Option<RwLockReadGuard<'static, ()>>,
    _alone: Option<RwLockWriteGuard<'static, ()>>,
}

impl Turn {
    pub fn with_others() -> Turn {
        // A test that failed leaves nothing half done behind the lock.
        Turn { _shared: Some(TURNS.read().unwrap_or_else(PoisonError::into_inner)), _alone: None }
    }

    fn alone() -> Turn {
        Turn { _shared: None, _alone: Some(TURNS.write().unwrap_or_else(PoisonError::into_inner)) }
    }
}

/// Waits for what must come soon.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "in vain within {PATIENCE:?}: {what}");
        thread::sleep(PAUSE);
    }
}

pub fn is_listening(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A port of 127.0.0.1 that nobody listens on, given to nobody else in this process. Processes that
/// test at the same time begin in different places.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let _not_forking = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(next < PORTS, "no port is free");
        let offset = std::process::id().wrapping_mul(PORTS_APART).wrapping_add(next) % PORTS;
        let port = FIRST_PORT + u16::try_from(offset).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Above the ports of the built-in herd and below those that the system lends to whoever dials out.
const FIRST_PORT: u16 = 18_000;
const PORTS: u32 = 14_000;
/// More than one run needs, and prime to [`PORTS`].
const PORTS_APART: u32 = 211;

/// How long to wait for what must come: only a failure takes so long.
pub const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(4);
/// Opens nothing.
const KEY: &str = "x";
