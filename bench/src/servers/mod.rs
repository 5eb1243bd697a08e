//! Who is measured: the herd, what people would pick instead, and the limits.

pub mod cluster;
pub mod echo;
pub mod herd_file;
pub mod places;
pub mod relay;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::load::dialect::Dialect;
use crate::process::{Folder, Place, Process, free_address};
use herd_file::HerdFile;

/// A program that can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The herd of this repository.
    Herd,
    /// It sends back what it got: the least that a server on epoll can do.
    Echo,
    /// It passes on lines over the same hops as a herd, without any other work.
    Relay,
    /// The same herd in plain Python, on asyncio's streams.
    Asyncio,
    /// The same on asyncio's protocols.
    AsyncioProtocol,
    /// The same in plain Node.js.
    Node,
    /// The same in plain Java, on NIO.
    Java,
    /// Redis, `SET`.
    RedisSet,
    /// Redis, `GEOADD`.
    RedisGeoadd,
    /// NATS.
    Nats,
    /// memcached.
    Memcached,
}

impl Kind {
    /// As it is called in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Herd => "herd",
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
        }
    }

    /// What it understands.
    pub fn dialect(self) -> Dialect {
        match self {
            Kind::Echo => Dialect::Echo,
            Kind::Relay => Dialect::Relay,
            Kind::RedisSet => Dialect::RedisSet,
            Kind::RedisGeoadd => Dialect::RedisGeoadd,
            Kind::Nats => Dialect::Nats,
            Kind::Memcached => Dialect::Memcached,
            _ => Dialect::Herd,
        }
    }

    /// The program to run.
    pub fn program(self) -> PathBuf {
        match self {
            Kind::Herd => std::env::var_os("HERD_BIN")
                .map_or_else(|| bench_folder().join("../target/release/herd"), PathBuf::from),
            Kind::Echo | Kind::Relay => std::env::current_exe().unwrap_or_default(),
            Kind::Asyncio | Kind::AsyncioProtocol => found("python3"),
            Kind::Node => found("node"),
            Kind::Java => found("java"),
            Kind::RedisSet | Kind::RedisGeoadd => found("redis-server"),
            Kind::Nats => found("nats-server"),
            Kind::Memcached => found("memcached"),
        }
    }

    /// Whether it can be run here.
    pub fn is_present(self) -> bool {
        self.program().is_file()
    }

    /// Starts the server `name` of a herd, or the one server that is no herd.
    pub fn start(self, herd: &HerdFile, name: &str, place: Place, folder: &Path) -> io::Result<Process> {
        let address = herd.address(name);
        let (arguments, environment) = self.arguments(herd, name, address, folder);
        Process::start(&self.program(), &arguments, &environment, place, folder, address)
    }

    /// The same without waiting until it listens.
    pub fn spawn(self, herd: &HerdFile, name: &str, place: Place, folder: &Path) -> io::Result<Process> {
        let address = herd.address(name);
        let (arguments, environment) = self.arguments(herd, name, address, folder);
        Process::spawn(&self.program(), &arguments, &environment, place, folder, address)
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
            Kind::Herd => {
                // Google's dialect asks nothing without a key.
                environment.push(("PLACES_API_KEY", "none".to_owned()));
                format!("serve {name} -c {file}")
            }
            Kind::Echo => format!("serve-echo {address}"),
            Kind::Relay => format!("serve-relay {address} {}", herd.neighbours_of(name).join(" ")),
            Kind::Asyncio => format!("{} {name} {file} streams", source("herd_asyncio.py")),
            Kind::AsyncioProtocol => format!("{} {name} {file} protocol", source("herd_asyncio.py")),
            Kind::Node => format!("{} {name} {file}", source("herd_node.js")),
            Kind::Java => {
                // The defaults of the collector depend on the processors seen; a small server's is this.
                environment.push(("JDK_JAVA_OPTIONS", "-XX:+UseSerialGC -Xmx4g".to_owned()));
                format!("{} {name} {file}", source("Herd.java"))
            }
            Kind::RedisSet | Kind::RedisGeoadd => {
                format!("--bind 127.0.0.1 --port {port} --appendonly no --io-threads 1 --save")
            }
            Kind::Nats => format!("-a 127.0.0.1 -p {port}"),
            Kind::Memcached => format!("-u nobody -l 127.0.0.1 -p {port} -U 0 -t 1 -m 1024 -c 1100"),
        };
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if matches!(self, Kind::RedisSet | Kind::RedisGeoadd) {
            words.push(String::new());
        }
        (words, environment)
    }
}

/// One server alone, with what it needs.
pub struct Alone {
    /// What it is.
    pub kind: Kind,
    /// The server.
    pub process: Process,
    /// Where its files are.
    pub folder: Folder,
}

impl Alone {
    /// Starts one server without neighbours on a processor of its own.
    pub fn start(kind: Kind, change: impl FnOnce(&mut HerdFile)) -> io::Result<Alone> {
        let folder = Folder::new()?;
        let mut herd = HerdFile::new(&[("Riley", free_address())], &[]);
        change(&mut herd);
        herd.write(folder.path())?;
        let process = kind.start(&herd, "Riley", Place::OwnProcessor, folder.path())?;
        Ok(Alone { kind, process, folder })
    }

    /// Starts all of those kinds that can be run here, and says which cannot. BENCH_ONLY may name a few,
    /// with commas between them, for those who work on one server.
    pub fn start_all(kinds: &[Kind]) -> io::Result<Vec<Alone>> {
        let only = std::env::var("BENCH_ONLY").unwrap_or_default();
        let wanted = |kind: Kind| only.is_empty() || only.split(',').any(|name| name == kind.name());
        let mut all = Vec::new();
        for &kind in kinds.iter().filter(|&&kind| wanted(kind)) {
            if kind.is_present() {
                all.push(Alone::start(kind, |_| {})?);
            } else {
                eprintln!("  {} is left out: there is no {}", kind.name(), kind.program().display());
            }
        }
        Ok(all)
    }
}

/// Where the bench's own files are.
pub fn bench_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A program of this system; Debian's own before any other of that name.
fn found(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    ["/usr/bin", "/usr/sbin"]
        .map(PathBuf::from)
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| PathBuf::from(program))
}
