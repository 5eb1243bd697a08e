//! The graph of a herd: its connected parts and its cut vertices.

use super::HerdFile;
use std::collections::HashMap;

/// The edges between servers, which are numbered in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// The neighbours of each server, ascending. Each edge is in both lists.
    neighbours: Vec<Vec<usize>>,
}

impl Graph {
    /// The graph of a herd.
    pub fn of(herd: &HerdFile) -> Graph {
        let index_of: HashMap<&str, usize> =
            herd.servers.iter().enumerate().map(|(index, server)| (server.name.as_str(), index)).collect();
        let neighbours = |server: &super::ServerSection| {
            server.neighbours.iter().filter_map(|name| index_of.get(name.as_str()).copied()).collect()
        };
        Graph { neighbours: herd.servers.iter().map(neighbours).collect() }
    }

    /// Each edge once, as a pair of servers; pairs and list are ascending.
    pub fn edges(&self) -> Vec<(usize, usize)> {
        let later = |a: usize| self.neighbours[a].iter().filter(move |&&b| a < b).map(move |&b| (a, b));
        (0..self.neighbours.len()).flat_map(later).collect()
    }

    /// The connected components, ordered by their first server, each ascending.
    pub fn parts(&self) -> Vec<Vec<usize>> {
        self.parts_of((0..self.neighbours.len()).collect())
    }

    /// The cut vertices (servers whose failure cuts off others), ascending, each with the components into
    /// which its own component splits: at least two.
    pub fn cuts(&self) -> Vec<(usize, Vec<Vec<usize>>)> {
        // A search for each server is quadratic where Tarjan's algorithm is linear, but it is the definition
        // itself, and a herd has at most 128 servers.
        let mut cuts = Vec::new();
        for part in self.parts() {
            for &gone in &part {
                let parts = self.parts_of(part.iter().copied().filter(|&server| server != gone).collect());
                if parts.len() > 1 {
                    cuts.push((gone, parts));
                }
            }
        }
        cuts.sort_unstable_by_key(|(gone, _)| *gone);
        cuts
    }

    /// The connected components of the subgraph of these servers, which are ascending.
    fn parts_of(&self, servers: Vec<usize>) -> Vec<Vec<usize>> {
        let mut unseen = vec![false; self.neighbours.len()];
        servers.iter().for_each(|&server| unseen[server] = true);
        let mut parts = Vec::new();
        for start in servers {
            if !unseen[start] {
                continue;
            }
            unseen[start] = false;
            let mut part = vec![start];
            let mut searched = 0;
            while searched < part.len() {
                for &next in &self.neighbours[part[searched]] {
                    if unseen[next] {
                        unseen[next] = false;
                        part.push(next);
                    }
                }
                searched += 1;
            }
            part.sort_unstable();
            parts.push(part);
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn graph(servers: usize, edges: &[(usize, usize)]) -> Graph {
        let mut neighbours = vec![Vec::new(); servers];
        for &(a, b) in edges {
            neighbours[a].push(b);
            neighbours[b].push(a);
        }
        neighbours.iter_mut().for_each(|list| list.sort_unstable());
        Graph { neighbours }
    }

    #[test]
    fn the_middle_of_a_line_cuts_and_no_server_of_a_ring_does() {
        let line = graph(3, &[(0, 1), (1, 2)]);
        assert_eq!(line.cuts(), [(1, vec![vec![0], vec![2]])]);
        let ring = graph(4, &[(0, 1), (1, 2), (2, 3), (0, 3)]);
        assert_eq!(ring.cuts(), []);
        assert_eq!(ring.edges(), [(0, 1), (0, 3), (1, 2), (2, 3)]);
    }

    #[test]
    fn a_graph_that_is_not_connected_has_parts() {
        let two = graph(5, &[(0, 2), (2, 4)]);
        assert_eq!(two.parts(), [vec![0, 2, 4], vec![1], vec![3]]);
        assert_eq!(two.cuts(), [(2, vec![vec![0], vec![4]])]);
        assert_eq!(graph(1, &[]).parts(), [vec![0]]);
    }

    /// The transitive closure without `gone`, by Warshall's algorithm: independent of the search above.
    fn reach(edges: &[Vec<bool>], gone: Option<usize>) -> Vec<Vec<bool>> {
        let size = edges.len();
        let here = |server: usize| Some(server) != gone;
        let mut reach = vec![vec![false; size]; size];
        for a in 0..size {
            for b in 0..size {
                reach[a][b] = here(a) && here(b) && (a == b || edges[a][b] || edges[b][a]);
            }
        }
        for middle in 0..size {
            for a in 0..size {
                for b in 0..size {
                    reach[a][b] |= reach[a][middle] && reach[middle][b];
                }
            }
        }
        reach
    }

    proptest! {
        #[test]
        fn cuts_are_the_servers_whose_removal_disconnects_others(
            edges in (1usize..9).prop_flat_map(|size| {
                prop::collection::vec(prop::collection::vec(prop::bool::weighted(0.2), size), size)
            })
        ) {
            let size = edges.len();
            let pairs: Vec<(usize, usize)> = (0..size)
                .flat_map(|a| (a + 1..size).map(move |b| (a, b)))
                .filter(|&(a, b)| edges[a][b] || edges[b][a])
                .collect();
            let graph = graph(size, &pairs);
            let whole = reach(&edges, None);
            for (part, server) in graph.parts().iter().flat_map(|part| part.iter().map(move |s| (part, *s))) {
                prop_assert_eq!(part, &(0..size).filter(|&b| whole[server][b]).collect::<Vec<_>>());
            }
            let expected: Vec<usize> = (0..size)
                .filter(|&gone| {
                    let left = reach(&edges, Some(gone));
                    (0..size).any(|a| (0..size).any(|b| {
                        a != gone && b != gone && whole[a][gone] && whole[a][b] && !left[a][b]
                    }))
                })
                .collect();
            let cuts = graph.cuts();
            prop_assert_eq!(cuts.iter().map(|(gone, _)| *gone).collect::<Vec<_>>(), expected);
            for (gone, parts) in cuts {
                let left = reach(&edges, Some(gone));
                for part in parts {
                    let first = part[0];
                    prop_assert_eq!(&part, &(0..size).filter(|&b| left[first][b]).collect::<Vec<_>>());
                }
            }
        }
    }
}
