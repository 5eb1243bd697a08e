//! The number of times that each statement crosses each edge, while the links of the edge stay as they are.

use std::collections::BTreeMap;

/// The statements and bytes on the edges between servers.
pub struct Crossings {
    max: u32,
    edges: BTreeMap<(usize, usize), Edge>,
}

#[derive(Default)]
struct Edge {
    statements: BTreeMap<Vec<u8>, u32>,
    bytes: u64,
}

impl Crossings {
    /// `once`: the servers are a tree and none restarts, so that each statement crosses each edge once.
    pub fn new(once: bool) -> Crossings {
        Crossings { max: if once { 1 } else { CROSSINGS_MAX }, edges: BTreeMap::new() }
    }

    /// Statements end within seconds: one that has lost may come back when the winner is over.
    pub fn let_statements_end(&mut self) {
        self.max = CROSSINGS_OF_ENDING_MAX;
    }

    /// Counts a statement. Returns whether it has crossed the edge too often.
    pub fn count(&mut self, from: usize, to: usize, line: &[u8]) -> bool {
        let edge = self.edges.entry((from.min(to), from.max(to))).or_default();
        let times = edge.statements.entry(line.to_vec()).or_default();
        *times += 1;
        *times > self.max
    }

    pub fn count_bytes(&mut self, from: usize, to: usize, bytes: usize) {
        self.edges.entry((from.min(to), from.max(to))).or_default().bytes += bytes as u64;
    }

    /// A new link of this edge is dialled: statements sent on an older one may be sent again.
    pub fn link_dialled(&mut self, from: usize, to: usize) {
        if let Some(edge) = self.edges.get_mut(&(from.min(to), from.max(to))) {
            edge.statements.clear();
        }
    }

    /// The most bytes that crossed one edge.
    pub fn bytes_max(&self) -> u64 {
        self.edges.values().map(|edge| edge.bytes).max().unwrap_or(0)
    }

    pub fn reset_bytes(&mut self) {
        self.edges.values_mut().for_each(|edge| edge.bytes = 0);
    }
}

/// Each of two servers may send a statement before it receives the same one from the other.
const CROSSINGS_MAX: u32 = 2;
/// The same, again each time when a statement that beats it is over at some servers: far fewer than a flood that does
/// not end by itself.
const CROSSINGS_OF_ENDING_MAX: u32 = 10;
