//! Workload (h): the memory of a million records, and the time to transfer them to a neighbour.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::near::{is_known, until_known};
use super::proxy::Proxy;
use super::{Bench, steady};
use crate::comparison::{load_for, median};
use crate::load::dialect::Messages;
use crate::load::{Generator, Load};
use crate::process::{Affinity, Folder, Process, free_address};
use crate::report::{Bound, Section, short, thousands};
use crate::servers::herd_file::{HerdFile, Links};
use crate::servers::{Kind, SingleServer};

/// Runs workload (h).
pub fn million(bench: &mut Bench) -> io::Result<()> {
    let count: u32 = if bench.effort.quick { 200_000 } else { 1_000_000 };
    let mut section = Section::new(&format!("(h) {} records", thousands(f64::from(count))));
    section.paragraph(
        "Bytes per record: the growth of memory (RSS) divided by the number of records. The AT line takes 83 bytes \
         of that, the index and other overhead the rest.",
    );
    let load = Load { clients: count, ..steady::load(50, 128) };
    let mut rows = Vec::new();
    for kind in
        [Kind::RedisSet, Kind::RedisGeoadd, Kind::Memcached, Kind::Java, Kind::Node, Kind::AsyncioProtocol]
    {
        // Fewer records for slow servers; the bytes per record hardly depend on the number.
        let count = if kind == Kind::AsyncioProtocol { count / 4 } else { count };
        if kind.is_present() && !(bench.effort.quick && kind == Kind::AsyncioProtocol) {
            let server = SingleServer::start(kind, |_| {})?;
            let load = Load { clients: count, ..load_for(&server, load) };
            rows.push(row(kind, weigh(&server.process, load)?));
        }
    }
    let pairs = [Pair::start(Links::Plain)?, Pair::start(Links::Tls)?];
    let mut weight = (0.0, 0.0);
    for pair in pairs.iter().rev() {
        weight = weigh(&pair.first, Load { address: pair.first.address, ..load })?;
    }
    rows.insert(0, row(Kind::Herd, weight));
    section.table(&["server", "bytes per record", "records/s while filling"], &rows);
    let name = format!("(h) bytes per record, {} records", thousands(f64::from(count)));
    bench.report.goal(&name, Bound::AtMost, 143.0, "bytes", Some(weight.0));
    let mut times: [Vec<(f64, f64)>; 2] = Default::default();
    for round in 0..bench.effort.rounds {
        for number in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            times[number].push(pairs[number].transfer(count, 2 * round as u32)?);
        }
    }
    section.paragraph(
        "The time for all records is from the start of an empty neighbour's process until it has the last one. \
         The time for 1,000 missed changes is from the new connection to a neighbour that was disconnected until \
         it has the last one. Two pairs of neighbours take turns, one with a plain link and one with TLS.",
    );
    let mut rows = Vec::new();
    for (suffix, times) in ["", " over TLS"].into_iter().zip(&times) {
        let all = |figure: fn(&(f64, f64)) -> f64| times.iter().map(figure).collect::<Vec<_>>();
        let (whole, missed) = (all(|each| each.0), all(|each| each.1 * 1e3));
        let each = |values: &[f64]| values.iter().map(|&value| short(value)).collect::<Vec<_>>().join(" ");
        let (seconds, milliseconds) = (median(whole.iter().copied()), median(missed.iter().copied()));
        rows.push(vec![format!("all records{suffix}, s"), short(seconds), each(&whole)]);
        let title = format!("1,000 missed changes{suffix}, ms");
        rows.push(vec![title, short(milliseconds), each(&missed)]);
        let goal = 0.7 * f64::from(count) / 1e6;
        let name = format!("(h) an empty server gets {} records{suffix}", thousands(f64::from(count)));
        bench.report.goal(&name, Bound::AtMost, goal, "s", Some(seconds));
        let name = format!("(h) 1,000 missed changes{suffix}");
        bench.report.goal(&name, Bound::AtMost, 20.0, "ms", Some(milliseconds));
    }
    section.table(&["", "median", "each"], &rows);
    bench.report.add(section);
    Ok(())
}

fn row(kind: Kind, (bytes, rate): (f64, f64)) -> Vec<String> {
    vec![kind.name().to_owned(), short(bytes), thousands(rate)]
}

/// The bytes per record, and the records per second.
pub fn weigh(server: &Process, load: Load) -> io::Result<(f64, f64)> {
    // Connects first, so that the memory of the connections is not counted.
    let mut generator = Generator::connect(load)?;
    let before = server.memory();
    let took = generator.send(u64::from(load.clients))?;
    drop(generator);
    thread::sleep(Duration::from_millis(300));
    let bytes = server.memory().saturating_sub(before) as f64 / f64::from(load.clients);
    Ok((bytes, f64::from(load.clients) / took.as_secs_f64()))
}

/// A herd of Riley and Jaquez. Riley dials Jaquez through a proxy.
struct Pair {
    herd: HerdFile,
    folder: Folder,
    proxy_address: std::net::SocketAddr,
    /// Riley.
    first: Process,
}

impl Pair {
    /// Starts Riley.
    fn start(links: Links) -> io::Result<Pair> {
        let folder = Folder::new()?;
        let (riley, jaquez) = (free_address(), free_address());
        let herd = HerdFile::new(&[("Riley", riley), ("Jaquez", jaquez)], &[("Riley", "Jaquez")]);
        let mut herd = herd.with_links(links);
        let proxy_address = Proxy::to(jaquez).address;
        herd.set_address("Jaquez", proxy_address);
        herd.write(folder.path())?;
        let first = Kind::Herd.start(&herd, "Riley", Affinity::Anywhere, folder.path())?;
        Ok(Pair { herd, folder, proxy_address, first })
    }

    fn proxy(&self) -> Proxy {
        let mut proxy = Proxy::to(self.herd.address("Jaquez"));
        proxy.address = self.proxy_address;
        proxy
    }

    /// The seconds until an empty Jaquez has all records, and until a disconnected one has the missed changes.
    /// `marker`: this number and the next one were not used.
    fn transfer(&self, count: u32, marker: u32) -> io::Result<(f64, f64)> {
        self.folder.empty_logs();
        let last = steady::report_new_client(self.first.address, count + marker)?;
        let forwarded = self.proxy().forward_one_later();
        let begin = Instant::now();
        let second = Kind::Herd.spawn(&self.herd, "Jaquez", Affinity::Anywhere, self.folder.path())?;
        let whole = (until_known(second.address, &last, TRANSFER_MAX)? - begin).as_secs_f64();
        // Checks that the other records have arrived before the last one.
        for sample in (0..count).step_by((count / 100) as usize) {
            let client = Messages::client_name(sample);
            if !is_known(second.address, &client)? {
                return Err(io::Error::other(format!("{client} is missing")));
            }
        }
        let received = |result: Result<io::Result<(Proxy, Instant)>, _>| {
            result
                .map_err(|_: std::sync::mpsc::RecvTimeoutError| io::Error::other("no connection was made"))?
        };
        let (mut proxy, _) = received(forwarded.recv_timeout(TRANSFER_MAX))?;
        proxy.cut();
        thread::sleep(Duration::from_millis(20));
        let load = Load { address: self.first.address, clients: count, ..steady::load(1, 128) };
        Generator::connect(load)?.send(MISSED - 1)?;
        let last = steady::report_new_client(self.first.address, count + marker + 1)?;
        if is_known(second.address, &last)? {
            return Err(io::Error::other("the connection was not cut"));
        }
        let (_proxy, accepted) = received(self.proxy().forward_one_later().recv_timeout(TRANSFER_MAX))?;
        let missed = (until_known(second.address, &last, TRANSFER_MAX)? - accepted).as_secs_f64();
        Ok((whole, missed))
    }
}

const MISSED: u64 = 1000;
/// The bound of a transfer.
const TRANSFER_MAX: Duration = Duration::from_secs(60);
