//! A herd as a picture in text, for `herd check`.

use super::failures::draw_failures;
use super::graph::Graph;
use super::{Herd, HostPort, ServerSection};
use crate::log::Level;
use std::fmt::Write;

/// Draws who talks to whom, one column for each edge, and says what the herd depends on.
///
/// The text ends with a line end. Columns are aligned by the number of `char`s.
pub fn draw(herd: &Herd) -> String {
    let graph = Graph::of(herd);
    let edges = graph.edges();
    let mut text = format!(
        "{}: {}, {}\n\n",
        herd.name,
        counted(herd.servers.len(), "server"),
        counted(edges.len(), "edge")
    );
    draw_servers(&mut text, herd, &edges);
    draw_failures(&mut text, herd, &graph);
    let _ = write!(text, "\nPlaces  {}\nLogs    {}\n", places(herd), logs(herd));
    text
}

fn draw_servers(text: &mut String, herd: &Herd, edges: &[(usize, usize)]) {
    let places: Vec<String> = herd.servers.iter().map(place).collect();
    let name_width = herd.servers.iter().map(|server| chars(&server.name)).max().unwrap_or(0);
    let place_width = places.iter().map(|place| chars(place)).max().unwrap_or(0);
    for (row, (server, place)) in herd.servers.iter().zip(&places).enumerate() {
        if row > 0 && edges.len() <= MAX_DRAWN_EDGES {
            let gap = arcs_between(row, edges);
            if !gap.is_empty() {
                let _ = writeln!(text, "  {:name_width$}  {:place_width$}  {gap}", "", "");
            }
        }
        let edges = if edges.len() <= MAX_DRAWN_EDGES {
            arcs(row, edges)
        } else {
            format!("talks to {}", server.neighbours.join(", "))
        };
        let line = format!("  {:name_width$}  {place:place_width$}  {edges}", server.name);
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// One server's row of the columns.
fn arcs(row: usize, edges: &[(usize, usize)]) -> String {
    let ends_here = |&(from, to): &(usize, usize)| from == row || to == row;
    let Some(last) = edges.iter().rposition(ends_here) else {
        // Nobody talks to it, so nothing leads from its name to the arcs that pass.
        return columns(edges, ' ', |&(from, to)| if (from..=to).contains(&row) { '│' } else { ' ' });
    };
    let (reached, beyond) = edges.split_at(last + 1);
    let line = columns(reached, '─', |edge| match edge {
        edge if ends_here(edge) => '●',
        &(from, to) if (from..=to).contains(&row) => '┼',
        _ => '─',
    });
    let rest = columns(beyond, ' ', |&(from, to)| if (from..=to).contains(&row) { '│' } else { ' ' });
    (line + &rest).trim_end().to_owned()
}

/// The arcs between a server's row and the one before it.
fn arcs_between(row: usize, edges: &[(usize, usize)]) -> String {
    let line = columns(edges, ' ', |&(from, to)| if from < row && row <= to { '│' } else { ' ' });
    line.trim_end().to_owned()
}

fn columns(edges: &[(usize, usize)], filling: char, sign: impl Fn(&(usize, usize)) -> char) -> String {
    let mut line = String::new();
    for edge in edges {
        line.extend([filling, filling, sign(edge)]);
    }
    line
}

fn place(server: &ServerSection) -> String {
    if server.address == HostPort::from(server.listen) {
        server.listen.to_string()
    } else {
        format!("{}, dialled at {}", server.listen, server.address)
    }
}

fn places(herd: &Herd) -> String {
    let places = herd.places_or_local();
    let mut text = places.url.to_string();
    match &places.key_env {
        Some(variable) => {
            let _ = write!(text, " ({}, key in ${variable})", places.api.name());
        }
        None => text.push_str(", the local Places server (herd places)"),
    }
    if let Some(trust) = &places.trust {
        let _ = write!(text, ", trusting {}", trust.display());
    }
    text
}

fn logs(herd: &Herd) -> String {
    let level = herd.log.level;
    match level {
        Level::Off => "off".to_owned(),
        Level::Events | Level::Traffic => {
            format!("{} ({})", herd.log.folder.join("<server>.log").display(), level.name())
        }
    }
}

fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

/// Three characters each: more do not fit beside the names in a terminal, and nobody could follow them.
const MAX_DRAWN_EDGES: usize = 40;

#[cfg(test)]
mod tests {
    use super::super::testing::herd_of;
    use super::*;
    use std::path::Path;

    #[test]
    fn the_built_in_herd() {
        let expected = "\
bruins: 5 servers, 6 edges

  Riley     127.0.0.1:12326  ──●──●
                               │  │
  Jaquez    127.0.0.1:12327  ──●──┼──●
                                  │  │
  Juzang    127.0.0.1:12328  ─────●──┼──●──●
                                     │  │  │
  Campbell  127.0.0.1:12329  ────────┼──●──┼──●
                                     │     │  │
  Bernard   127.0.0.1:12330  ────────●─────●──●

If one server fails
  No single failure cuts this herd: whoever heard of each other still does.

Places  https://localhost:12331, the local Places server (herd places), trusting run/places-ca.pem
Logs    logs/<server>.log (traffic)
";
        assert_eq!(draw(&Herd::built_in()), expected);
    }

    #[test]
    fn the_herd_of_the_fourth_report() {
        let text = include_str!("../../herds/report-003.json");
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
";
        assert_eq!(draw(&Herd::parse(text, Path::new("report-003.json")).unwrap()), expected);
    }

    #[test]
    fn addresses_places_and_logs_are_shown() {
        let text = r#"{
            "herd": "h",
            "servers": { "A": { "listen": "[::1]:1", "address": "localhost:2" } },
            "places": { "url": "http://127.0.0.1:8080/fake", "trust": "ca.pem", "key_env": "K" },
            "log": { "level": "off" }
        }"#;
        let expected = "\
h: 1 server, 0 edges

  A  [::1]:1, dialled at localhost:2

If one server fails
  There is no other that could go on.

Places  http://127.0.0.1:8080/fake (google-legacy, key in $K), trusting x/ca.pem
Logs    off
";
        assert_eq!(draw(&Herd::parse(text, Path::new("x/herd.json")).unwrap()), expected);
    }

    #[test]
    fn an_arc_passes_a_server_that_has_none() {
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

This herd is in 2 parts that never hear of each other
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
