//! Workload (o): questions to Places: equal ones, many at a time beside nginx, and a Places that fails.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::idle::allow_descriptors;
use super::{Bench, steady};
use crate::comparison::{load_for, median};
use crate::load::dialect::{Dialect, Messages};
use crate::load::{Generator, Load, Measured};
use crate::process::{Affinity, Folder, Process, free_address};
use crate::report::{Bound, Section, short, thousands};
use crate::servers::herd_file::{HerdFile, Links};
use crate::servers::nginx::Configuration;
use crate::servers::{Kind, SingleServer};
use crate::wire::Keys;

/// Runs workload (o).
pub fn asking(bench: &mut Bench) -> io::Result<()> {
    allow_descriptors()?;
    let places = SecuredPlaces::start()?;
    let mut section = Section::new("(o) Questions to Places");
    equal(bench, &places, &mut section)?;
    different(bench, &places, &mut section)?;
    failing(bench, &places, &mut section)?;
    bench.report.add(section);
    Ok(())
}

/// The fake Places, which also speaks TLS with a certificate of an authority of its own.
struct SecuredPlaces {
    process: Process,
    secured: SocketAddr,
    folder: Folder,
}

impl SecuredPlaces {
    fn start() -> io::Result<SecuredPlaces> {
        let folder = Folder::new()?;
        let (address, secured) = (free_address(), free_address());
        let mut herd = HerdFile::new(&[("Places", secured)], &[]);
        herd.links = Links::Tls;
        herd.write(folder.path())?;
        Keys::make(folder.path())?;
        let files = folder.path().display().to_string();
        let arguments = ["serve-places".to_owned(), address.to_string(), secured.to_string(), files];
        let program = std::env::current_exe()?;
        let process = Process::start(&program, &arguments, &[], Affinity::Anywhere, folder.path(), address)?;
        Ok(SecuredPlaces { process, secured, folder })
    }

    fn authority(&self) -> String {
        self.folder.path().join("run/keys/herd-ca.pem").display().to_string()
    }

    /// A server of the herd that asks it over TLS.
    fn asked_by_herd(&self, behaviour: &str, timeout_ms: u32) -> io::Result<SingleServer> {
        SingleServer::start(Kind::Herd, |herd| {
            herd.places = Some(format!("https://{}/{behaviour}", self.secured));
            herd.places_trust = Some(self.authority());
            herd.places_timeout_ms = timeout_ms;
        })
    }

    /// What it has counted: the answer to a question about that.
    fn counted(&self, what: &str) -> io::Result<Vec<u64>> {
        let mut stream = TcpStream::connect(self.process.address)?;
        stream.write_all(format!("GET /{what} HTTP/1.1\r\n\r\n").as_bytes())?;
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer)?;
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        Ok(text.lines().last().into_iter().flat_map(str::split_whitespace).flat_map(str::parse).collect())
    }

    fn questions(&self) -> io::Result<u64> {
        Ok(self.counted("count")?.first().copied().unwrap_or(0))
    }

    /// The numbers of TLS connections, and of those with a resumed session.
    fn connections(&self) -> io::Result<[u64; 2]> {
        self.counted("connections")?.try_into().map_err(|_| io::Error::other("no numbers of connections"))
    }
}

/// A thousand clients ask the same at once.
fn equal(bench: &mut Bench, places: &SecuredPlaces, section: &mut Section) -> io::Result<()> {
    let server = places.asked_by_herd("later", 5000)?;
    let client = steady::report_new_client(server.process.address, 1)?;
    let before = places.questions()?;
    let mut streams = Vec::new();
    for _ in 0..CROWD {
        streams.push(TcpStream::connect(server.process.address)?);
    }
    let begin = Instant::now();
    for stream in &mut streams {
        stream.write_all(format!("WHATSAT {client} 10 5\n").as_bytes())?;
    }
    let all_asked = begin.elapsed();
    for stream in &mut streams {
        answer(&mut BufReader::new(stream))?;
    }
    let took = begin.elapsed().as_secs_f64();
    let asked = (places.questions()? - before) as f64;
    section.paragraph(&format!(
        "**The same question.** {} clients ask the same within {} ms, while Places takes a second. Places was asked {asked} \
         time(s), and the last client had its answer after {} s.",
        thousands(CROWD as f64),
        short(all_asked.as_secs_f64() * 1e3),
        short(took)
    ));
    let name = format!("(o) {} equal questions: requests to Places", thousands(CROWD as f64));
    bench.report.goal(&name, Bound::AtMost, 1.0, "", Some(asked));
    let name = format!("(o) {} equal questions: until the last answer", thousands(CROWD as f64));
    bench.report.goal(&name, Bound::AtMost, 1.2, "s", Some(took));
    Ok(())
}

/// Reads the reply to a WHATSAT. Returns its last line but one, the JSON's last.
fn answer(reader: &mut impl BufRead) -> io::Result<String> {
    let (mut last, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == "\n" {
            return Ok(last);
        }
        last.clone_from(&line);
    }
}

/// Five hundred clients with questions of their own, beside nginx and beside Places itself.
fn different(bench: &mut Bench, places: &SecuredPlaces, section: &mut Section) -> io::Result<()> {
    let herd = places.asked_by_herd("late", 5000)?;
    Generator::connect(load_for(&herd, Load { clients: QUESTIONS, ..steady::load(1, 16) }))?
        .send(u64::from(QUESTIONS))?;
    let nginx = Nginx::start(places)?;
    let load = |address, dialect| Load {
        address,
        dialect,
        clients: QUESTIONS,
        whatsat_every: 1,
        rate: Some(QUESTIONS_RATE),
        ..steady::load(QUESTIONS as usize, 1)
    };
    let mut contenders = vec![
        ("Places itself, plain text", load(places.process.address, Dialect::Http), places.process.id()),
        ("herd", load(herd.process.address, Dialect::Herd), herd.process.id()),
    ];
    match &nginx {
        Some(nginx) => contenders.push((
            "nginx `proxy_pass`",
            load(nginx.process.address, Dialect::Http),
            nginx.process.id(),
        )),
        None => eprintln!("  nginx is left out: it is not installed"),
    }
    let mut rounds: Vec<Vec<Measured>> = contenders.iter().map(|_| Vec::new()).collect();
    let mut connections: Vec<[u64; 2]> = vec![[0; 2]; contenders.len()];
    for _ in 0..bench.effort.rounds {
        for (number, (_, load, process)) in contenders.iter().enumerate() {
            let before = places.connections()?;
            let measured =
                Generator::connect(*load)?.measure(*process, bench.effort.warm_up, 2 * bench.effort.time)?;
            herd.folder.empty_logs();
            let after = places.connections()?;
            for (total, (after, before)) in connections[number].iter_mut().zip(after.iter().zip(before)) {
                *total += after - before;
            }
            rounds[number].push(measured);
        }
    }
    section.paragraph(&format!(
        "**Different questions.** {QUESTIONS} clients on as many connections, each with a location of its own, ask {} \
         questions per second altogether in an open loop. Places takes 5 ms for each, and gives twenty results (18 kB). The \
         herd and nginx ask it over TLS on connections that they keep, up to 64 of them, and verify its certificate; \
         nginx has an access log, as the herd has its traffic log. nginx passes the answer on, the herd checks it and \
         cuts it to five results. Added is what is more than Places itself takes.",
        thousands(f64::from(QUESTIONS_RATE))
    ));
    let added = |number: usize, quantile: f64| {
        let pairs = rounds[number].iter().zip(&rounds[0]);
        median(pairs.map(|(own, direct)| own.microseconds(quantile) - direct.microseconds(quantile)))
    };
    let rows: Vec<Vec<String>> = contenders
        .iter()
        .enumerate()
        .map(|(number, (title, ..))| {
            let figure = |figure: &dyn Fn(&Measured) -> f64| short(median(rounds[number].iter().map(figure)));
            let wrong: u64 = rounds[number].iter().map(|round| round.wrong).sum();
            let title = if wrong == 0 { (*title).to_owned() } else { format!("{title} (**{wrong} wrong**)") };
            let [made, resumed] = connections[number];
            let is_direct = number == 0;
            let or_dot = |text: String| if is_direct { "·".to_owned() } else { text };
            vec![
                title,
                figure(&|round| round.microseconds(0.5)),
                figure(&|round| round.microseconds(0.99)),
                or_dot(short(added(number, 0.5))),
                or_dot(short(added(number, 0.99))),
                figure(&|round| round.server_cpu_each()),
                or_dot(made.to_string()),
                or_dot(resumed.to_string()),
            ]
        })
        .collect();
    section.table(
        &[
            "",
            "p50 µs",
            "p99",
            "added p50",
            "added p99",
            "its CPU µs each",
            "connections to Places",
            "resumed",
        ],
        &rows,
    );
    let [made, _] = connections[1];
    bench.report.goal(
        "(o) different questions: connections to Places",
        Bound::AtMost,
        64.0,
        "",
        Some(made as f64),
    );
    for (quantile, name) in [(0.5, "p50"), (0.99, "p99")] {
        let ratio = nginx.as_ref().map(|_| added(1, quantile) / added(2, quantile));
        let name = format!("(o) different questions: added {name} ÷ nginx's");
        bench.report.goal(&name, Bound::AtMost, 1.0, "×", ratio);
    }
    Ok(())
}

/// nginx in front of the fake Places.
struct Nginx {
    process: Process,
    _folder: Folder,
}

impl Nginx {
    /// Starts it, if it is installed.
    fn start(places: &SecuredPlaces) -> io::Result<Option<Nginx>> {
        let program = Kind::Nginx.program();
        if !program.is_file() {
            return Ok(None);
        }
        let (folder, address) = (Folder::new()?, free_address());
        let http = format!(
            "upstream places {{ server {}; keepalive 64; keepalive_requests 100000000; }}",
            places.secured
        );
        let location = format!(
            "proxy_pass https://places; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
             proxy_set_header Host Places; proxy_ssl_protocols TLSv1.3; proxy_ssl_verify on; proxy_ssl_name Places; \
             proxy_ssl_trusted_certificate {};",
            places.authority()
        );
        Configuration { address, http: &http, location: &location, has_log: true }.write(folder.path())?;
        let arguments = ["-c".to_owned(), folder.path().join("nginx.conf").display().to_string()];
        let process =
            Process::start(&program, &arguments, &[], Affinity::OwnProcessor, folder.path(), address)?;
        Ok(Some(Nginx { process, _folder: folder }))
    }
}

/// Fifty clients while others ask a Places that fails.
fn failing(bench: &mut Bench, places: &SecuredPlaces, section: &mut Section) -> io::Result<()> {
    section.paragraph(&format!(
        "**A Places that fails.** Fifty clients send {} IAMATs per second in an open loop: alone, and while {ASKERS} other \
         clients ask Places without a pause, each with a question of its own; `places.timeout_ms` is {TIMEOUT_MS}. Late: \
         the longest time of an answer beyond that.",
        thousands(f64::from(RATE))
    ));
    let mut rows = Vec::new();
    for behaviour in ["dead", "hanging", "lying"] {
        let server = match behaviour {
            "dead" => SingleServer::start(Kind::Herd, |herd| {
                herd.places = Some(format!("http://{}", free_address()));
                herd.places_timeout_ms = TIMEOUT_MS;
            })?,
            _ => places.asked_by_herd(behaviour, TIMEOUT_MS)?,
        };
        let address = server.process.address;
        Generator::connect(load_for(&server, steady::load(50, 1)))?.send(20_000)?;
        let measure = || {
            let load = Load { rate: Some(RATE), ..load_for(&server, steady::load(50, 1)) };
            let effort = bench.effort;
            let measured =
                Generator::connect(load)?.measure(server.process.id(), effort.warm_up, effort.time);
            server.folder.empty_logs();
            measured
        };
        // Allocates what a server needs only once.
        while_asked(address, &measure)?;
        let before = server.process.memory();
        let (mut quiet, mut loud, mut asked) = (Vec::new(), Vec::new(), Asked::default());
        for _ in 0..bench.effort.rounds {
            quiet.push(measure()?);
            let (measured, more) = while_asked(address, &measure)?;
            loud.push(measured);
            asked.answers += more.answers;
            asked.longest = asked.longest.max(more.longest);
            asked.right += more.right;
        }
        if asked.right > 0 {
            return Err(io::Error::other(format!("{} answers of a Places that is {behaviour}", asked.right)));
        }
        let grown = server.process.memory().saturating_sub(before) as f64 / 1e3;
        let late = asked.longest.saturating_sub(Duration::from_millis(TIMEOUT_MS.into())).as_secs_f64() * 1e3;
        let ratios =
            loud.iter().zip(&quiet).map(|(loud, quiet)| loud.microseconds(0.99) / quiet.microseconds(0.99));
        let ratio = median(ratios);
        let p99 = |rounds: &[Measured]| short(median(rounds.iter().map(|round| round.microseconds(0.99))));
        rows.push(vec![
            behaviour.to_owned(),
            p99(&quiet),
            p99(&loud),
            thousands(asked.answers as f64),
            short(late),
            thousands(grown),
        ]);
        let mut goal = |figure: &str, most: f64, unit: &str, found: f64| {
            bench.report.goal(
                &format!("(o) Places {behaviour}: {figure}"),
                Bound::AtMost,
                most,
                unit,
                Some(found),
            );
        };
        goal("p99 of others ÷ without", 1.1, "×", ratio);
        goal("an answer after its deadline", 100.0, "ms", late);
        goal("growth of memory", GROWTH_KB_MAX, "kB", grown);
    }
    section.table(
        &["Places", "p99 µs alone", "p99 µs with", "answers", "late ms", "growth of memory kB"],
        &rows,
    );
    Ok(())
}

/// The answers of clients that ask without a pause.
#[derive(Default)]
struct Asked {
    answers: u64,
    longest: Duration,
    /// Answers that are no failure.
    right: u64,
}

/// Measures while clients ask Places.
fn while_asked(
    address: SocketAddr,
    measure: &impl Fn() -> io::Result<Measured>,
) -> io::Result<(Measured, Asked)> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let askers: Vec<_> = (0..ASKERS)
            .map(|number| {
                let over = &over;
                scope.spawn(move || ask_until(address, number, over))
            })
            .collect();
        thread::sleep(Duration::from_millis(200));
        let measured = measure();
        over.store(true, Ordering::Relaxed);
        let mut all = Asked::default();
        for asker in askers {
            let asked = asker.join().unwrap_or_else(|_| Err(io::Error::other("a client failed")))?;
            all.answers += asked.answers;
            all.longest = all.longest.max(asked.longest);
            all.right += asked.right;
        }
        Ok((measured?, all))
    })
}

fn ask_until(address: SocketAddr, number: u32, over: &AtomicBool) -> io::Result<Asked> {
    let mut stream = TcpStream::connect(address)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut asked = Asked::default();
    while !over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        stream.write_all(format!("WHATSAT {} 10 5\n", Messages::client_name(number)).as_bytes())?;
        let json = answer(&mut reader)?;
        asked.answers += 1;
        asked.right += u64::from(!json.contains("\"UNKNOWN_ERROR\""));
        asked.longest = asked.longest.max(begin.elapsed());
        // Once the breaker is open, each answer comes at once.
        thread::sleep(ASK_AGAIN);
    }
    Ok(asked)
}

/// Clients that ask the same.
const CROWD: usize = 1000;
/// Clients that ask different questions, and their questions per second: with 5 ms for each, ten are in flight.
const QUESTIONS: u32 = 500;
const QUESTIONS_RATE: u32 = 2000;
/// Clients that ask a Places which fails.
const ASKERS: u32 = 64;
const TIMEOUT_MS: u32 = 500;
/// The pause of such a client: all of them send few messages beside those that are measured.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// IAMATs per second of the fifty clients: a fraction of what a server can do, so that a slow reply is a long turn
/// and not a queue.
const RATE: u32 = 10_000;
/// Some answers, and the connections for them.
const GROWTH_KB_MAX: f64 = 4096.0;
