//! How often each statement crosses each edge.

use std::collections::BTreeMap;

/// AT lines counted on the edges between servers, while the links of an edge stay as they are.
pub struct Crossings {
    most: u32,
    edges: BTreeMap<(usize, usize), Edge>,
}

#[derive(Default)]
struct Edge {
    statements: BTreeMap<Vec<u8>, u32>,
    bytes: u64,
}

impl Crossings {
    /// None were counted yet. On a tree whose servers do not forget, each statement crosses each edge once.
    pub fn new(nobody_hears_twice: bool) -> Crossings {
        Crossings { most: if nobody_hears_twice { 1 } else { CROSSINGS_MAX }, edges: BTreeMap::new() }
    }

    /// Counts a statement. Whether it crossed the edge too often.
    pub fn count(&mut self, from: usize, to: usize, line: &[u8]) -> bool {
        let edge = self.edges.entry((from.min(to), from.max(to))).or_default();
        let times = edge.statements.entry(line.to_vec()).or_default();
        *times += 1;
        *times > self.most
    }

    pub fn count_bytes(&mut self, from: usize, to: usize, bytes: usize) {
        self.edges.entry((from.min(to), from.max(to))).or_default().bytes += bytes as u64;
    }

    /// A link of this edge is made anew: what was told on an older one may be told again.
    pub fn links_changed(&mut self, from: usize, to: usize) {
        if let Some(edge) = self.edges.get_mut(&(from.min(to), from.max(to))) {
            edge.statements.clear();
        }
    }

    /// The most bytes that crossed an edge.
    pub fn bytes_max(&self) -> u64 {
        self.edges.values().map(|edge| edge.bytes).max().unwrap_or(0)
    }

    pub fn forget_bytes(&mut self) {
        self.edges.values_mut().for_each(|edge| edge.bytes = 0);
    }
}

/// Each of the two may tell the other before it hears the same from it.
const CROSSINGS_MAX: u32 = 2;
