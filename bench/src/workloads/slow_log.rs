//! Workload (m): fifty clients, while the log is written faster than its disk takes it.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::slow_disk::{READ_RATE, SlowDisk};
use super::{Bench, steady};
use crate::comparison::{Comparison, Contender, load_for, median};
use crate::load::{Generator, Load, Measured};
use crate::process::Affinity;
use crate::report::{Bound, Section, short, thousands};
use crate::servers::{Kind, SingleServer};
use crate::traffic_log::LogLines;

/// Runs workload (m).
pub fn slow_log(bench: &mut Bench) -> io::Result<()> {
    let mut section = Section::new("(m) Fifty connections, with a log on a slow disk");
    section.paragraph(&format!(
        "{DEPTH} messages in flight on each connection, all clients known. Two slow disks: a file to which the \
         bench writes, too, so that each write of the server sleeps until some megabytes are on the disk; and a \
         FIFO in place of the file, from which the bench reads {} MB/s. The server has to leave lines out. For the \
         FIFO the bench checks that each line was written or is counted in the log as lost.",
        READ_RATE / 1_000_000
    ));
    let mut rows = Vec::new();
    for (affinity, processors) in
        [(Affinity::OwnProcessor, "one processor"), (Affinity::TwoProcessors, "two processors")]
    {
        let comparison = compare(bench, affinity, processors, &mut rows)?;
        let off = &comparison.contenders[OFF];
        for (number, disk) in [(BUSY, "busy file"), (FIFO, "slow FIFO")] {
            let ratio = comparison.contenders[number].to(off, |round| round.microseconds(0.999));
            let name = format!("(m) log on a {disk}, {processors}: p99.9 ÷ that with the log off");
            bench.report.goal(&name, Bound::AtMost, 1.5, "×", ratio);
        }
    }
    section.table(&COLUMNS, &rows);
    bench.report.add(section);
    Ok(())
}

/// Measures a server without a log, and one with each kind of log. Adds their rows.
fn compare(
    bench: &Bench,
    affinity: Affinity,
    processors: &str,
    rows: &mut Vec<Vec<String>>,
) -> io::Result<Comparison> {
    let with_level = |level| {
        SingleServer::start_on(affinity, Kind::Herd, |herd, _| {
            herd.log_level = level;
            Ok(())
        })
    };
    let on_disk = |make: fn(&std::path::Path) -> io::Result<SlowDisk>| {
        let mut disk = None;
        let server = SingleServer::start_on(affinity, Kind::Herd, |_, logs| {
            disk = Some(make(&SingleServer::log_in(logs))?);
            Ok(())
        })?;
        Ok::<_, io::Error>((server, disk.ok_or(io::ErrorKind::NotFound)?))
    };
    let (busy, busy_file) = on_disk(SlowDisk::busy_file)?;
    let (slow, fifo) = on_disk(SlowDisk::fifo)?;
    // In the order of OFF, FILE, BUSY, FIFO.
    let servers = [with_level("off")?, with_level("traffic")?, busy, slow];
    let clients = if bench.effort.quick { 20_000 } else { 200_000 };
    let known = Load { clients, ..steady::load(50, DEPTH) };
    busy_file.set_active(false);
    for server in &servers {
        Generator::connect(load_for(server, known))?.send(u64::from(clients))?;
        server.empty_log()?;
    }
    let mut sent = u64::from(clients);
    // The bytes per second that the slow disks have taken, for each round.
    let mut taken = [Vec::new(), Vec::new()];
    let is = |server: &SingleServer, number: usize| server.process.id() == servers[number].process.id();
    let comparison = Comparison::of(&servers, bench.effort, |server| {
        let (begin, bytes) = (Instant::now(), [busy_file.bytes(), fifo.bytes()]);
        // Without a log, too, because writing takes some processor time of the load generator.
        busy_file.set_active(is(server, OFF) || is(server, BUSY));
        let mut generator = Generator::connect(load_for(server, known))?;
        let measured = generator.measure(server.process.id(), bench.effort.warm_up, bench.effort.time);
        busy_file.set_active(false);
        let mut measured = measured?;
        let rate =
            |disk: &SlowDisk, before: u64| (disk.bytes() - before) as f64 / begin.elapsed().as_secs_f64();
        if is(server, BUSY) {
            taken[0].push(rate(&busy_file, bytes[0]));
        }
        if is(server, FIFO) {
            taken[1].push(rate(&fifo, bytes[1]));
            sent += generator.sent();
        }
        measured.log = server.log_lines(generator.sent())?;
        Ok(measured)
    })?;
    let (lines, sent) = all_lines(&fifo, &servers[FIFO], sent)?;
    busy_file.finish()?;
    fifo.finish()?;
    let file = &comparison.contenders[FILE];
    let file_rate =
        file.rounds.iter().filter_map(|round| Some(round.log.as_ref()?.bytes_each() * round.rate()));
    let file_lines: u64 = file.rounds.iter().filter_map(|round| Some(round.log.as_ref()?.written)).sum();
    let megabytes = |rates: &[f64]| short(median(rates.iter().copied()) / 1e6);
    let none = || "·".to_owned();
    let details = [
        (none(), none()),
        (short(median(file_rate) / 1e6), percent(file.log_lost(), file_lines + file.log_lost())),
        (megabytes(&taken[0]), none()),
        (megabytes(&taken[1]), percent(lines.missing(sent), lines.missing(sent) + lines.written)),
    ];
    for ((title, contender), (rate, lost)) in TITLES.iter().zip(&comparison.contenders).zip(details) {
        let title = format!("{title}, {processors}");
        rows.push(row(title, contender, &comparison.contenders[OFF], rate, lost));
    }
    match lines.missing(sent).saturating_sub(lines.noted) {
        0 => Ok(comparison),
        lines => Err(io::Error::other(format!("{lines} lines were neither written nor counted as lost"))),
    }
}

/// Reads the FIFO without a bound until it has had all lines of `sent` messages, or the note of those that were
/// lost. Returns the lines, and the number of messages sent in the end.
fn all_lines(fifo: &SlowDisk, server: &SingleServer, mut sent: u64) -> io::Result<(LogLines, u64)> {
    fifo.set_active(false);
    let end = Instant::now() + NOTED_MAX;
    let mut generator = Generator::connect(load_for(server, steady::load(1, 1)))?;
    loop {
        // The server notes lost lines with the next line that it can write.
        generator.send(1)?;
        sent += 1;
        thread::sleep(NOTE_PAUSE);
        let lines = fifo.lines();
        if lines.missing(sent) <= lines.noted || Instant::now() > end {
            return Ok((lines, sent));
        }
    }
}

fn percent(part: u64, all: u64) -> String {
    format!("{} %", short(100.0 * part as f64 / all.max(1) as f64))
}

fn row(title: String, contender: &Contender, off: &Contender, rate: String, lost: String) -> Vec<String> {
    let microseconds = |quantile: f64| short(contender.latency.value_at_quantile(quantile) as f64 / 1000.0);
    let ratio = contender.to(off, |round| round.microseconds(0.999));
    vec![
        title,
        thousands(contender.median(Measured::rate)),
        short(contender.median(|round| round.microseconds(0.5))),
        microseconds(0.99),
        microseconds(0.999),
        microseconds(1.0),
        ratio.map_or("not counted".into(), |ratio| format!("{ratio:.2} ×")),
        rate,
        lost,
    ]
}

const COLUMNS: [&str; 9] = [
    "server",
    "messages/s",
    "p50 µs",
    "p99",
    "p99.9",
    "max",
    "p99.9 ÷ log off",
    "log MB/s",
    "log lines lost",
];
const TITLES: [&str; 4] = ["log off", "log in a file", "log in a busy file", "log in a slow FIFO"];
/// The positions of the servers.
const OFF: usize = 0;
const FILE: usize = 1;
const BUSY: usize = 2;
const FIFO: usize = 3;
/// The messages in flight on each connection. With fewer, the server writes less log.
const DEPTH: usize = 128;
/// The bound until the server has noted lost lines. It retries a failing log every second.
const NOTED_MAX: Duration = Duration::from_secs(5);
/// The pause in which a line comes from the server through the FIFO.
const NOTE_PAUSE: Duration = Duration::from_millis(100);
