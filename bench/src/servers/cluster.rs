//! A herd of several servers, started by the bench.

use std::fs;
use std::io;
use std::time::Duration;

use super::Kind;
use super::herd_file::{Graph, HerdFile};
use crate::process::{Affinity, Folder, Process, cpu_of};
use crate::watch::Watchers;

/// A running herd.
pub struct Cluster {
    /// The servers, in the order of the graph.
    pub servers: Vec<Process>,
    /// The folder of its files.
    pub folder: Folder,
}

impl Cluster {
    /// Starts all servers of a graph.
    pub fn start(kind: Kind, graph: &Graph) -> io::Result<Cluster> {
        Cluster::start_file(kind, graph, HerdFile::of(graph))
    }

    /// Starts all servers of a graph, with a client of the first server and a watcher at each other one.
    pub fn start_watched(kind: Kind, graph: &Graph, clients: u32) -> io::Result<(Cluster, Watchers)> {
        let mut watchers = Watchers::listen(graph.names.len() - 1, kind.dialect(), clients)?;
        let mut herd = HerdFile::of(graph);
        for (number, name) in graph.names.iter().skip(1).enumerate() {
            herd.add_neighbour(name, &Watchers::name(number), watchers.address(number));
        }
        let cluster = Cluster::start_file(kind, graph, herd)?;
        watchers.begin(cluster.servers[0].address)?;
        Ok((cluster, watchers))
    }

    fn start_file(kind: Kind, graph: &Graph, herd: HerdFile) -> io::Result<Cluster> {
        let folder = Folder::new()?;
        herd.write(folder.path())?;
        let start = |name: &String| kind.start(&herd, name, Affinity::Anywhere, folder.path());
        // In parallel, because a relay waits for its neighbours.
        let servers = graph.names.iter().map(start).collect::<io::Result<_>>()?;
        Ok(Cluster { servers, folder })
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
