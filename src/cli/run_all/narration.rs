//! Chooses the log lines that a person wants to see, and shortens them: commands and replies, flooding, servers
//! that come and go, trouble. HELLO, WELCOME, MARK, ACK and the connections of clients stay in the logs.

use super::places_reply;
use super::screen::{Row, in_order, split_stamp};
use crate::log::escaped;
use std::collections::{HashMap, HashSet};

/// Turns the log lines of a herd into rows for a person. Keeps the state of the links between servers.
pub(super) struct Narrator {
    names: Vec<String>,
    /// The names as they are escaped in log lines.
    names_in_log: Vec<String>,
    links: Links,
    /// The floods of the last batch, whose rest can come in the next one.
    last_floods: Vec<Flood>,
}

/// The topic of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    /// A command, a reply, or flooding.
    Talk,
    /// A server came or went.
    Link,
    /// An event that a person must know.
    Trouble,
}

/// The way of one statement through the herd.
struct Flood {
    /// The AT or GONE line.
    line: String,
    /// The server that sent it first.
    sender: usize,
    stamp: String,
    receivers: Vec<usize>,
    /// The reply with this line stands in the row before.
    follows_reply: bool,
}

/// A row, or the place of a row that later lines complete.
enum Item {
    Row(Topic, Row),
    Flood,
}

impl Narrator {
    /// For servers of these names; no link exists yet.
    pub(super) fn new(names: Vec<String>) -> Narrator {
        let names_in_log = names.iter().map(|name| escaped(name)).collect();
        Narrator { names, names_in_log, links: Links::default(), last_floods: Vec::new() }
    }

    /// The rows of a herd that starts: trouble only.
    pub(super) fn narrate_start(&mut self, lines: Vec<Row>) -> Vec<Row> {
        let rows = self.rows(lines, |_| false);
        rows.into_iter().filter(|(topic, _)| *topic == Topic::Trouble).map(|(_, row)| row).collect()
    }

    /// The rows for these log lines. `has_ended` returns whether a server has ended, which is shown otherwise.
    pub(super) fn narrate(&mut self, lines: Vec<Row>, has_ended: impl Fn(usize) -> bool) -> Vec<Row> {
        let mut rows: Vec<Row> = self.rows(lines, has_ended).into_iter().map(|(_, row)| row).collect();
        if rows.len() > ROWS_MAX {
            let rest = rows.len() - ROWS_MAX;
            let server = rows[ROWS_MAX].server;
            rows.truncate(ROWS_MAX);
            rows.push(Row {
                server,
                line: format!("(too fast for a screen: {rest} more rows, see the logs)"),
            });
        }
        rows
    }

    fn rows(&mut self, lines: Vec<Row>, has_ended: impl Fn(usize) -> bool) -> Vec<(Topic, Row)> {
        let mut batch = Batch::default();
        for row in in_order(lines) {
            self.add(&mut batch, row);
        }
        let mut rows = Vec::new();
        let mut floods = merged(&batch.floods, &self.last_floods).into_iter();
        for item in batch.items {
            match item {
                Item::Row(topic, row) => rows.push((topic, row)),
                Item::Flood => {
                    let Some(Some((clients, receivers, index))) = floods.next() else { continue };
                    let flood = &batch.floods[index];
                    let names = self.listed(&receivers);
                    let text = match clients {
                        _ if flood.follows_reply => format!("  → {names}"),
                        1 => format!("{} → {names}", client_of(&flood.line)),
                        _ => format!("{clients} clients → {names}"),
                    };
                    rows.push((Topic::Talk, flood_row(flood, &text)));
                }
            }
        }
        for (stamp, hub, others, came) in self.links.changes(has_ended) {
            let names = self.listed(&others);
            let text = if came { format!("linked to {names}") } else { format!("has lost {names}") };
            rows.push((Topic::Link, Row { server: hub, line: format!("{stamp} {text}") }));
        }
        self.last_floods = batch.floods;
        rows
    }

    fn listed(&self, servers: &[usize]) -> String {
        servers.iter().map(|&server| self.names[server].as_str()).collect::<Vec<_>>().join(", ")
    }

    fn add(&mut self, batch: &mut Batch, row: Row) {
        let Some((stamp, text)) = split_stamp(&row.line) else {
            // Of `run-all` itself, or from the standard error of the server.
            batch.items.push(Item::Row(Topic::Trouble, row));
            return;
        };
        let own = self.names_in_log.get(row.server).and_then(|name| text.strip_prefix(name.as_str()));
        let message = own.and_then(|rest| rest.strip_prefix(' ')).unwrap_or_default();
        if let Some(rest) = message.strip_prefix("received '") {
            let command = rest.rsplit_once("' from (").map_or(rest, |(command, _)| command);
            let command = command.trim_end_matches("\\x0d").trim();
            if !command.is_empty() && !PEER_VERBS.contains(&first_field(command)) {
                batch.talk(row.server, stamp, command);
            }
        } else if let Some(rest) = message.strip_prefix("sent to client '") {
            let reply = rest.strip_suffix('\'').unwrap_or(rest);
            let (line, json) = reply.split_once("\\x0a").unwrap_or((reply, ""));
            batch.talk(row.server, stamp, &format!("  {line}"));
            if !json.is_empty() {
                batch.talk(row.server, stamp, &format!("  {}", places_reply::in_words(json)));
            } else if STATEMENTS.contains(&first_field(line)) {
                batch.flood(line, row.server, stamp, true);
            }
        } else if let Some(rest) = message.strip_prefix("sent to server ") {
            self.add_flood(batch, row.server, stamp, rest);
        } else if message != "ends" {
            self.add_event(batch, &row, stamp, text);
        }
    }

    /// `text`: `Jaquez 'AT Riley …'`.
    fn add_flood(&mut self, batch: &mut Batch, sender: usize, stamp: &str, text: &str) {
        let Some((receiver, line)) = text.split_once(" '") else { return };
        let line = line.strip_suffix('\'').unwrap_or(line);
        let receiver = self.index(receiver);
        if let (Some(receiver), true) = (receiver, STATEMENTS.contains(&first_field(line))) {
            let origin = self.index(line.split(' ').nth(1).unwrap_or_default());
            let flood = batch.flood(line, sender, stamp, false);
            if Some(receiver) != origin && !flood.receivers.contains(&receiver) {
                flood.receivers.push(receiver);
            }
        }
    }

    fn add_event(&mut self, batch: &mut Batch, row: &Row, stamp: &str, text: &str) {
        let other = |before: &str, after: &str| {
            self.index(text.strip_prefix(before)?.strip_suffix(after)?).filter(|&other| other != row.server)
        };
        for (direction, made, dropped) in [
            (Direction::To, "New connection to server ", "Connection to server "),
            (Direction::From, "New connection from server ", "Connection from server "),
        ] {
            if let Some(other) = other(made, " was made").or_else(|| other(made, " was made, over TLS")) {
                return self.links.made(row.server, other, direction, stamp);
            }
            if let Some(other) = other(dropped, " was dropped") {
                return self.links.dropped(row.server, other, direction, stamp);
            }
        }
        if let Some(stream) = stream_of(text) {
            // Its beginning shows the command.
            if !stream.is_empty() {
                batch.talk(row.server, stamp, &stream);
            }
            return;
        }
        if let Some(outcome) = outcome_of(text)
            && batch.has_replied(row.server)
        {
            return batch.talk(row.server, stamp, &format!("  {outcome}"));
        }
        let is_noise = NOISE.iter().any(|begin| text.starts_with(begin)) && !text.contains(FULL)
            || text.contains(REFUSED);
        if !is_noise {
            batch.items.push(Item::Row(Topic::Trouble, row.clone()));
        }
    }

    fn index(&self, name_in_log: &str) -> Option<usize> {
        self.names_in_log.iter().position(|name| name == name_in_log)
    }
}

/// The log lines that are read at one time.
#[derive(Default)]
struct Batch {
    items: Vec<Item>,
    floods: Vec<Flood>,
    floods_by_line: HashMap<String, usize>,
}

impl Batch {
    fn talk(&mut self, server: usize, stamp: &str, text: &str) {
        self.items.push(Item::Row(Topic::Talk, Row { server, line: format!("{stamp} {text}") }));
    }

    /// Whether the last row is a reply of this server.
    fn has_replied(&self, server: usize) -> bool {
        self.items.last().is_some_and(|last| match last {
            Item::Row(Topic::Talk, row) => row.server == server,
            Item::Row(..) => false,
            Item::Flood => self.floods.last().is_some_and(|flood| flood.sender == server),
        })
    }

    /// The flood of this line, which begins here if it is new.
    fn flood(&mut self, line: &str, sender: usize, stamp: &str, follows_reply: bool) -> &mut Flood {
        let next = self.floods.len();
        let index = *self.floods_by_line.entry(line.to_owned()).or_insert(next);
        if index == next {
            let (line, stamp) = (line.to_owned(), stamp.to_owned());
            self.floods.push(Flood { line, sender, stamp, receivers: Vec::new(), follows_reply });
            self.items.push(Item::Flood);
        }
        &mut self.floods[index]
    }
}

/// For each flood, in order: the number of clients, the receivers and the index of the flood to show; `None`
/// if another row shows it, or if it went nowhere.
fn merged(floods: &[Flood], last: &[Flood]) -> Vec<Option<(usize, Vec<usize>, usize)>> {
    let known: HashMap<&str, &[usize]> =
        last.iter().map(|flood| (flood.line.as_str(), flood.receivers.as_slice())).collect();
    let mut shown: Vec<Option<(usize, Vec<usize>, usize)>> = Vec::with_capacity(floods.len());
    let mut open: HashMap<(usize, Vec<usize>), usize> = HashMap::new();
    for (index, flood) in floods.iter().enumerate() {
        let known = known.get(flood.line.as_str()).copied().unwrap_or_default();
        let receivers: Vec<usize> =
            flood.receivers.iter().copied().filter(|receiver| !known.contains(receiver)).collect();
        if receivers.is_empty() {
            shown.push(None);
            continue;
        }
        if flood.follows_reply {
            shown.push(Some((1, receivers, index)));
            continue;
        }
        let first = *open.entry((flood.sender, receivers.clone())).or_insert(index);
        if first == index {
            shown.push(Some((1, receivers, index)));
        } else {
            if let Some((clients, ..)) = &mut shown[first] {
                *clients += 1;
            }
            shown.push(None);
        }
    }
    shown
}

fn flood_row(flood: &Flood, text: &str) -> Row {
    Row { server: flood.sender, line: format!("{} {text}", flood.stamp) }
}

/// Why a command was refused, or was answered and not stored, of the event that repeats the command.
fn outcome_of(event: &str) -> Option<String> {
    let (command, refused) = event.rsplit_once(") is refused: ").unwrap_or((event, ""));
    if !refused.is_empty() {
        return command.starts_with('\'').then(|| format!("refused: {refused}"));
    }
    let (_, loses) = event.rsplit_once(") is answered, but not stored: ")?;
    Some(format!("not stored: {loses}"))
}

/// The end of a FOLLOW in short, empty for its beginning; `None`: the event is another one.
fn stream_of(event: &str) -> Option<String> {
    let (command, what) = event.strip_prefix('\'')?.rsplit_once("' from (")?;
    let (_, what) = what.rsplit_once(") ")?;
    match what.strip_prefix("has ended") {
        Some(_) => Some(format!("  {command} {what}")),
        None => (what == "has begun").then(String::new),
    }
}

/// The client ID of an AT or GONE line.
fn client_of(line: &str) -> &str {
    line.split(' ').nth(3).unwrap_or(line)
}

fn first_field(text: &str) -> &str {
    text.split_ascii_whitespace().next().unwrap_or_default()
}

/// The links between servers, as their logs show them. A pair of servers counts as linked from the first
/// connection in either direction until one of them has lost both.
#[derive(Default)]
struct Links {
    /// Server, other server, direction.
    connections: HashSet<(usize, usize, Direction)>,
    pairs: HashSet<(usize, usize)>,
    /// Time, server, other server; whether the link came.
    changes: Vec<(String, usize, usize, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Direction {
    To,
    From,
}

impl Links {
    fn made(&mut self, server: usize, other: usize, direction: Direction, stamp: &str) {
        self.connections.insert((server, other, direction));
        if self.pairs.insert(pair(server, other)) {
            self.changes.push((stamp.to_owned(), server, other, true));
        }
    }

    fn dropped(&mut self, server: usize, other: usize, direction: Direction, stamp: &str) {
        self.connections.remove(&(server, other, direction));
        let is_left = [Direction::To, Direction::From]
            .iter()
            .any(|&direction| self.connections.contains(&(server, other, direction)));
        if !is_left && self.pairs.remove(&pair(server, other)) {
            // A server that was killed has not logged the end of its links.
            self.connections.retain(|&(from, to, _)| (from, to) != (other, server));
            self.changes.push((stamp.to_owned(), server, other, false));
        }
    }

    /// Takes the changes, grouped by the server that has most of them: time, server, other servers, whether
    /// the links came. The links of a server that has ended are left out.
    fn changes(&mut self, has_ended: impl Fn(usize) -> bool) -> Vec<(String, usize, Vec<usize>, bool)> {
        let mut rest = std::mem::take(&mut self.changes);
        rest.retain(|&(_, server, other, came)| came || !(has_ended(server) || has_ended(other)));
        let mut groups = Vec::new();
        while let Some((_, first, second, came)) = rest.first().cloned() {
            let count =
                |server: usize| rest.iter().filter(|change| change.3 == came && has(change, server)).count();
            let hub = if count(second) > count(first) { second } else { first };
            let (group, others): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|change| change.3 == came && has(change, hub));
            let names =
                group.iter().map(|change| if change.1 == hub { change.2 } else { change.1 }).collect();
            groups.push((group[0].0.clone(), hub, names, came));
            rest = others;
        }
        groups
    }
}

fn has(change: &(String, usize, usize, bool), server: usize) -> bool {
    change.1 == server || change.2 == server
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

/// The verbs of lines between servers. The log does not say whether a line is a client's.
const PEER_VERBS: [&str; 7] = ["HELLO", "WELCOME", "REFUSED", "AT", "GONE", "MARK", "ACK"];

/// The verbs of lines that are flooded.
const STATEMENTS: [&str; 2] = ["AT", "GONE"];

/// The beginnings of events that are not shown: connections of clients, and of neighbours before their HELLO.
const NOISE: [&str; 2] = ["New connection from (", "Connection from ("];

/// A client that is closed because the server is full: that is no noise.
const FULL: &str = "limits.max_connections";

/// A neighbour that does not run yet, or not any more; its end is shown otherwise.
const REFUSED: &str = " could not be made: Connection refused";

/// Rows shown at once: more than a terminal has.
const ROWS_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn narrator() -> Narrator {
        Narrator::new(["Riley", "Jaquez", "Juzang", "Ça"].map(str::to_owned).to_vec())
    }

    fn lines(logs: &[(usize, &str)]) -> Vec<Row> {
        let line = |(number, (server, text)): (usize, &(usize, &str))| Row {
            server: *server,
            line: format!("2026-11-21 02:11:51.{number:06} {text}"),
        };
        logs.iter().enumerate().map(line).collect()
    }

    fn texts(rows: Vec<Row>) -> Vec<String> {
        let text = |line: &str| split_stamp(line).map_or(line, |(_, text)| text).to_owned();
        rows.into_iter().map(|row| format!("{}: {}", row.server, text(&row.line))).collect()
    }

    const AT: &str = "AT Riley +0.2 kiwi +34-118 5";

    #[test]
    fn a_command_its_reply_and_its_flooding_have_a_row_each() {
        for (command, line) in [("IAMAT kiwi +34-118 5", AT), ("FORGET kiwi", "GONE Riley +0.0 kiwi 5.0")] {
            let sent = |from: &str, to: &str| format!("{from} sent to server {to} '{line}'");
            let rows = lines(&[
                (0, "New connection from (127.0.0.1, 5) was made"),
                (0, &format!(r"Riley received '{command}\x0d' from (127.0.0.1, 5)")),
                (0, &format!("Riley sent to client '{line}'")),
                (0, &sent("Riley", "Jaquez")),
                (0, "Riley sent to server Jaquez 'MARK 1'"),
                (0, &sent("Riley", "Juzang")),
                (0, "Connection from (127.0.0.1, 5) was dropped"),
                (1, &format!("Jaquez received '{line}' from (127.0.0.1, 6)")),
                (1, "Jaquez received 'MARK 1' from (127.0.0.1, 6)"),
                (1, &sent("Jaquez", r"\xc3\x87a")),
                (3, &sent(r"\xc3\x87a", "Juzang")),
                (3, &sent(r"\xc3\x87a", "Riley")),
                (0, "Riley received 'ACK 1' from (127.0.0.1, 7)"),
            ]);
            assert_eq!(
                texts(narrator().narrate(rows, |_| false)),
                [format!("0: {command}"), format!("0:   {line}"), "0:   → Jaquez, Juzang, Ça".to_owned()]
            );
        }
    }

    #[test]
    fn flooding_that_is_read_later_has_a_row_for_new_receivers_only() {
        let mut narrator = narrator();
        let first = lines(&[
            (0, &format!("Riley sent to client '{AT}'")),
            (0, &format!("Riley sent to server Jaquez '{AT}'")),
        ]);
        narrator.narrate(first, |_| false);
        let later = lines(&[
            (2, &format!("Juzang sent to server Jaquez '{AT}'")),
            (1, &format!(r"Jaquez sent to server \xc3\x87a '{AT}'")),
        ]);
        assert_eq!(texts(narrator.narrate(later, |_| false)), ["2: kiwi → Ça"]);
    }

    #[test]
    fn a_transfer_is_one_row() {
        let sent = |id: usize| (0, format!("Riley sent to server Jaquez 'AT Riley +0.2 c{id} +34-118 5'"));
        let logs: Vec<(usize, String)> = (0..1000).map(sent).collect();
        let logs: Vec<(usize, &str)> = logs.iter().map(|(server, text)| (*server, text.as_str())).collect();
        assert_eq!(texts(narrator().narrate(lines(&logs), |_| false)), ["0: 1000 clients → Jaquez"]);
    }

    #[test]
    fn a_server_that_comes_and_goes_has_one_row_each() {
        let mut narrator = narrator();
        let came = lines(&[
            (1, "New connection from server Riley was made, over TLS"),
            (0, "New connection to server Jaquez was made"),
            (0, "New connection to server Juzang was made"),
            (0, "New connection from server Jaquez was made"),
            (1, "New connection to server Riley was made"),
        ]);
        assert_eq!(texts(narrator.narrate(came, |_| false)), ["0: linked to Jaquez, Juzang"]);
        let gone = || {
            lines(&[
                (2, "Connection to server Riley was dropped"),
                (1, "Connection from server Riley was dropped"),
                (1, "Connection to server Riley was dropped"),
                (1, "Connection to server Riley could not be made: Connection refused (os error 111)"),
            ])
        };
        assert_eq!(texts(narrator.narrate(gone(), |_| false)), ["0: has lost Juzang, Jaquez"]);
        // The same again changes nothing.
        assert_eq!(texts(narrator.narrate(gone(), |_| false)), [""; 0]);
        let back = lines(&[(0, "New connection to server Jaquez was made")]);
        assert_eq!(texts(narrator.narrate(back, |_| false)), ["0: linked to Jaquez"]);
        assert_eq!(texts(narrator.narrate(gone(), |server| server == 0)), [""; 0]);
    }

    #[test]
    fn a_stream_is_its_command_and_its_end() {
        let mut narrator = narrator();
        let lines = [
            "Riley received 'FOLLOW kiwi*' from (127.0.0.1, 4)",
            "'FOLLOW kiwi*' from (127.0.0.1, 4) has begun",
            "'FOLLOW kiwi*' from (127.0.0.1, 4) has ended after 17 lines",
        ];
        let rows = lines.map(|line| Row { server: 0, line: format!("2021-05-19 22:53:48.223371 {line}") });
        let shown: Vec<String> =
            narrator.narrate(rows.to_vec(), |_| false).into_iter().map(|row| row.line).collect();
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(
            shown[0].ends_with(" FOLLOW kiwi*")
                && shown[1].ends_with("  FOLLOW kiwi* has ended after 17 lines")
        );
    }

    #[test]
    fn the_reason_of_a_refusal_does_not_repeat_the_command() {
        let from = "from (127.0.0.1, 5)";
        let at = "AT Riley +9.0 kiwi +1+1 4";
        let rows = lines(&[
            (0, &format!("Riley received 'WHATSAT a 1 99' {from}")),
            (0, "Riley sent to client '? WHATSAT a 1 99'"),
            (0, &format!("'WHATSAT a 1 99' {from} is refused: expected an upper bound from 0 to 20")),
            (0, &format!("Riley received 'IAMAT kiwi +1+1 4' {from}")),
            (0, &format!("Riley sent to client '{at}'")),
            (0, &format!("An IAMAT of 'kiwi' {from} is answered, but not stored: its time is 9 days before")),
        ]);
        let expected = [
            "0: WHATSAT a 1 99",
            "0:   ? WHATSAT a 1 99",
            "0:   refused: expected an upper bound from 0 to 20",
            "0: IAMAT kiwi +1+1 4",
            &format!("0:   {at}"),
            "0:   not stored: its time is 9 days before",
        ];
        assert_eq!(texts(narrator().narrate(rows, |_| false)), expected);
        // At other levels of the log the command is nowhere else.
        let alone = format!("'FOO' {from} is refused: unknown command");
        assert_eq!(texts(narrator().narrate(lines(&[(0, &alone)]), |_| false)), [format!("0: {alone}")]);
        let full = format!("Connection {from} is closed: the server is full (limits.max_connections)");
        assert_eq!(texts(narrator().narrate(lines(&[(0, &full)]), |_| false)), [format!("0: {full}")]);
    }

    #[test]
    fn trouble_is_shown_also_during_the_start() {
        let trouble = lines(&[
            (0, "A HELLO from (127.0.0.1, 5) is refused: no neighbour of this server has that name"),
            (0, "Connection to server Jaquez could not be made: it hung up"),
            (0, "Riley received 'FOO' from (127.0.0.1, 5)"),
            (0, "Riley ends"),
        ]);
        let expected = [
            "0: A HELLO from (127.0.0.1, 5) is refused: no neighbour of this server has that name",
            "0: Connection to server Jaquez could not be made: it hung up",
        ];
        assert_eq!(texts(narrator().narrate_start(trouble)), expected);
        let own = vec![Row { server: 4, line: "the log is full".to_owned() }];
        assert_eq!(texts(narrator().narrate(own, |_| false)), ["4: the log is full"]);
    }

    #[test]
    fn the_places_of_an_answer_are_named() {
        let reply = r#"Riley sent to client 'AT Riley +0.2 kiwi +34-118 5\x0a{\x0a "results" : [ { "name" : "LAX" } ],\x0a "status" : "OK" }\x0a\x0a'"#;
        let rows = texts(narrator().narrate(lines(&[(0, reply)]), |_| false));
        assert_eq!(rows, [format!("0:   {AT}"), "0:   1 place: LAX".to_owned()]);
    }

    #[test]
    fn a_busy_herd_does_not_fill_the_screen() {
        let logs = vec![(0, "Riley received 'FOO' from (127.0.0.1, 5)"); ROWS_MAX + 7];
        let rows = texts(narrator().narrate(lines(&logs), |_| false));
        assert_eq!(rows.len(), ROWS_MAX + 1);
        assert_eq!(rows[ROWS_MAX], "0: (too fast for a screen: 7 more rows, see the logs)");
    }
}
