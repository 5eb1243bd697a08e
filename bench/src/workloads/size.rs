//! Workload (j): the cost of an update in herds of two, five, ten and twenty servers.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use super::{Bench, steady};
use crate::comparison::{Effort, median};
use crate::load::{Generator, Load};
use crate::report::plots::{self, Axis, Line};
use crate::report::{Section, short, thousands};
use crate::servers::Kind;
use crate::servers::cluster::Cluster;
use crate::servers::herd_file::Graph;

/// Runs workload (j).
pub fn size(bench: &mut Bench) -> io::Result<()> {
    let mut section = Section::new("(j) Cost of an update by size of the herd");
    section.paragraph(
        "One client sends 200 statements per second to one server. The figures are sums over all servers. \
         Messages are those in the logs: AT lines, the MARK after each batch of them, and its ACK. An edge is a \
         pair of neighbours.",
    );
    let sizes: &[usize] = if bench.effort.quick { &[2, 5, 20] } else { &[2, 5, 10, 20] };
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    let shapes: [(&str, Kind, Shape); 3] = [
        ("ring", Kind::Herd, Graph::ring),
        ("mesh", Kind::Herd, Graph::mesh),
        ("ring", Kind::Asyncio, Graph::ring),
    ];
    for (shape, kind, graph) in shapes {
        let mut points = Vec::new();
        for &servers in sizes {
            let graph = graph(servers);
            let cost = cost(kind, &graph, bench.effort)?;
            rows.push(vec![
                format!("{}: {}", graph.title, kind.name()),
                graph.edges.len().to_string(),
                short(cost.messages),
                thousands(cost.bytes),
                short(cost.microseconds),
                short(cost.microseconds / graph.edges.len() as f64),
            ]);
            points.push(((servers as f64).log2(), cost.microseconds));
        }
        let name = format!("{}, {shape}", kind.name());
        // Another colour for the mesh, since both lines are the herd's.
        let colour = if shape == "mesh" { Kind::RedisGeoadd } else { kind };
        lines.push(Line { name, kind: colour, points });
    }
    section.table(
        &[
            "herd",
            "edges",
            "messages per update",
            "bytes per update",
            "CPU µs per update",
            "CPU µs per update and edge",
        ],
        &rows,
    );
    let marks = [2, 5, 10, 20].map(|servers| (f64::from(servers).log2(), servers.to_string()));
    let axis = Axis { title: "servers".into(), marks: marks.into() };
    let subtitle = "microseconds of processor time per update, all servers, logarithmic";
    let file = bench.plot("j-size.svg");
    plots::plot_lines(&file, "Cost of an update by size of the herd", subtitle, &axis, &lines, short)?;
    section.plot("j-size.svg", "Cost of an update by size of the herd");
    section.paragraph(
        "The same fifty clients, sixteen messages in flight on each, all at one server or spread over all servers \
         of a ring. Each server must receive every update, so more servers mean more work. It grows less than \
         the number of servers, because a busy herd coalesces updates of the same client.",
    );
    section.table(&["servers", "updates/s", "CPU µs per update, all servers"], &spread(bench.effort)?);
    bench.report.add(section);
    Ok(())
}

/// A function from a number of servers to a graph.
type Shape = fn(usize) -> Graph;

struct Cost {
    messages: f64,
    bytes: f64,
    microseconds: f64,
}

fn cost(kind: Kind, graph: &Graph, effort: Effort) -> io::Result<Cost> {
    let cluster = Cluster::start(kind, graph)?;
    // Waits until the links are up.
    thread::sleep(Duration::from_millis(700));
    let address = cluster.servers[0].address;
    let mut costs = Vec::new();
    let (mut messages, mut bytes) = (0.0, 0.0);
    for _ in 0..effort.rounds {
        cluster.folder.empty_logs();
        let before = cluster.cpu();
        let updates = if effort.quick { 40 } else { 200 };
        let mut generator = Generator::connect(Load { address, ..steady::load(1, 1) })?;
        for _ in 0..updates {
            generator.send(1)?;
            thread::sleep(Duration::from_millis(5));
        }
        costs.push((cluster.cpu() - before).as_secs_f64() * 1e6 / f64::from(updates));
        // Waits for the herds in other languages to write their logs.
        thread::sleep(Duration::from_millis(300));
        let traffic = cluster.traffic()?;
        messages = traffic.0 as f64 / f64::from(updates);
        bytes = traffic.1 as f64 / f64::from(updates);
    }
    Ok(Cost { messages, bytes, microseconds: median(costs) })
}

/// The updates per second and their cost, for herds of one, two and five servers.
fn spread(effort: Effort) -> io::Result<Vec<Vec<String>>> {
    let mut rows = Vec::new();
    for servers in [1, 2, 5] {
        let cluster = Cluster::start(Kind::Herd, &Graph::ring(servers))?;
        thread::sleep(Duration::from_millis(500));
        let addresses: Vec<SocketAddr> = cluster.servers.iter().map(|server| server.address).collect();
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..effort.rounds.min(3) {
            let before = cluster.cpu();
            let rate = together(&addresses, effort)?;
            let updates = rate * (effort.time + effort.warm_up).as_secs_f64();
            costs.push((cluster.cpu() - before).as_secs_f64() * 1e6 / updates);
            rates.push(rate);
            cluster.folder.empty_logs();
        }
        rows.push(vec![servers.to_string(), thousands(median(rates)), short(median(costs))]);
    }
    Ok(rows)
}

/// The replies per second of all servers.
fn together(addresses: &[SocketAddr], effort: Effort) -> io::Result<f64> {
    let connections = 50 / addresses.len();
    let load = |&address| Load { address, ..steady::load(connections, 16) };
    let measure = |load: Load| Generator::connect(load)?.measure(0, effort.warm_up, effort.time);
    let rates = thread::scope(|scope| {
        let threads: Vec<_> =
            addresses.iter().map(load).map(|load| scope.spawn(move || measure(load))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("a load generator failed"))))
            .map(|measured| measured.map(|measured| measured.rate()))
            .collect::<io::Result<Vec<f64>>>()
    })?;
    Ok(rates.iter().sum())
}
