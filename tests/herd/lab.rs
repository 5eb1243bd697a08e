//! The laboratory: a herd in its own temporary folder. A test starts, kills and stops its servers, and sends
//! them commands.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::fake_places::FakePlaces;
use crate::fault_proxy::FaultProxy;
use crate::process::{FORKING, Process, Signal, herd};
use crate::secrecy::{KEY, KEY_WITHOUT_SPACES, assert_secret_in};
use crate::test_lock::TestLock;

/// The servers of the built-in herd, each with its neighbours.
pub const BRUINS: &[(&str, &[&str])] = &[
    ("Riley", &["Jaquez", "Juzang"]),
    ("Jaquez", &["Bernard"]),
    ("Juzang", &["Bernard", "Campbell"]),
    ("Campbell", &["Bernard"]),
    ("Bernard", &[]),
];
pub const PAIR: &[(&str, &[&str])] = &[("Riley", &["Jaquez"]), ("Jaquez", &[])];
pub const SOLO: &[(&str, &[&str])] = &[("Solo", &[])];

/// A herd. A test must have only one: a second exclusive one would wait for the lock of the first.
pub struct Lab {
    // The fields are dropped in this order: the servers must be gone before their folder.
    servers: BTreeMap<String, Process>,
    pub places: FakePlaces,
    names: Vec<String>,
    /// The content of the herd file, as [`Lab::write`] writes it.
    pub config: Value,
    /// By the name of the dialler: the neighbours that it reaches through a proxy, and the ports of the
    /// proxies.
    detours: BTreeMap<String, Vec<(String, u16)>>,
    pub folder: Folder,
    _lock: TestLock,
}

impl Lab {
    /// Creates a herd on free ports, with its own fake Places. No server runs yet.
    pub fn new(edges: &[(&str, &[&str])]) -> Lab {
        Lab::with_lock(edges, TestLock::shared())
    }

    /// Creates a herd while no other test runs. For tests that measure time.
    pub fn alone(edges: &[(&str, &[&str])]) -> Lab {
        Lab::with_lock(edges, TestLock::exclusive())
    }

    /// Creates a herd and starts all its servers.
    pub fn running(edges: &[(&str, &[&str])]) -> Lab {
        let mut lab = Lab::new(edges);
        lab.start_all();
        lab
    }

    fn with_lock(edges: &[(&str, &[&str])], lock: TestLock) -> Lab {
        let places = FakePlaces::start();
        let servers = edges.iter().map(|(name, talks_to)| {
            let listen = format!("127.0.0.1:{}", free_port());
            ((*name).to_owned(), json!({ "listen": listen, "talks_to": talks_to }))
        });
        let config = json!({
            "herd": "laboratory",
            "servers": Value::Object(servers.collect()),
            // Long, so that it does not expire in tests that delay an answer.
            "places": { "url": places.url(), "timeout_ms": 60_000 },
            "peers": { "tls": false },
        });
        let names = edges.iter().map(|(name, _)| (*name).to_owned()).collect();
        let (servers, detours, folder) = (BTreeMap::new(), BTreeMap::new(), Folder::new());
        let lab = Lab { servers, places, names, config, detours, folder, _lock: lock };
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

    /// Makes `dialler` reach `dialled` through a proxy, from its next start on.
    pub fn through_proxy(&mut self, dialler: &str, dialled: &str) -> FaultProxy {
        let proxy = FaultProxy::to(self.port(dialled));
        self.detours.entry(dialler.to_owned()).or_default().push((dialled.to_owned(), proxy.port()));
        proxy
    }

    /// Makes both servers of an edge reach each other through proxies, from their next start on.
    pub fn edge_through_proxies(&mut self, one: &str, other: &str) -> [FaultProxy; 2] {
        [self.through_proxy(one, other), self.through_proxy(other, one)]
    }

    /// The herd file of a server: its own copy, with other addresses, if it reaches neighbours through
    /// proxies.
    fn file_of(&self, server: &str) -> PathBuf {
        let Some(detours) = self.detours.get(server) else { return self.file() };
        let mut config = self.config.clone();
        for (dialled, port) in detours {
            config["servers"][dialled]["address"] = json!(format!("127.0.0.1:{port}"));
        }
        let file = self.folder.path(format!("herd-of-{server}.json"));
        fs::write(&file, config.to_string()).unwrap();
        file
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

    /// Starts a server with a limit on its file descriptors.
    pub fn start_with_descriptors(&mut self, server: &str, descriptors: u32) {
        self.start_after(&format!("ulimit -n {descriptors}"), server);
    }

    /// Starts a server from a shell, after the shell command `prelude`.
    pub fn start_after(&mut self, prelude: &str, server: &str) {
        let program = herd();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{prelude}; exec \"$0\" \"$@\"")]).arg(program.get_program());
        self.start_by(shell, server);
    }

    /// Starts a server by a command, to which its arguments are added.
    pub fn start_by(&mut self, command: Command, server: &str) {
        let process = self.spawn(command, server);
        self.servers.insert(server.to_owned(), process);
        self.await_listening(server);
    }

    /// Starts a second server with this name and another herd file. The caller owns it.
    pub fn start_with_file(&self, server: &str, file: &Path) -> Process {
        let mut command = herd();
        command.arg("serve").arg(server).arg("-c").arg(file).current_dir("/").env("PLACES_API_KEY", KEY);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Process::start(&mut command, &self.folder.name())
    }

    fn spawn(&self, mut command: Command, server: &str) -> Process {
        let output = OpenOptions::new().append(true).create(true).open(self.output_file(server)).unwrap();
        command.arg("serve").arg(server).arg("-c").arg(self.file_of(server));
        // Another folder than that of the herd file: relative paths must not depend on the current folder.
        command.current_dir("/").env("PLACES_API_KEY", KEY).stdin(Stdio::null());
        command.env("KEY_WITHOUT_SPACES", KEY_WITHOUT_SPACES);
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

    /// The lines that are in the log file of a server.
    pub fn log(&self, server: &str) -> String {
        fs::read_to_string(self.folder.path(format!("logs/{server}.log"))).unwrap_or_default()
    }

    /// Waits until this text is in the log of a server.
    pub fn await_log(&self, server: &str, text: &str) {
        until(&format!("{text:?} is in the log of {server}"), || self.log(server).contains(text));
    }

    /// Waits until both links between two neighbours are up.
    pub fn await_links(&self, one: &str, other: &str) {
        self.await_log(one, &format!("New connection to server {other} was made"));
        self.await_log(other, &format!("New connection to server {one} was made"));
    }

    /// The standard output and standard error of a server.
    pub fn output(&self, server: &str) -> String {
        fs::read_to_string(self.output_file(server)).unwrap_or_default()
    }

    fn output_file(&self, server: &str) -> PathBuf {
        self.folder.path(format!("{server}.output"))
    }
}

/// A temporary folder. When it is dropped, it is checked for the Places key and removed; if the test has
/// failed, it stays.
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

    /// The path of the folder, which is in the command line of each server of the lab.
    pub fn name(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the files of the failed test are in {}", self.0.display());
        } else {
            assert_secret_in(&self.0);
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Polls until `condition` is true. Panics when it is still false after [`PATIENCE`].
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "still waiting after {PATIENCE:?} until {what}");
        thread::sleep(POLL_INTERVAL);
    }
}

pub fn is_listening(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Returns a free port of 127.0.0.1, and each port at most once. Test processes that run at the same time
/// begin at different ports.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let _no_fork = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
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

/// The first port: above those of the built-in herd. The last one is below the system's ephemeral ports.
const FIRST_PORT: u16 = 18_000;
const PORTS: u32 = 14_000;
/// The distance between the first ports of two test processes: more than one run needs, and coprime to
/// [`PORTS`].
const PORTS_APART: u32 = 211;

/// The time after which waiting has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(4);
