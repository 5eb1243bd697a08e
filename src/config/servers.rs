//! The section `servers`: the members of the herd and the edges between them.

use super::error::Error;
use super::host::{Host, HostPort};
use super::section::{Item, Section};
use super::server_names::{check_certificate_names, check_hosts, check_name};
use super::words::{did_you_mean, listed, quoted};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

/// One server of a herd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSection {
    /// One field of at most 64 bytes, fit for the name of a log file.
    pub name: String,
    /// The address on which it listens; no two servers have the same.
    pub listen: SocketAddr,
    /// A second address on which it listens, for neighbours only. `None`: [`ServerSection::listen`] is for all.
    pub peers: Option<SocketAddr>,
    /// The address that its neighbours dial; no two servers have the same.
    pub address: HostPort,
    /// The names of its neighbours in the order of the file, each once, without its own name. An edge that
    /// the file names on one side holds for both.
    pub neighbours: Vec<String>,
}

impl ServerSection {
    /// The address on which it listens for neighbours.
    pub fn listens_for_peers(&self) -> SocketAddr {
        self.peers.unwrap_or(self.listen)
    }

    /// The addresses on which it listens.
    pub fn listens(&self) -> impl Iterator<Item = SocketAddr> {
        std::iter::once(self.listen).chain(self.peers)
    }

    /// Whether all its addresses are loopback addresses.
    pub fn is_on_loopback(&self) -> bool {
        self.address.host.is_loopback()
            && self.listens().all(|listen| HostPort::from(listen).host.is_loopback())
    }
}

/// Reads the section, in the order of the file. With `tls` on the links, addresses off loopback are allowed, and
/// each name has to be a DNS name.
pub(super) fn read(section: &Item<'_>, tls: bool) -> Result<Vec<ServerSection>, Error> {
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
    if tls {
        check_certificate_names(&entries)?;
    }
    let mut servers = Vec::with_capacity(names.len());
    let mut talks_to = Vec::with_capacity(names.len());
    for (name, item) in &entries {
        let keys = item.section(&["listen", "peers", "address", "talks_to"])?;
        servers.push(read_server(name, &keys, &servers, tls)?);
        talks_to.push(read_talks_to(&keys, &names)?);
    }
    if tls {
        check_hosts(&entries, &servers)?;
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
fn read_server(
    name: &str,
    keys: &Section<'_>,
    earlier: &[ServerSection],
    tls: bool,
) -> Result<ServerSection, Error> {
    let listen_item = keys.required("listen", "\"127.0.0.1:12326\"")?;
    let listen = read_listen(listen_item, earlier, tls)?;
    let peers = match keys.get("peers") {
        None => None,
        Some(item) => {
            let peers = read_listen(item, earlier, tls)?;
            if canonical(peers) == canonical(listen) {
                return Err(item.error(format!(
                    "is the same as listen, {listen}; choose another port, or leave it out to have neighbours \
                     at listen"
                )));
            }
            Some(peers)
        }
    };
    let dialled = peers.unwrap_or(listen);
    let address_item = keys.get("address").or(keys.get("peers")).unwrap_or(listen_item);
    let address = match keys.get("address") {
        Some(item) => item.parsed()?,
        None => dialled.into(),
    };
    if is_unspecified(&address) {
        return Err(address_item.error(format!(
            "{} stands for every address of a machine, and neighbours dial one of them; write the name or \
             address that they dial as servers.{name}.address",
            address.host
        )));
    }
    require_loopback(address_item, &address, tls)?;
    if let Some(other) = earlier.iter().find(|other| other.address == address) {
        let problem = format!("{} is dialled at {address} already; choose another port", other.name);
        return Err(address_item.error(problem));
    }
    Ok(ServerSection { name: name.to_owned(), listen, peers, address, neighbours: Vec::new() })
}

/// Reads an address to bind. 0.0.0.0 and [::] may stand several times in a file, since they are of several
/// machines.
fn read_listen(item: &Item<'_>, earlier: &[ServerSection], tls: bool) -> Result<SocketAddr, Error> {
    let listen = item.parsed::<HostPort>()?.to_listen().map_err(|error| item.error(error.0))?;
    require_loopback(item, &listen.into(), tls)?;
    let is_taken = |other: &&ServerSection| {
        !listen.ip().is_unspecified() && other.listens().any(|taken| canonical(taken) == canonical(listen))
    };
    if let Some(other) = earlier.iter().find(is_taken) {
        let problem = format!("{} listens on {listen} already; choose another port", other.name);
        return Err(item.error(problem));
    }
    Ok(listen)
}

/// ::ffff:127.0.0.1 and 127.0.0.1 are the same address.
fn canonical(listen: SocketAddr) -> (IpAddr, u16) {
    (listen.ip().to_canonical(), listen.port())
}

fn is_unspecified(address: &HostPort) -> bool {
    matches!(address.host, Host::Address(ip) if ip.is_unspecified())
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

/// Links in plain text must not leave the machine.
fn require_loopback(item: &Item<'_>, address: &HostPort, tls: bool) -> Result<(), Error> {
    let HostPort { host, port } = address;
    if tls || host.is_loopback() {
        return Ok(());
    }
    Err(item.error(format!(
        "{host} is not a loopback address, and without peers.tls any program that reaches it could change what \
         all servers believe; write 127.0.0.1:{port}, or \"peers\": {{ \"tls\": true }}"
    )))
}

pub(super) const EXAMPLE: &str = r#"{ "Riley": { "listen": "127.0.0.1:12326" } }"#;

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
            "listen, peers, address, talks_to; did you mean listen?",
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

    const PLAIN: &str = r#", "peers": { "tls": false }"#;
    const TLS: &str = r#", "peers": { "tls": true }"#;

    /// A valid file except for `a`, the object of server A, and with this section `peers`.
    fn with_peers(a: &str, peers: &str) -> String {
        let text = with_a(a);
        format!("{}{peers} }}", text.strip_suffix(" }").unwrap())
    }

    #[test]
    fn without_tls_every_address_is_a_loopback_address() {
        let wanted = "is not a loopback address, and without peers.tls";
        for (a, key) in [
            (r#"{ "listen": "10.0.0.1:1" }"#, "listen"),
            (r#"{ "listen": "0.0.0.0:1" }"#, "listen"),
            (r#"{ "listen": "127.0.0.1:1", "peers": "10.0.0.1:3" }"#, "peers"),
            (r#"{ "listen": "127.0.0.1:1", "address": "x.org:1" }"#, "address"),
        ] {
            wrong(&with_peers(a, PLAIN), &format!("servers.A.{key}"), wanted);
        }
        let herd = parse(&with_peers(r#"{ "listen": "10.0.0.1:1" }"#, TLS)).unwrap();
        let is_on_loopback = |name| herd.server(name).unwrap().is_on_loopback();
        assert_eq!((herd.is_on_loopback(), is_on_loopback("A"), is_on_loopback("B")), (false, false, true));
        assert!(parse(&with("")).unwrap().is_on_loopback());
        for a in [
            r#"{ "listen": "127.0.0.1:1", "peers": "10.0.0.1:3" }"#,
            r#"{ "listen": "127.0.0.1:1", "peers": "10.0.0.1:3", "address": "127.0.0.1:3" }"#,
            r#"{ "listen": "127.0.0.1:1", "address": "x.org:1" }"#,
        ] {
            assert!(!parse(&with_peers(a, TLS)).unwrap().is_on_loopback(), "{a}");
        }
    }

    #[test]
    fn neighbours_dial_the_address_else_the_peers_port_else_the_listen_port() {
        let a = |text: &str| parse(&with_a(text)).unwrap().server("A").unwrap().clone();
        let only = a(r#"{ "listen": "127.0.0.1:1" }"#);
        assert_eq!((only.address.to_string().as_str(), only.peers), ("127.0.0.1:1", None));
        assert_eq!(only.listens_for_peers(), "127.0.0.1:1".parse().unwrap());
        let two = a(r#"{ "listen": "127.0.0.1:1", "peers": "127.0.0.1:3" }"#);
        assert_eq!(two.address.to_string(), "127.0.0.1:3");
        assert_eq!(two.listens_for_peers(), "127.0.0.1:3".parse().unwrap());
        assert_eq!(two.listens().count(), 2);
        let three = a(r#"{ "listen": "127.0.0.1:1", "peers": "127.0.0.1:3", "address": "localhost:9" }"#);
        assert_eq!(three.address.to_string(), "localhost:9");
        let peers = |text: &str| with_a(&format!(r#"{{ "listen": "127.0.0.1:1", "peers": {text} }}"#));
        wrong(&peers(r#""127.0.0.1:1""#), "servers.A.peers", "is the same as listen");
        wrong(&peers(r#""127.0.0.1:2""#), "servers.A.peers", "B listens on 127.0.0.1:2 already");
        wrong(&peers(r#""x.org:3""#), "servers.A.peers", "is a host name");
        wrong(&peers(r#""127.0.0.1:12331""#), "servers.A.peers", "local Places server");
    }

    #[test]
    fn neighbours_do_not_dial_every_address_of_a_machine() {
        let a = |text: &str| with_peers(text, TLS);
        wrong(&a(r#"{ "listen": "0.0.0.0:1" }"#), "servers.A.listen", "as servers.A.address");
        let peers = r#"{ "listen": "127.0.0.1:1", "peers": "[::]:3" }"#;
        wrong(&a(peers), "servers.A.peers", "[::] stands for every address");
        let two = r#"{ "herd": "h", "peers": { "tls": true }, "servers": {
            "A": { "listen": "0.0.0.0:1", "address": "a.example:1", "talks_to": ["B"] },
            "B": { "listen": "0.0.0.0:1", "address": "b.example:1" } } }"#;
        assert!(parse(two).is_ok());
        let same = two.replace("b.example", "a.example");
        wrong(&same, "servers.B.address", "A is dialled at a.example:1 already");
    }
}
