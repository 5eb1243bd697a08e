//! The measured servers: the herd, alternatives, and the limits.

pub mod cluster;
pub mod echo;
pub mod herd_file;
pub mod nginx;
pub mod places;
pub mod relay;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::load::dialect::Dialect;
use crate::process::{Affinity, End, Folder, Process, free_address};
use crate::traffic_log::{self, LogLines};
use herd_file::{HerdFile, Store};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The herd of this repository.
    Herd,
    /// An earlier version of this herd, for comparison: the program in HERD_BASE.
    Base,
    /// A bare echo server: the least work of a server on epoll.
    Echo,
    /// A bare relay: it forwards lines over the same hops as a herd, and does no other work.
    Relay,
    /// A herd in Python, with asyncio streams.
    Asyncio,
    /// A herd in Python, with asyncio protocols.
    AsyncioProtocol,
    /// A herd in Node.js.
    Node,
    /// A herd in Java, with NIO.
    Java,
    /// Redis, `SET`.
    RedisSet,
    /// Redis, `GEOADD`.
    RedisGeoadd,
    /// NATS.
    Nats,
    /// memcached.
    Memcached,
    /// nginx with `nginx.conf` in the folder of the server.
    Nginx,
    /// The herd's interface over HTTP in Node.js.
    NodeHttp,
}

impl Kind {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Herd => "herd",
            Kind::Base => "herd, base",
            Kind::Echo => "bare echo",
            Kind::Relay => "bare relay",
            Kind::Asyncio => "asyncio streams",
            Kind::AsyncioProtocol => "asyncio protocol",
            Kind::Node => "Node.js",
            Kind::Java => "Java NIO",
            Kind::RedisSet => "Redis SET",
            Kind::RedisGeoadd => "Redis GEOADD",
            Kind::Nats => "NATS publish",
            Kind::Memcached => "memcached set",
            Kind::Nginx => "nginx",
            Kind::NodeHttp => "Node.js http",
        }
    }

    /// The protocol.
    pub fn dialect(self) -> Dialect {
        match self {
            Kind::Echo => Dialect::Echo,
            Kind::Relay => Dialect::Relay,
            Kind::RedisSet => Dialect::RedisSet,
            Kind::RedisGeoadd => Dialect::RedisGeoadd,
            Kind::Nats => Dialect::Nats,
            Kind::Memcached => Dialect::Memcached,
            Kind::Nginx | Kind::NodeHttp => Dialect::Web,
            _ => Dialect::Herd,
        }
    }

    /// The program to run.
    pub fn program(self) -> PathBuf {
        match self {
            Kind::Herd => std::env::var_os("HERD_BIN")
                .map_or_else(|| bench_folder().join("../target/release/herd"), PathBuf::from),
            Kind::Base => std::env::var_os("HERD_BASE").map_or_else(PathBuf::new, PathBuf::from),
            Kind::Echo | Kind::Relay => std::env::current_exe().unwrap_or_default(),
            Kind::Asyncio | Kind::AsyncioProtocol => found("python3"),
            Kind::Node | Kind::NodeHttp => found("node"),
            Kind::Java => found("java"),
            Kind::RedisSet | Kind::RedisGeoadd => found("redis-server"),
            Kind::Nats => found("nats-server"),
            Kind::Memcached => found("memcached"),
            Kind::Nginx => found("nginx"),
        }
    }

    /// Whether the program is installed.
    pub fn is_present(self) -> bool {
        self.program().is_file()
    }

    /// Starts the server `name` of a herd, and waits until it listens.
    pub fn start(
        self,
        herd: &HerdFile,
        name: &str,
        affinity: Affinity,
        folder: &Path,
    ) -> io::Result<Process> {
        let address = herd.address(name);
        let (arguments, environment) = self.arguments(herd, name, address, folder);
        Process::start(&self.program(), &arguments, &environment, affinity, folder, address)
    }

    /// Starts the server `name` of a herd without waiting.
    pub fn spawn(
        self,
        herd: &HerdFile,
        name: &str,
        affinity: Affinity,
        folder: &Path,
    ) -> io::Result<Process> {
        let address = herd.address(name);
        let (arguments, environment) = self.arguments(herd, name, address, folder);
        Process::spawn(&self.program(), &arguments, &environment, affinity, folder, address)
    }

    fn arguments(
        self,
        herd: &HerdFile,
        name: &str,
        address: SocketAddr,
        folder: &Path,
    ) -> (Vec<String>, Vec<(&'static str, String)>) {
        let port = address.port();
        let file = folder.join("herd.json").display().to_string();
        let source = |file: &str| bench_folder().join("competitors").join(file).display().to_string();
        let mut environment = Vec::new();
        let line = match self {
            Kind::Herd | Kind::Base => {
                // Without a key the herd does not ask Google's API.
                environment.push(("PLACES_API_KEY", "none".to_owned()));
                format!("serve {name} -c {file}")
            }
            Kind::Echo => format!("serve-echo {address}"),
            Kind::Relay => format!("serve-relay {address} {}", herd.neighbours_of(name).join(" ")),
            Kind::Asyncio => format!("{} {name} {file} streams", source("herd_asyncio.py")),
            Kind::AsyncioProtocol => format!("{} {name} {file} protocol", source("herd_asyncio.py")),
            Kind::Node => format!("{} {name} {file}", source("herd_node.js")),
            Kind::Java => {
                // Explicit, because the default garbage collector depends on the number of processors.
                environment.push(("JDK_JAVA_OPTIONS", "-XX:+UseSerialGC -Xmx4g".to_owned()));
                format!("{} {name} {file}", source("Herd.java"))
            }
            Kind::RedisSet | Kind::RedisGeoadd => {
                let file = match herd.store {
                    Store::Off => "--appendonly no",
                    Store::EverySecond => "--appendonly yes --appendfsync everysec",
                    Store::Always => "--appendonly yes --appendfsync always",
                };
                format!("--bind 127.0.0.1 --port {port} {file} --io-threads 1 --maxclients 20000 --save")
            }
            Kind::Nats => format!("-a 127.0.0.1 -p {port}"),
            Kind::Nginx => format!("-c {}", folder.join("nginx.conf").display()),
            Kind::NodeHttp => format!("{} {name} {file}", source("herd_http.mjs")),
            Kind::Memcached => format!("-u nobody -l 127.0.0.1 -p {port} -U 0 -t 1 -m 1024 -c 1100"),
        };
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if matches!(self, Kind::RedisSet | Kind::RedisGeoadd) {
            words.push(String::new());
        }
        (words, environment)
    }
}

/// A single server without neighbours.
pub struct SingleServer {
    /// The kind of the server.
    pub kind: Kind,
    /// The process.
    pub process: Process,
    /// The folder of its files.
    pub folder: Folder,
    /// Whether it writes a traffic log to a file whose lines can be counted.
    has_log: bool,
    herd: HerdFile,
    affinity: Affinity,
}

impl SingleServer {
    /// Starts a server on its own processor. `change` edits its herd file.
    pub fn start(kind: Kind, change: impl FnOnce(&mut HerdFile)) -> io::Result<SingleServer> {
        SingleServer::start_on(Affinity::OwnProcessor, kind, |herd, _| {
            change(herd);
            Ok(())
        })
    }

    /// Starts a server on these processors. `prepare` edits its herd file, and can put files into the folder
    /// of its log.
    pub fn start_on(
        affinity: Affinity,
        kind: Kind,
        prepare: impl FnOnce(&mut HerdFile, &Path) -> io::Result<()>,
    ) -> io::Result<SingleServer> {
        let folder = Folder::new()?;
        let mut herd = HerdFile::new(&[(NAME, free_address())], &[]);
        let logs = folder.path().join("logs");
        std::fs::create_dir_all(&logs)?;
        prepare(&mut herd, &logs)?;
        herd.write(folder.path())?;
        let has_log =
            kind == Kind::Herd && herd.log_level == "traffic" && !SingleServer::log_in(&logs).exists();
        let process = kind.start(&herd, NAME, affinity, folder.path())?;
        Ok(SingleServer { kind, process, folder, has_log, herd, affinity })
    }

    /// The address of HTTP: its own, if it has one beside that of the lines.
    pub fn web_address(&self) -> SocketAddr {
        self.herd.http(NAME).unwrap_or(self.process.address)
    }

    /// Ends the server, and starts it again in the same folder. Returns the moment of the start, without waiting until
    /// the server listens.
    pub fn start_again(&mut self, end: End) -> io::Result<Instant> {
        self.process.end(end)?;
        let begin = Instant::now();
        self.process = self.kind.spawn(&self.herd, NAME, self.affinity, self.folder.path())?;
        Ok(begin)
    }

    /// The path of the log of a single server.
    pub fn log_in(logs: &Path) -> PathBuf {
        logs.join(format!("{NAME}.log"))
    }

    /// Counts the lines of the log, after the server has replied to `messages` since the log was emptied; `None`:
    /// it has no log that can be counted.
    pub fn log_lines(&self, messages: u64) -> io::Result<Option<LogLines>> {
        self.has_log.then(|| traffic_log::count(&self.log(), messages)).transpose()
    }

    /// Truncates the log, after the server has written all lines.
    pub fn empty_log(&self) -> io::Result<()> {
        if self.has_log {
            traffic_log::until_settled(&self.log())?;
        }
        self.folder.empty_logs();
        Ok(())
    }

    fn log(&self) -> PathBuf {
        SingleServer::log_in(&self.folder.path().join("logs"))
    }

    /// Starts a server of each kind that is installed, and reports the others. The environment variable
    /// BENCH_ONLY can restrict them to some names, separated by commas.
    pub fn start_all(kinds: &[Kind]) -> io::Result<Vec<SingleServer>> {
        let only = std::env::var("BENCH_ONLY").unwrap_or_default();
        let wanted = |kind: Kind| only.is_empty() || only.split(',').any(|name| name == kind.name());
        let mut all = Vec::new();
        for &kind in kinds.iter().filter(|&&kind| wanted(kind)) {
            if kind.is_present() {
                all.push(SingleServer::start(kind, |_| {})?);
            } else {
                eprintln!("  {} is left out: {} is not installed", kind.name(), kind.program().display());
            }
        }
        Ok(all)
    }
}

/// The name of a single server.
pub const NAME: &str = "Riley";

/// The folder of the bench.
pub fn bench_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The path of a program. System folders are searched before PATH.
pub fn found(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    ["/usr/bin", "/usr/sbin"]
        .map(PathBuf::from)
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| PathBuf::from(program))
}
