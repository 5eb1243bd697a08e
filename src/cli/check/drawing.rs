//! A herd file as text: its servers and edges in columns, its weak points, Places, logs and stores on disk.

use super::failures::draw_failures;
use crate::config::{Graph, HerdFile, HostPort, ServerSection};
use crate::log::Level;
use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

/// Draws the herd, one column for each edge, followed by the effect of single failures.
///
/// The text ends with a line feed. Columns are aligned by the number of `char`s.
pub fn draw(herd: &HerdFile) -> String {
    let graph = Graph::of(herd);
    let edges = graph.edges();
    let (servers, edge_count) = (counted(herd.servers.len(), "server"), counted(edges.len(), "edge"));
    let mut text = format!("{}: {servers}, {edge_count}\n\n", herd.name);
    draw_servers(&mut text, herd, &edges);
    draw_failures(&mut text, herd, &graph);
    let _ = write!(text, "\nPlaces  {}\nLogs    {}\n", places(herd), logs(herd));
    if let Some(stores) = stores(herd) {
        let _ = writeln!(text, "Stores  {stores}");
    }
    let _ = writeln!(text, "Links   {}", links(herd));
    text
}

fn draw_servers(text: &mut String, herd: &HerdFile, edges: &[(usize, usize)]) {
    let addresses: Vec<String> = herd.servers.iter().map(address).collect();
    let name_width = herd.servers.iter().map(|server| chars(&server.name)).max().unwrap_or(0);
    let address_width = addresses.iter().map(|address| chars(address)).max().unwrap_or(0);
    let has_columns = edges.len() <= MAX_COLUMNS;
    for (row, (server, address)) in herd.servers.iter().zip(&addresses).enumerate() {
        let mut line = |name: &str, address: &str, rest: &str| {
            let line = format!("  {name:name_width$}  {address:address_width$}  {rest}");
            text.push_str(line.trim_end());
            text.push('\n');
        };
        if !has_columns {
            line(&server.name, address, &format!("talks to {}", server.neighbours.join(", ")));
            continue;
        }
        let passing = columns(edges, ' ', |&(from, to)| if from < row && row <= to { '│' } else { ' ' });
        if !passing.trim_end().is_empty() {
            line("", "", &passing);
        }
        line(&server.name, address, &ends(row, edges));
    }
}

/// The columns in the row of a server: the ends of its own edges, and the edges that pass it.
fn ends(row: usize, edges: &[(usize, usize)]) -> String {
    let ends_here = |&(from, to): &(usize, usize)| from == row || to == row;
    let passes = |&(from, to): &(usize, usize)| (from..=to).contains(&row);
    // A horizontal line leads from the name of the server to its last edge.
    let own = edges.iter().rposition(ends_here).map_or(0, |last| last + 1);
    let (own, others) = edges.split_at(own);
    let line = columns(own, '─', |edge| match edge {
        edge if ends_here(edge) => '●',
        edge if passes(edge) => '┼',
        _ => '─',
    });
    line + &columns(others, ' ', |edge| if passes(edge) { '│' } else { ' ' })
}

fn columns(edges: &[(usize, usize)], filling: char, sign: impl Fn(&(usize, usize)) -> char) -> String {
    edges.iter().flat_map(|edge| [filling, filling, sign(edge)]).collect()
}

fn address(server: &ServerSection) -> String {
    let mut text = server.listen.to_string();
    if let Some(peers) = server.peers {
        let _ = write!(text, ", neighbours on {peers}");
    }
    if let Some(http) = server.http {
        let _ = write!(text, ", HTTP on {http}");
    }
    if server.address != HostPort::from(server.listens_for_peers()) {
        let _ = write!(text, ", dialled at {}", server.address);
    }
    text
}

fn places(herd: &HerdFile) -> String {
    let places = herd.places_or_local();
    let mut text = places.url.to_string();
    match &places.key_env {
        Some(variable) => {
            let _ = write!(text, " ({}, key in ${variable})", places.api.name());
        }
        None if herd.needs_local_places() => text.push_str(", the local Places server (herd places)"),
        None => {
            let _ = write!(text, " ({}, without a key)", places.api.name());
        }
    }
    if let Some(trust) = &places.trust {
        let _ = write!(text, ", trusting {}", trust.display());
    }
    text
}

/// How the servers of a herd are connected with each other.
fn links(herd: &HerdFile) -> &'static str {
    if herd.peers.tls { "mutual TLS" } else { "plain text (peers.tls is false)" }
}

/// Where the servers of a herd log, and how much: `logs/<server>.log (traffic)`.
pub(in crate::cli) fn logs(herd: &HerdFile) -> String {
    match herd.log.level {
        Level::Off => "off".to_owned(),
        level => format!("{} ({})", tidy(&herd.log.folder.join("<server>.log")).display(), level.name()),
    }
}

/// Where the servers of a herd have their stores on disk, and when statements are there: `store/<server> (every second)`.
/// `None`: they keep everything in memory.
pub(in crate::cli) fn stores(herd: &HerdFile) -> Option<String> {
    let store = herd.store.as_ref()?;
    Some(format!("{} ({})", tidy(&store.folder.join("<server>")).display(), store.sync.name()))
}

/// `path` without detours such as `herds/..`, for a person to read. A symbolic link can make it another path.
pub(in crate::cli) fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for component in path.components() {
        match (component, tidied.components().next_back()) {
            (Component::ParentDir, Some(Component::Normal(_))) => {
                tidied.pop();
            }
            _ => tidied.push(component),
        }
    }
    tidied
}

/// `1 server`, `2 servers`.
pub(in crate::cli) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

/// Edges, of three characters each. More do not fit beside the names in a terminal and cannot be followed
/// by eye; they are listed instead.
const MAX_COLUMNS: usize = 40;

#[cfg(test)]
mod tests {
    use super::super::testing::herd_of;
    use super::*;

    #[test]
    fn the_built_in_herd_is_drawn() {
        let expected = "\
bruins: 5 servers, 6 edges

  Riley     127.0.0.1:12326, HTTP on 127.0.0.1:13326  ──●──●
                                                        │  │
  Jaquez    127.0.0.1:12327, HTTP on 127.0.0.1:13327  ──●──┼──●
                                                           │  │
  Juzang    127.0.0.1:12328, HTTP on 127.0.0.1:13328  ─────●──┼──●──●
                                                              │  │  │
  Campbell  127.0.0.1:12329, HTTP on 127.0.0.1:13329  ────────┼──●──┼──●
                                                              │     │  │
  Bernard   127.0.0.1:12330, HTTP on 127.0.0.1:13330  ────────●─────●──●

If one server fails
  No single failure cuts off other servers.

Places  https://localhost:12331, the local Places server (herd places), trusting run/places-ca.pem
Logs    logs/<server>.log (traffic)
Links   mutual TLS
";
        let mut herd = HerdFile::built_in();
        herd.peers.tls = true;
        assert_eq!(draw(&herd), expected);
    }

    #[test]
    fn paths_are_shown_without_detours() {
        for (path, shown) in
            [("herds/../logs/a", "logs/a"), ("../logs", "../logs"), ("/a/b/../../c", "/c"), ("a/..", "")]
        {
            assert_eq!(tidy(Path::new(path)), Path::new(shown), "{path}");
        }
    }

    #[test]
    fn a_herd_with_a_weak_point_is_drawn() {
        let text = include_str!("../../../herds/report-003.json");
        let expected = "\
report-003: 5 servers, 6 edges

  Goloman  127.0.0.1:17345  ──●──●──●
                              │  │  │
  Hands    127.0.0.1:17346  ──●──┼──┼──●
                                 │  │  │
  Holiday  127.0.0.1:17347  ─────●──┼──┼──●──●
                                    │  │  │  │
  Welsh    127.0.0.1:17348  ────────┼──┼──●  │
                                    │  │     │
  Wilkes   127.0.0.1:17349  ────────●──●─────●

If one server fails
  Holiday: Welsh is cut off from the rest.

Places  https://localhost:12331, the local Places server (herd places), trusting run/places-ca.pem
Logs    ../logs/report-003/<server>.log (traffic)
Links   plain text (peers.tls is false)
";
        let mut herd = HerdFile::parse(text, Path::new("report-003.json")).unwrap();
        herd.peers.tls = false;
        assert_eq!(draw(&herd), expected);
    }

    #[test]
    fn addresses_places_logs_and_stores_are_shown() {
        let text = r#"{
            "herd": "h",
            "servers": { "A": { "listen": "[::1]:1", "peers": "[::1]:3", "http": "[::]:4", "address": "localhost:2" } },
            "places": { "url": "http://127.0.0.1:8080/fake", "trust": "ca.pem", "key_env": "K" },
            "log": { "level": "off" },
            "store": { "dir": "../st/ore", "sync": "always" },
            "http": { "tokens": "tokens.json", "certificate": "../web.pem", "key": "web.key" },
            "peers": { "tls": true }
        }"#;
        let expected = "\
h: 1 server, 0 edges

  A  [::1]:1, neighbours on [::1]:3, HTTP on [::]:4, dialled at localhost:2

If one server fails
  No other server is left.

Places  http://127.0.0.1:8080/fake (google-legacy, key in $K), trusting x/ca.pem
Logs    off
Stores  st/ore/<server> (always)
Links   mutual TLS
";
        assert_eq!(draw(&HerdFile::parse(text, Path::new("x/herd.json")).unwrap()), expected);
    }

    #[test]
    fn an_edge_passes_a_server_without_edges() {
        let text =
            draw(&herd_of(&[("A", &["Ç"]), ("B", &[]), ("Ç", &["B", "D"]), ("D", &[]), ("Lönely", &[])]));
        let rows = "\
  A       127.0.0.1:1  ──●
                         │
  B       127.0.0.1:2  ──┼──●
                         │  │
  Ç       127.0.0.1:3  ──●──●──●
                               │
  D       127.0.0.1:4  ────────●
  Lönely  127.0.0.1:5

The herd is in 2 parts with no edge between them
  A, B, Ç and D
  Lönely
";
        assert!(text.contains(rows), "{text}");
        let past = draw(&herd_of(&[("A", &["C"]), ("B", &[]), ("C", &[])]));
        assert!(past.contains("\n  B  127.0.0.1:2    │\n"), "{past}");
    }

    #[test]
    fn columns_stay_aligned_in_a_large_herd() {
        let names: Vec<String> = (0..14).map(|n| format!("{}-{n}", "x".repeat(n * 4 % 17))).collect();
        let talks_to: Vec<[&str; 2]> =
            (0..14).map(|n| [&*names[(n + 1) % 14], &*names[(n + 5) % 14]]).collect();
        let servers: Vec<(&str, &[&str])> =
            names.iter().zip(&talks_to).map(|(name, others)| (&**name, &others[..])).collect();
        let text = draw(&herd_of(&servers));
        let rows: Vec<Vec<char>> = text.lines().skip(2).take(27).map(|row| row.chars().collect()).collect();
        let at = |row: usize, column: usize| rows[row].get(column).copied().unwrap_or(' ');
        let width = rows.iter().map(Vec::len).max().unwrap();
        let mut arcs = 0;
        for column in 0..width {
            let ends: Vec<usize> = (0..27).filter(|&row| at(row, column) == '●').collect();
            let [from, to] = ends[..] else {
                assert_eq!(ends, [0; 0]);
                continue;
            };
            arcs += 1;
            for row in 0..27 {
                let sign = at(row, column);
                let expected = if row == from || row == to {
                    "●"
                } else if from < row && row < to {
                    "│┼"
                } else {
                    " ─"
                };
                assert!(expected.contains(sign), "row {row}, column {column}: {sign}\n{text}");
            }
        }
        assert_eq!(arcs, 28);
    }

    #[test]
    fn too_many_edges_are_listed_instead() {
        let names: Vec<String> = (0..10).map(|n| format!("S{n}")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let servers: Vec<(&str, &[&str])> = all.iter().map(|name| (*name, &all[..])).collect();
        let text = draw(&herd_of(&servers));
        assert!(
            text.contains("\n  S9  127.0.0.1:10  talks to S0, S1, S2, S3, S4, S5, S6, S7, S8\n"),
            "{text}"
        );
        assert!(!text.contains('●'));
    }
}
