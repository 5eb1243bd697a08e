//! The section `servers`: the members of the herd and the edges between them.

use super::error::Error;
use super::host::HostPort;
use super::section::{Item, Section};
use super::words::{did_you_mean, listed, quoted};
use crate::text::fields::is_field;
use std::collections::HashSet;
use std::net::SocketAddr;

/// One server of a herd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSection {
    /// One field of at most 64 bytes, fit for the name of a log file.
    pub name: String,
    /// The address on which it listens; no two servers have the same.
    pub listen: SocketAddr,
    /// The address that its neighbours dial; no two servers have the same.
    pub address: HostPort,
    /// The names of its neighbours in the order of the file, each once, without its own name. An edge that
    /// the file names on one side holds for both.
    pub neighbours: Vec<String>,
}

/// Reads the section, in the order of the file.
pub(super) fn read(section: &Item<'_>) -> Result<Vec<ServerSection>, Error> {
    let entries = section.entries()?;
    let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return Err(section.error(format!("expected a server, got none; write for example {EXAMPLE}")));
    }
    if names.len() > MAX_SERVERS {
        return Err(section.error(format!(
            "expected at most {MAX_SERVERS} servers, got {}; each of them stores every client, so that more \
             add no capacity",
            names.len()
        )));
    }
    // Errors about other servers may list all names.
    for (name, item) in &entries {
        check_name(name).map_err(|problem| item.error(problem))?;
    }
    let mut servers = Vec::with_capacity(names.len());
    let mut talks_to = Vec::with_capacity(names.len());
    for (name, item) in &entries {
        let keys = item.section(&["listen", "address", "talks_to"])?;
        servers.push(read_server(name, &keys, &servers)?);
        talks_to.push(read_talks_to(&keys, &names)?);
    }
    for (index, server) in servers.iter_mut().enumerate() {
        let is_named = |from: usize, to: usize| talks_to[from].contains(names[to]);
        let is_neighbour =
            |other: &usize| *other != index && (is_named(index, *other) || is_named(*other, index));
        let neighbours = (0..names.len()).filter(is_neighbour);
        server.neighbours = neighbours.map(|other| names[other].to_owned()).collect();
    }
    Ok(servers)
}

/// Reads the addresses of a server, which differ from those of the `earlier` ones.
fn read_server(name: &str, keys: &Section<'_>, earlier: &[ServerSection]) -> Result<ServerSection, Error> {
    let listen_item = keys.required("listen", "\"127.0.0.1:12326\"")?;
    let listen = listen_item.parsed::<HostPort>()?.to_listen().map_err(|error| listen_item.error(error.0))?;
    require_loopback(listen_item, &listen.into())?;
    // ::ffff:127.0.0.1 and 127.0.0.1 are the same address.
    let canonical = |listen: SocketAddr| (listen.ip().to_canonical(), listen.port());
    if let Some(other) = earlier.iter().find(|other| canonical(other.listen) == canonical(listen)) {
        let problem = format!("{} listens on {listen} already; choose another port", other.name);
        return Err(listen_item.error(problem));
    }
    let address_item = keys.get("address").unwrap_or(listen_item);
    let address = match keys.get("address") {
        Some(item) => item.parsed()?,
        None => listen.into(),
    };
    require_loopback(address_item, &address)?;
    if let Some(other) = earlier.iter().find(|other| other.address == address) {
        let problem = format!("{} is dialled at {address} already; choose another port", other.name);
        return Err(address_item.error(problem));
    }
    Ok(ServerSection { name: name.to_owned(), listen, address, neighbours: Vec::new() })
}

/// Reads the neighbours that a server names.
fn read_talks_to(keys: &Section<'_>, names: &[&str]) -> Result<HashSet<String>, Error> {
    let mut talks_to = HashSet::new();
    let Some(list) = keys.get("talks_to") else { return Ok(talks_to) };
    for item in list.list()? {
        let name = item.string()?;
        if !names.contains(&name.as_str()) {
            let known = || names.iter().copied();
            return Err(list.error(format!(
                "unknown server {}; the servers are {}{}",
                quoted(&name),
                listed(known()),
                did_you_mean(&name, known())
            )));
        }
        talks_to.insert(name);
    }
    Ok(talks_to)
}

/// Links between servers are plain text until mutual TLS is built: `peers.tls`.
fn require_loopback(item: &Item<'_>, address: &HostPort) -> Result<(), Error> {
    let HostPort { host, port } = address;
    if host.is_loopback() {
        return Ok(());
    }
    Err(item.error(format!(
        "{host} is not a loopback address, and links between servers must stay on this machine until mutual \
         TLS is built; write 127.0.0.1:{port}"
    )))
}

/// Whether `name` can be the name of a herd or a server, or the reason why not. A name is one field of a
/// line and one part of a path.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let problem = if name.is_empty() {
        return Err("expected a name, got \"\"".to_owned());
    } else if !is_field(name.as_bytes()) {
        "has white space; write a name of one word"
    } else if name.chars().any(char::is_control) {
        "has a control character; remove it"
    } else if name.contains('/') || name == "." || name == ".." {
        "cannot be the name of a file; a name has no / and is not . or .."
    } else if name.len() > MAX_NAME_BYTES {
        return Err(format!("expected a name of at most {MAX_NAME_BYTES} bytes, got {}", name.len()));
    } else {
        return Ok(());
    };
    Err(format!("{} {problem}", quoted(name)))
}

pub(super) const EXAMPLE: &str = r#"{ "Riley": { "listen": "127.0.0.1:12326" } }"#;

/// With `.log` a name fits the limit of file systems for a file name (255 bytes), and two names fit a HELLO
/// (1 KiB).
const MAX_NAME_BYTES: usize = 64;

/// Each server stores every client, so that more servers add no capacity. The work of `herd check` grows
/// with the square.
const MAX_SERVERS: usize = 128;

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
        wrong(&named("5"), "herd", "expected a string, got 5");
        wrong(&named(r#""""#), "herd", "expected a name, got \"\"");
        wrong(&named(r#""two words""#), "herd", "has white space");
        wrong(&named(r#""a\u0007""#), "herd", "control character");
        wrong(&named(r#""a\u0000""#), "herd", "control character");
        wrong(&named(r#""..""#), "herd", "cannot be the name of a file");
        wrong(&with("").replace(r#""A""#, r#""a/b""#), "servers.a/b", "cannot be the name of a file");
        wrong(&with("").replace(r#""B""#, r#""B\n""#), "servers.B\\n", "has white space");
        let later = r#"{ "herd": "h", "servers": { "A": { "listen": "127.0.0.1:1", "talks_to": ["C"] }, "B\n": {} } }"#;
        wrong(later, "servers.B\\n", "has white space");
        let long = |length| with("").replace(r#""h""#, &format!("{:?}", "n".repeat(length)));
        assert!(parse(&long(64)).is_ok());
        wrong(&long(65), "herd", "at most 64 bytes, got 65");
    }

    #[test]
    fn mistakes_in_servers() {
        let servers = |text: &str| format!(r#"{{ "herd": "h", "servers": {text} }}"#);
        wrong(&servers("[]"), "servers", "got a list");
        wrong(&servers("{}"), "servers", "expected a server, got none");
        let many = |count: usize| {
            let all = (1..=count).map(|n| format!(r#""S{n}": {{ "listen": "127.0.0.1:{n}" }}"#));
            servers(&format!("{{ {} }}", all.collect::<Vec<_>>().join(", ")))
        };
        assert!(parse(&many(128)).is_ok());
        wrong(&many(129), "servers", "at most 128 servers, got 129");
        wrong(&with_a("true"), "servers.A", "got true");
        wrong(&with_a("{}"), "servers.A.listen", "is missing");
        wrong(
            &with_a(r#"{ "lissten": "127.0.0.1:1" }"#),
            "servers.A.lissten",
            "listen, address, talks_to; did you mean listen?",
        );
        let twice = r#"{ "A": { "listen": "127.0.0.1:1" }, "A": { "listen": "127.0.0.1:2" } }"#;
        wrong(&servers(twice), "servers.A", "duplicate key");
        let twice = r#"{ "listen": "127.0.0.1:1", "listen": "127.0.0.1:3" }"#;
        wrong(&with_a(twice), "servers.A.listen", "duplicate key");
        let listen = |text: &str| with_a(&format!(r#"{{ "listen": {text} }}"#));
        wrong(&listen("1"), "servers.A.listen", "expected a string, got 1");
        wrong(&listen(r#""127.0.0.1""#), "servers.A.listen", "has no port");
        wrong(&listen(r#""127.0.0.1:99999""#), "servers.A.listen", "from 1 to 65535");
        wrong(&listen(r#""example.org:1""#), "servers.A.listen", "is a host name");
        wrong(&listen(r#""localhost:2""#), "servers.A.listen", "B listens on 127.0.0.1:2 already");
        wrong(&listen(r#""[::ffff:127.0.0.1]:2""#), "servers.A.listen", "B listens on");
        wrong(&listen(r#""127.0.0.1:12331""#), "servers.A.listen", "local Places server");
        let address = |text: &str| with_a(&format!(r#"{{ "listen": "127.0.0.1:1", "address": {text} }}"#));
        wrong(&address(r#""127.0.0.1""#), "servers.A.address", "has no port");
        wrong(&address(r#""127.0.0.1:2""#), "servers.A.address", "B is dialled at 127.0.0.1:2 already");
        let talks_to = |text: &str| with_a(&format!(r#"{{ "listen": "127.0.0.1:1", "talks_to": {text} }}"#));
        wrong(&talks_to(r#""B""#), "servers.A.talks_to", "write [\"B\"]");
        wrong(&talks_to(r#"["B", 1]"#), "servers.A.talks_to[1]", "expected a string, got 1");
        wrong(&talks_to(r#"["b"]"#), "servers.A.talks_to", "did you mean B?");
        wrong(&talks_to(r#"["C"]"#), "servers.A.talks_to", "unknown server \"C\"; the servers are B, A");
    }

    #[test]
    fn every_address_is_a_loopback_address() {
        let wanted = "is not a loopback address";
        wrong(&with_a(r#"{ "listen": "10.0.0.1:1" }"#), "servers.A.listen", wanted);
        wrong(&with_a(r#"{ "listen": "0.0.0.0:1" }"#), "servers.A.listen", wanted);
        wrong(&with_a(r#"{ "listen": "127.0.0.1:1", "address": "x.org:1" }"#), "servers.A.address", wanted);
    }
}
