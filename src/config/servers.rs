//! The section `servers`: who is in the herd, and who talks to whom.

use super::error::{Mistake, Unreadable, quoted};
use super::host::HostPort;
use super::section::Item;
use crate::text::fields::is_field;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// One server of a herd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSection {
    /// One field, and fit for the name of its log file.
    pub name: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where its neighbours dial it.
    pub address: HostPort,
    /// The names of those that it talks to, whichever side of the edge the file names, in the order of the
    /// file; none twice, and never its own.
    pub neighbours: Vec<String>,
}

/// Who talks to whom, by index; an edge named on one side holds for both.
pub(super) struct Edges {
    linked: Vec<Vec<bool>>,
}

impl Edges {
    pub(super) fn none(servers: usize) -> Edges {
        Edges { linked: vec![vec![false; servers]; servers] }
    }

    pub(super) fn add(&mut self, a: usize, b: usize) {
        // A server that names itself needs no link to know what it knows.
        if a != b {
            self.linked[a][b] = true;
            self.linked[b][a] = true;
        }
    }

    /// Gives each server the names of its neighbours.
    pub(super) fn write_into(&self, servers: &mut [ServerSection]) {
        let names: Vec<String> = servers.iter().map(|server| server.name.clone()).collect();
        for (server, linked) in servers.iter_mut().zip(&self.linked) {
            let neighbours = names.iter().zip(linked).filter(|(_, linked)| **linked);
            server.neighbours = neighbours.map(|(name, _)| name.clone()).collect();
        }
    }
}

/// Reads the section, in the order of the file.
pub(super) fn read(section: &Item<'_>) -> Result<Vec<ServerSection>, Mistake> {
    let entries = section.entries()?;
    if entries.is_empty() {
        return Err(section.mistake(
            "has no server; write for example \"Riley\": { \"listen\": \"127.0.0.1:12326\" } into it",
        ));
    }
    if entries.len() > MAX_SERVERS {
        return Err(section.mistake(format!(
            "has {} servers; at most {MAX_SERVERS} are one herd, since each of them keeps everything",
            entries.len()
        )));
    }
    let mut index_of = HashMap::with_capacity(entries.len());
    for (index, (name, item)) in entries.iter().enumerate() {
        index_of.insert(self::name(name).map_err(|why| item.mistake(why))?, index);
    }
    let mut servers = Vec::with_capacity(entries.len());
    let mut edges = Edges::none(entries.len());
    let mut taken = Taken::default();
    for (index, (name, item)) in entries.iter().enumerate() {
        let keys = item.section(&KEYS)?;
        let listen_item = keys.required("listen", "\"127.0.0.1:12326\"")?;
        let listen = host_port(listen_item)?.to_listen().map_err(|why| listen_item.mistake(why.0))?;
        taken.listen(listen_item, name, listen)?;
        let address = match keys.item("address") {
            Some(item) => host_port(item)?,
            None => listen.into(),
        };
        taken.address(keys.item("address").unwrap_or(listen_item), name, &address)?;
        if let Some(item) = keys.item("talks_to") {
            for other in item.texts()? {
                let Some(&other) = index_of.get(other) else {
                    let known: Vec<&str> = entries.iter().map(|(name, _)| *name).collect();
                    let why = format!("no server is named {}", quoted(other));
                    return Err(item.mistake(format!("{why}; the servers are {}", listed(&known))));
                };
                edges.add(index, other);
            }
        }
        servers.push(ServerSection { name: (*name).to_owned(), listen, address, neighbours: Vec::new() });
    }
    edges.write_into(&mut servers);
    Ok(servers)
}

/// Refuses a herd whose links others than this machine could hear.
pub(super) fn require_loopback(section: &Item<'_>) -> Result<(), Mistake> {
    for (_, item) in section.entries()? {
        let keys = item.section(&KEYS)?;
        for key in ["listen", "address"] {
            let Some(item) = keys.item(key) else { continue };
            let HostPort { host, port } = host_port(item)?;
            if !host.is_loopback() {
                return Err(item.mistake(format!(
                    "{host} is not a loopback address: servers talk to each other in plain text, which is \
                     for a herd wholly on loopback only, and mutual TLS is not built yet; \
                     write 127.0.0.1:{port}"
                )));
            }
        }
    }
    Ok(())
}

/// `text` if it can be the name of a herd or a server: one field of a line, and one part of a path.
pub(super) fn name(text: &str) -> Result<&str, String> {
    let why = if text.is_empty() {
        "a name is wanted, not an empty text".to_owned()
    } else if !is_field(text.as_bytes()) {
        format!("{} is more than one word; a name has no white space", quoted(text))
    } else if text.len() > MAX_NAME_BYTES {
        format!("{} is longer than {MAX_NAME_BYTES} bytes", quoted(text))
    } else if text.chars().any(char::is_control) {
        format!("{} holds a control character", quoted(text))
    } else if text.contains('/') || text == "." || text == ".." {
        format!("{} cannot be a part of a path; a name has no / and is not . or ..", quoted(text))
    } else {
        return Ok(text);
    };
    Err(why)
}

fn host_port(item: &Item<'_>) -> Result<HostPort, Mistake> {
    item.text()?.parse().map_err(|why: Unreadable| item.mistake(why.0))
}

fn listed(names: &[&str]) -> String {
    let mut shown = names.iter().take(MAX_LISTED).copied().collect::<Vec<_>>().join(", ");
    if names.len() > MAX_LISTED {
        shown.push_str(", …");
    }
    shown
}

/// Places that a server has already, each with the name of that server.
#[derive(Default)]
struct Taken {
    listens: HashMap<(IpAddr, u16), String>,
    addresses: HashMap<HostPort, String>,
}

impl Taken {
    fn listen(&mut self, item: &Item<'_>, name: &str, listen: SocketAddr) -> Result<(), Mistake> {
        // ::ffff:127.0.0.1 and 127.0.0.1 are one place.
        match self.listens.insert((listen.ip().to_canonical(), listen.port()), name.to_owned()) {
            Some(other) => {
                Err(item.mistake(format!("{other} listens on {listen} already; choose another port")))
            }
            None => Ok(()),
        }
    }

    fn address(&mut self, item: &Item<'_>, name: &str, address: &HostPort) -> Result<(), Mistake> {
        match self.addresses.insert(address.clone(), name.to_owned()) {
            Some(other) => {
                Err(item.mistake(format!("{other} is dialled at {address} already; choose another port")))
            }
            None => Ok(()),
        }
    }
}

/// Every key of one server.
pub(super) const KEYS: [&str; 3] = ["listen", "address", "talks_to"];

/// A name and `.log` fit any file system's limit of a file name (255 bytes), and two names fit a HELLO
/// (1 KiB).
const MAX_NAME_BYTES: usize = 64;

/// Every server keeps every client, so more servers than this carry no more; and the drawing of a herd
/// grows with their square.
const MAX_SERVERS: usize = 128;

/// So many names help to find a slip; more of them hide it.
const MAX_LISTED: usize = 16;

#[cfg(test)]
mod tests {
    use super::super::testing::{parse, with, with_a, wrong};

    #[test]
    fn an_edge_named_on_either_side_holds_for_both() {
        let herd = parse(
            r#"{ "herd": "h", "servers": {
                "Z": { "listen": "localhost:1", "talks_to": ["Z", "A", "A"] },
                "M": { "listen": "[::1]:1", "address": "localhost:9", "talks_to": ["A"] },
                "A": { "listen": "127.0.0.1:3", "talks_to": ["Z"] }
            } }"#,
        )
        .unwrap();
        let neighbours: Vec<(&str, String)> =
            herd.servers.iter().map(|server| (&*server.name, server.neighbours.join(" "))).collect();
        assert_eq!(neighbours, [("Z", "A".into()), ("M", "A".into()), ("A", "Z M".into())]);
        assert_eq!(herd.servers[0].listen, "127.0.0.1:1".parse().unwrap());
        assert_eq!(herd.servers[1].address, "localhost:9".parse().unwrap());
    }

    #[test]
    fn mistakes_in_names() {
        let named = |name: &str| with("").replace(r#""h""#, name);
        wrong(&named("5"), "herd", "a text in quotes is wanted, not a number");
        wrong(&named(r#""""#), "herd", "not an empty text");
        wrong(&named(r#""two words""#), "herd", "more than one word");
        wrong(&named(r#""a\u0007""#), "herd", "control character");
        wrong(&named(r#""a\u0000""#), "herd", "control character");
        wrong(&named(r#""..""#), "herd", "cannot be a part of a path");
        wrong(&with("").replace(r#""A""#, r#""a/b""#), "servers.a/b", "cannot be a part of a path");
        wrong(&with("").replace(r#""B""#, r#""B\n""#), "servers.B\\n", "more than one word");
        let long = |length| with("").replace(r#""h""#, &format!("{:?}", "n".repeat(length)));
        assert!(parse(&long(64)).is_ok());
        wrong(&long(65), "herd", "longer than 64 bytes");
    }

    #[test]
    fn mistakes_in_servers() {
        let servers = |text: &str| format!(r#"{{ "herd": "h", "servers": {text} }}"#);
        wrong(&servers("[]"), "servers", "not a list");
        wrong(&servers("{}"), "servers", "has no server");
        let many = |count: usize| {
            let all = (1..=count).map(|n| format!(r#""S{n}": {{ "listen": "127.0.0.1:{n}" }}"#));
            servers(&format!("{{ {} }}", all.collect::<Vec<_>>().join(", ")))
        };
        assert!(parse(&many(128)).is_ok());
        wrong(&many(129), "servers", "at most 128");
        wrong(&with_a("true"), "servers.A", "not true or false");
        wrong(&with_a("{}"), "servers.A.listen", "is missing");
        wrong(&with_a(r#"{ "lissten": "127.0.0.1:1" }"#), "servers.A.lissten", "listen, address, talks_to");
        let twice = r#"{ "A": { "listen": "127.0.0.1:1" }, "A": { "listen": "127.0.0.1:2" } }"#;
        wrong(&servers(twice), "servers.A", "twice");
        let twice = r#"{ "listen": "127.0.0.1:1", "listen": "127.0.0.1:3" }"#;
        wrong(&with_a(twice), "servers.A.listen", "twice");
        let listen = |text: &str| with_a(&format!(r#"{{ "listen": {text} }}"#));
        wrong(&listen("1"), "servers.A.listen", "a text in quotes is wanted");
        wrong(&listen(r#""127.0.0.1""#), "servers.A.listen", "has no port");
        wrong(&listen(r#""127.0.0.1:99999""#), "servers.A.listen", "from 1 to 65535");
        wrong(&listen(r#""example.org:1""#), "servers.A.listen", "is a name");
        wrong(&listen(r#""localhost:2""#), "servers.A.listen", "B listens on 127.0.0.1:2 already");
        wrong(&listen(r#""[::ffff:127.0.0.1]:2""#), "servers.A.listen", "B listens on");
        wrong(&listen(r#""127.0.0.1:12331""#), "servers.A.listen", "local Places server");
        let address = |text: &str| with_a(&format!(r#"{{ "listen": "127.0.0.1:1", "address": {text} }}"#));
        wrong(&address(r#""127.0.0.1""#), "servers.A.address", "has no port");
        wrong(&address(r#""127.0.0.1:2""#), "servers.A.address", "B is dialled at 127.0.0.1:2 already");
        let talks_to = |text: &str| with_a(&format!(r#"{{ "listen": "127.0.0.1:1", "talks_to": {text} }}"#));
        wrong(&talks_to(r#""B""#), "servers.A.talks_to", "write [\"B\"]");
        wrong(&talks_to(r#"["B", 1]"#), "servers.A.talks_to[1]", "a text in quotes is wanted");
        wrong(&talks_to(r#"["C"]"#), "servers.A.talks_to", "no server is named \"C\"; the servers are B, A");
    }

    #[test]
    fn plain_text_stays_on_the_machine() {
        let wanted = "mutual TLS is not built yet";
        wrong(&with_a(r#"{ "listen": "10.0.0.1:1" }"#), "servers.A.listen", wanted);
        wrong(&with_a(r#"{ "listen": "0.0.0.0:1" }"#), "servers.A.listen", wanted);
        wrong(&with_a(r#"{ "listen": "127.0.0.1:1", "address": "x.org:1" }"#), "servers.A.address", wanted);
        wrong(&with(r#", "peers": { "tls": true }"#), "peers.tls", wanted.trim_start_matches("mutual TLS "));
        wrong(&with(r#", "peers": { "tls": "no" }"#), "peers.tls", "true or false is wanted");
    }
}
