//! A herd of several servers, started by the bench.

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::Kind;
use super::herd_file::{Graph, HerdFile, Links};
use crate::process::{Affinity, Folder, Process, cpu_of};
use crate::watch::Watchers;
use crate::wire::Keys;

/// A running herd.
pub struct Cluster {
    /// The servers, in the order of the graph.
    pub servers: Vec<Process>,
    /// The folder of its files.
    pub folder: Folder,
}

impl Cluster {
    /// Starts all servers of a graph, with plain links.
    pub fn start(kind: Kind, graph: &Graph) -> io::Result<Cluster> {
        let folder = Folder::new()?;
        Cluster::start_file(kind, graph, &HerdFile::of(graph), folder)
    }

    /// Starts the herd of this repository, and waits until all of its links are up.
    pub fn start_linked(graph: &Graph, links: Links) -> io::Result<Cluster> {
        let folder = Folder::new()?;
        let herd = HerdFile::of(graph).with_links(links);
        let cluster = Cluster::start_file(Kind::Herd, graph, &herd, folder)?;
        // Each of two neighbours dials the other.
        let expected = 2 * graph.edges.len();
        let end = Instant::now() + LINKED_MAX;
        loop {
            let (made, secured) = cluster.links_made()?;
            if made >= expected {
                let wanted = if links == Links::Tls { made } else { 0 };
                return if secured == wanted {
                    Ok(cluster)
                } else {
                    Err(io::Error::other(format!("{secured} of {made} links are over TLS")))
                };
            }
            if Instant::now() > end {
                return Err(io::Error::other(format!("{made} of {expected} links are up")));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts all servers of a graph, with a client of the first server and a watcher at each other one.
    pub fn start_watched(
        kind: Kind,
        links: Links,
        graph: &Graph,
        clients: u32,
    ) -> io::Result<(Cluster, Watchers)> {
        let mut watchers = Watchers::listen(graph.names.len() - 1, kind.dialect(), clients)?;
        let mut herd = HerdFile::of(graph).with_links(links);
        for (number, name) in graph.names.iter().skip(1).enumerate() {
            herd.add_neighbour(name, &Watchers::name(number), watchers.address(number));
        }
        let folder = Folder::new()?;
        if links == Links::Tls {
            herd.write(folder.path())?;
            watchers.use_keys(&Keys::make(folder.path())?)?;
        }
        let cluster = Cluster::start_file(kind, graph, &herd, folder)?;
        watchers.begin(cluster.servers[0].address)?;
        Ok((cluster, watchers))
    }

    fn start_file(kind: Kind, graph: &Graph, herd: &HerdFile, folder: Folder) -> io::Result<Cluster> {
        herd.write(folder.path())?;
        let start = |name: &String| kind.start(herd, name, Affinity::Anywhere, folder.path());
        // In parallel, because a relay waits for its neighbours.
        let servers = graph.names.iter().map(start).collect::<io::Result<_>>()?;
        Ok(Cluster { servers, folder })
    }

    /// The numbers of links that were dialled and made, and of those over TLS, since the logs were emptied.
    fn links_made(&self) -> io::Result<(usize, usize)> {
        let (mut made, mut secured) = (0, 0);
        for entry in fs::read_dir(self.folder.path().join("logs"))? {
            let text = fs::read_to_string(entry?.path())?;
            let dialled = text.lines().filter(|line| line.contains("New connection to server "));
            for line in dialled.filter(|line| line.contains(" was made")) {
                made += 1;
                secured += usize::from(line.ends_with(", over TLS"));
            }
        }
        Ok((made, secured))
    }

    /// The processor time of all servers.
    pub fn cpu(&self) -> Duration {
        self.servers.iter().map(|server| cpu_of(server.id())).sum()
    }

    /// The numbers of messages and bytes between servers since the logs were emptied.
    pub fn traffic(&self) -> io::Result<(u64, u64)> {
        let (mut messages, mut bytes) = (0, 0);
        for entry in fs::read_dir(self.folder.path().join("logs"))? {
            let text = fs::read_to_string(entry?.path())?;
            for line in text.lines().filter(|line| line.contains(" sent to server ")) {
                if let Some((_, message)) = line.split_once('\'') {
                    messages += 1;
                    // The closing quote counts for the LF.
                    bytes += message.len() as u64;
                }
            }
        }
        Ok((messages, bytes))
    }
}

/// The bound until all links of a herd are up.
const LINKED_MAX: Duration = Duration::from_secs(20);
