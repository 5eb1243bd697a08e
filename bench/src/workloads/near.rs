//! Workload (f): WHATSAT, with a fake Places that answers at once.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{Bench, steady};
use crate::comparison::{Comparison, load_for};
use crate::load::{Generator, Load};
use crate::process::{Affinity, Folder, Process, free_address};
use crate::report::{Section, plots, short};
use crate::servers::{Kind, SingleServer};

/// Runs workload (f).
pub fn near(bench: &mut Bench) -> io::Result<()> {
    let kinds = [Kind::Herd, Kind::Java, Kind::Node, Kind::AsyncioProtocol, Kind::Asyncio];
    let places = FakePlaces::start()?;
    let mut section = Section::new("(f) WHATSAT, with a Places that answers at once");
    section.paragraph(
        "Places is a fake on this machine that gives the same twenty results (18 kB) to each question, over \
         plain HTTP. It shares the processor of the load generator. Each reply has the AT line and five results.",
    );
    section.paragraph(
        "The asyncio herd makes a new connection to Places for each question, as its author would. The agent of \
         Node.js, the client of Java and the herd of this repository keep their connections alive. The last table \
         shows the cost of new connections for this herd.",
    );
    let kept = start(&kinds, &places, "kept")?;
    for (title, load) in [
        ("one connection", Load { whatsat_every: 1, ..steady::load(1, 1) }),
        ("fifty connections", Load { whatsat_every: 1, ..steady::load(50, 1) }),
        (
            "fifty connections, one message in ten is a WHATSAT, the others are IAMATs",
            Load { whatsat_every: 10, ..steady::load(50, 1) },
        ),
    ] {
        let comparison = Comparison::of_load(&kept, bench.effort, load)?;
        section.paragraph(&format!("**{title}**"));
        section.comparison(&comparison);
        if load.whatsat_every == 1 && load.connections == 50 {
            section.plot("f-near.svg", "WHATSATs per second");
            plots::rates(&bench.plot("f-near.svg"), "WHATSAT by fifty clients", &comparison)?;
        }
    }
    drop(kept);
    let rows = connections_to_places(bench, &places)?;
    section.paragraph("Only this herd, fifty connections:");
    section.table(&["Places", "WHATSAT/s", "p50 µs", "p99", "questions to Places per WHATSAT"], &rows);
    bench.report.add(section);
    Ok(())
}

/// Starts servers that use the fake Places, and reports a thousand clients to them.
fn start(kinds: &[Kind], places: &FakePlaces, way: &str) -> io::Result<Vec<SingleServer>> {
    let mut servers = Vec::new();
    for &kind in kinds.iter().filter(|kind| kind.is_present()) {
        let url = format!("http://{}/{way}", places.process.address);
        let server = SingleServer::start(kind, |herd| herd.places = Some(url))?;
        report_clients(&server)?;
        servers.push(server);
    }
    Ok(servers)
}

fn report_clients(server: &SingleServer) -> io::Result<()> {
    let load = steady::load(1, 16);
    Generator::connect(load_for(server, load))?.send(u64::from(load.clients))?;
    Ok(())
}

/// The cost of connections to Places.
fn connections_to_places(bench: &mut Bench, places: &FakePlaces) -> io::Result<Vec<Vec<String>>> {
    let fifty = Load { whatsat_every: 1, ..steady::load(50, 1) };
    let mut rows = Vec::new();
    for (title, way, clients) in [
        ("kept connections", "kept", 1000),
        ("a new connection for each question", "closed", 1000),
        ("the same question always", "kept", 1),
    ] {
        let server = start(&[Kind::Herd], places, way)?.remove(0);
        let before = places.questions()?;
        let mut generator = Generator::connect(load_for(&server, Load { clients, ..fifty }))?;
        let measured = generator.measure(server.process.id(), Duration::ZERO, 2 * bench.effort.time)?;
        let asked = places.questions()? - before;
        rows.push(vec![
            title.to_owned(),
            short(measured.rate()),
            short(measured.microseconds(0.5)),
            short(measured.microseconds(0.99)),
            format!("{:.2}", asked as f64 / measured.replies.max(1) as f64),
        ]);
    }
    rows.push(local_places(bench, fifty)?);
    Ok(rows)
}

/// WHATSAT with the herd's own Places server, over TLS.
fn local_places(bench: &mut Bench, load: Load) -> io::Result<Vec<String>> {
    let folder = Folder::new()?;
    let address = free_address();
    let arguments = ["places".to_owned(), "-l".to_owned(), address.to_string()];
    let program = Kind::Herd.program();
    let _places = Process::start(&program, &arguments, &[], Affinity::Anywhere, folder.path(), address)?;
    let root = folder.path().join(format!("run/places-ca-{}.pem", address.port()));
    // Written after the server listens.
    for _ in 0..1000 {
        if root.is_file() {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let root = root.display().to_string();
    let server = SingleServer::start(Kind::Herd, |herd| {
        herd.places = Some(format!("https://localhost:{}", address.port()));
        herd.places_trust = Some(root);
    })?;
    report_clients(&server)?;
    let mut generator = Generator::connect(load_for(&server, load))?;
    let measured = generator.measure(server.process.id(), bench.effort.warm_up, 2 * bench.effort.time)?;
    Ok(vec![
        "`herd places` over TLS, real places".into(),
        short(measured.rate()),
        short(measured.microseconds(0.5)),
        short(measured.microseconds(0.99)),
        String::new(),
    ])
}

/// A process of the fake Places.
pub struct FakePlaces {
    /// The process.
    pub process: Process,
    _folder: Folder,
}

impl FakePlaces {
    /// Starts the fake Places.
    pub fn start() -> io::Result<FakePlaces> {
        let folder = Folder::new()?;
        let address = free_address();
        let arguments = ["serve-places".to_owned(), address.to_string()];
        let program = std::env::current_exe()?;
        let process = Process::start(&program, &arguments, &[], Affinity::Anywhere, folder.path(), address)?;
        Ok(FakePlaces { process, _folder: folder })
    }

    /// The number of questions so far.
    fn questions(&self) -> io::Result<u64> {
        let mut stream = TcpStream::connect(self.process.address)?;
        stream.write_all(b"GET /count HTTP/1.1\r\n\r\n")?;
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer)?;
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        Ok(text.lines().last().and_then(|line| line.trim().parse().ok()).unwrap_or(0))
    }
}

/// Sends WHATSATs until the client is known. Returns the time of that reply.
pub fn until_known(address: SocketAddr, client: &str, patience: Duration) -> io::Result<Instant> {
    let end = Instant::now() + patience;
    loop {
        if is_known(address, client)? {
            return Ok(Instant::now());
        }
        if Instant::now() > end {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{client} is not known at {address}"),
            ));
        }
        thread::sleep(Duration::from_micros(300));
    }
}

/// Whether a server knows a client.
pub fn is_known(address: SocketAddr, client: &str) -> io::Result<bool> {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return Ok(false);
    };
    stream.set_nodelay(true)?;
    stream.write_all(format!("WHATSAT {client} 1 1\n").as_bytes())?;
    let mut answer = [0; 1];
    stream.read_exact(&mut answer)?;
    Ok(answer[0] == b'A')
}
