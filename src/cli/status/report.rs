//! What all servers have said, as a table and as JSON.

use super::asking::Said;
use crate::cli::loaded_herd::as_operand;
use crate::config::ServerSection;
use serde_json::{Value, json};

/// What all servers have said.
#[derive(Debug)]
pub(super) struct Report {
    herd: String,
    servers: Vec<(String, Said)>,
}

impl Report {
    pub(super) fn new(herd: &str, servers: &[&ServerSection], said: Vec<Said>) -> Report {
        let names = servers.iter().map(|server| server.name.clone());
        Report { herd: herd.to_owned(), servers: names.zip(said).collect() }
    }

    /// The numbers of clients that are known.
    fn clients(&self) -> impl Iterator<Item = u64> {
        self.servers.iter().filter_map(|(_, said)| said.page()?["clients"].as_u64())
    }

    /// Whether all servers have the same number of clients; `None`: fewer than two have said it.
    pub(super) fn has_same_clients(&self) -> Option<bool> {
        let first = self.clients().next()?;
        (self.clients().count() > 1).then(|| self.clients().all(|clients| clients == first))
    }

    /// Whether nothing is wrong.
    pub(super) fn is_well(&self) -> bool {
        let is_well = |said: &Said| match said {
            Said::NotAsked => true,
            Said::Down { .. } => false,
            Said::Up { reasons, herd, .. } => {
                reasons.is_empty() && herd.as_ref().is_ok_and(|page| down_links(page).is_empty())
            }
        };
        self.servers.iter().all(|(_, said)| is_well(said)) && self.has_same_clients() != Some(false)
    }

    /// The report for people. `file`: ` -c FILE` for commands to paste.
    pub(super) fn table(&self, file: &str) -> String {
        let mut rows = vec![COLUMNS.map(str::to_owned)];
        rows.extend(self.servers.iter().map(|(name, said)| row(name, said)));
        let widths: Vec<usize> = (0..COLUMNS.len())
            .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &rows {
            let mut line = String::new();
            for (index, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                // Names and states begin at the left, numbers end at the right.
                line += &if index < 2 { format!("{cell:width$}  ") } else { format!("{cell:>width$}  ") };
            }
            text += line.trim_end();
            text.push('\n');
        }
        let problems: Vec<String> =
            self.servers.iter().flat_map(|(name, said)| problems(name, said, file)).collect();
        if !problems.is_empty() {
            text.push('\n');
            problems.iter().for_each(|problem| text += &format!("{}\n", printable(problem)));
        }
        let (least, most) = (self.clients().min().unwrap_or(0), self.clients().max().unwrap_or(0));
        match self.has_same_clients() {
            None => {}
            Some(true) => text += &format!("\nAll have the same number of clients: {most}.\n"),
            Some(false) => {
                text += &format!("\nThey do not have the same number of clients: from {least} to {most}.\n");
            }
        }
        text
    }

    /// The report for programs, one line.
    pub(super) fn json(&self) -> String {
        let server = |(name, said): &(String, Said)| match said {
            Said::NotAsked => json!({ "name": name, "state": "not_asked" }),
            Said::Down { address, reason } => {
                json!({ "name": name, "state": "down", "address": address.to_string(), "reason": reason })
            }
            Said::Up { address, reasons, herd } => {
                let state = if reasons.is_empty() { "ready" } else { "not_ready" };
                let (page, error) = match herd {
                    Ok(page) => (page.clone(), Value::Null),
                    Err(error) => (Value::Null, error.as_str().into()),
                };
                json!({
                    "name": name,
                    "state": state,
                    "address": address.to_string(),
                    "reasons": reasons,
                    "herd": page,
                    "error": error,
                })
            }
        };
        let servers: Vec<Value> = self.servers.iter().map(server).collect();
        let report = json!({
            "herd": self.herd,
            "is_well": self.is_well(),
            "has_same_clients": self.has_same_clients(),
            "servers": servers,
        });
        format!("{report}\n")
    }
}

impl Said {
    /// The page `/v1/herd`.
    fn page(&self) -> Option<&Value> {
        if let Said::Up { herd: Ok(page), .. } = self { Some(page) } else { None }
    }

    fn state(&self) -> &'static str {
        match self {
            Said::NotAsked => "no http",
            Said::Down { .. } => "down",
            Said::Up { reasons, .. } if reasons.is_empty() => "ready",
            Said::Up { .. } => "not ready",
        }
    }
}

fn row(name: &str, said: &Said) -> [String; COLUMNS.len()] {
    let number = |value: &Value| value.as_u64().map_or("?".to_owned(), |number| number.to_string());
    let [clients, connections, links, backlog, uptime] = match said.page() {
        None => ["-"; 5].map(str::to_owned),
        Some(page) => {
            let all = 2 * neighbours(page).len();
            [
                number(&page["clients"]),
                number(&page["connections"]),
                format!("{} of {all}", all - down_links(page).len()),
                backlog(page).to_string(),
                page["uptime"].as_u64().map_or("?".to_owned(), in_units),
            ]
        }
    };
    [printable(name), said.state().to_owned(), clients, connections, links, backlog, uptime]
}

/// What is wrong with a server, one line each.
fn problems(name: &str, said: &Said, file: &str) -> Vec<String> {
    match said {
        Said::NotAsked => Vec::new(),
        Said::Down { address, reason } => vec![format!(
            "{name}: no answer from {address}: {reason}; start it with herd serve{file} {}, or look at its log",
            as_operand(name)
        )],
        Said::Up { reasons, herd, .. } => {
            let mut problems: Vec<String> =
                reasons.iter().map(|reason| format!("{name}: {reason}")).collect();
            match herd {
                Err(error) => problems.push(format!("{name}: {error}")),
                Ok(page) => {
                    problems.extend(down_links(page).into_iter().map(|link| format!("{name}: {link}")))
                }
            }
            problems
        }
    }
}

fn neighbours(page: &Value) -> &[Value] {
    page["neighbours"].as_array().map_or(&[], Vec::as_slice)
}

/// The links that are not up, in words.
fn down_links(page: &Value) -> Vec<String> {
    let mut down = Vec::new();
    for neighbour in neighbours(page) {
        for direction in ["to", "from"] {
            if neighbour[direction]["state"] != "up" {
                down.push(format!(
                    "the link {direction} {} is down",
                    neighbour["name"].as_str().unwrap_or("?")
                ));
            }
        }
    }
    down
}

/// Changes that neighbours have not acknowledged.
fn backlog(page: &Value) -> u64 {
    neighbours(page).iter().filter_map(|neighbour| neighbour["unacknowledged"].as_u64()).sum()
}

/// A length of time in the largest unit that it has.
fn in_units(seconds: u64) -> String {
    let (size, unit) = [(86_400, "d"), (3600, "h"), (60, "min")]
        .into_iter()
        .find(|(size, _)| seconds >= *size)
        .unwrap_or((1, "s"));
    format!("{} {unit}", seconds / size)
}

/// A text of a server without control characters, which could be commands to the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

const COLUMNS: [&str; 7] = ["NAME", "STATE", "CLIENTS", "CONNECTIONS", "LINKS", "BACKLOG", "UPTIME"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn page(clients: u64, from: &str) -> Value {
        json!({
            "name": "A", "clients": clients, "connections": 7, "uptime": 7200,
            "neighbours": [{ "name": "B", "to": { "state": "up" }, "from": { "state": from }, "unacknowledged": 3 }],
        })
    }

    fn up(reasons: &[&str], herd: Result<Value, &str>) -> Said {
        let address = SocketAddr::from(([127, 0, 0, 1], 80)).into();
        let reasons = reasons.iter().map(|&reason| reason.to_owned()).collect();
        Said::Up { address, reasons, herd: herd.map_err(str::to_owned) }
    }

    fn down() -> Said {
        Said::Down {
            address: SocketAddr::from(([127, 0, 0, 1], 80)).into(),
            reason: "Connection refused".into(),
        }
    }

    fn report(said: Vec<Said>) -> Report {
        let servers = said.into_iter().zip('A'..).map(|(said, name)| (name.to_string(), said)).collect();
        Report { herd: "h".into(), servers }
    }

    #[test]
    fn a_herd_without_a_problem_is_a_table_and_a_sentence() {
        let report = report(vec![up(&[], Ok(page(5, "up"))), up(&[], Ok(page(5, "up"))), Said::NotAsked]);
        let expected = "\
NAME  STATE    CLIENTS  CONNECTIONS   LINKS  BACKLOG  UPTIME
A     ready          5            7  2 of 2        3     2 h
B     ready          5            7  2 of 2        3     2 h
C     no http        -            -       -        -       -

All have the same number of clients: 5.
";
        assert_eq!(report.table(""), expected);
        assert!(report.is_well());
    }

    #[test]
    fn each_problem_has_a_line() {
        let report = report(vec![
            up(&["log: it cannot be written"], Ok(page(5, "down"))),
            down(),
            up(&[], Err("it wants a \u{1b}[2Jtoken")),
            up(&[], Ok(page(6, "up"))),
        ]);
        let table = report.table(" -c x.json");
        let expected = "
A: log: it cannot be written
A: the link from B is down
B: no answer from 127.0.0.1:80: Connection refused; start it with herd serve -c x.json B, or look at its log
C: it wants a \u{fffd}[2Jtoken

They do not have the same number of clients: from 5 to 6.
";
        assert!(table.ends_with(expected), "{table}");
        assert!(
            table.contains("\nA     not ready        5            7  1 of 2        3     2 h\n"),
            "{table}"
        );
    }

    #[test]
    fn one_problem_of_any_kind_is_enough() {
        let well = || up(&[], Ok(page(5, "up")));
        assert!(report(vec![well(), Said::NotAsked]).is_well());
        for wrong in [
            down(),
            up(&["x"], Ok(page(5, "up"))),
            up(&[], Err("x")),
            up(&[], Ok(page(5, "down"))),
            up(&[], Ok(page(6, "up"))),
        ] {
            assert!(!report(vec![well(), wrong]).is_well());
        }
    }

    #[test]
    fn programs_get_the_same_as_json() {
        let report = report(vec![up(&[], Ok(page(5, "up"))), down(), Said::NotAsked]);
        let value: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!((&value["is_well"], &value["has_same_clients"]), (&false.into(), &Value::Null));
        let servers = value["servers"].as_array().unwrap();
        let states: Vec<&str> = servers.iter().map(|server| server["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["ready", "down", "not_asked"]);
        assert_eq!(
            (&servers[0]["herd"]["clients"], &servers[1]["reason"]),
            (&5.into(), &"Connection refused".into())
        );
    }
}
