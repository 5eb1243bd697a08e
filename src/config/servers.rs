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
    /// The address on which it serves HTTP; `None`: it serves none.
    pub http: Option<SocketAddr>,
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

    /// The addresses on which it listens, each with its key in the file.
    pub fn listens(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let all = [("listen", Some(self.listen)), ("peers", self.peers), ("http", self.http)];
        all.into_iter().filter_map(|(key, address)| Some((key, address?)))
    }

    /// Whether its addresses of commands and links are loopback addresses. That of HTTP has protection of its own.
    pub fn is_on_loopback(&self) -> bool {
        self.address.host.is_loopback()
            && self.listens_without_http().all(|listen| HostPort::from(listen).host.is_loopback())
    }

    /// The addresses on which it listens for lines of clients and neighbours.
    pub fn listens_without_http(&self) -> impl Iterator<Item = SocketAddr> {
        std::iter::once(self.listen).chain(self.peers)
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
        let keys = item.section(&["listen", "peers", "http", "address", "talks_to"])?;
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
    let listen = read_listen(listen_item, earlier)?;
    require_loopback(listen_item, &listen.into(), tls)?;
    let mut server = ServerSection {
        name: name.to_owned(),
        listen,
        peers: None,
        http: None,
        address: listen.into(),
        neighbours: Vec::new(),
    };
    if let Some(item) = keys.get("peers") {
        let peers = read_listen(item, earlier)?;
        require_loopback(item, &peers.into(), tls)?;
        require_own_port(item, peers, &server, "leave it out to have neighbours at listen")?;
        server.peers = Some(peers);
    }
    if let Some(item) = keys.get("http") {
        let http = read_listen(item, earlier)?;
        require_own_port(item, http, &server, "leave it out to serve no HTTP")?;
        server.http = Some(http);
    }
    let address_item = keys.get("address").or(keys.get("peers")).unwrap_or(listen_item);
    let address = match keys.get("address") {
        Some(item) => item.parsed()?,
        None => server.listens_for_peers().into(),
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
    server.address = address;
    Ok(server)
}

/// Reads an address to bind. 0.0.0.0 and [::] may stand several times in a file, since they are of several
/// machines.
fn read_listen(item: &Item<'_>, earlier: &[ServerSection]) -> Result<SocketAddr, Error> {
    let listen = item.parsed::<HostPort>()?.to_listen().map_err(|error| item.error(error.0))?;
    let is_taken = |other: &&ServerSection| {
        !listen.ip().is_unspecified()
            && other.listens().any(|(_, taken)| canonical(taken) == canonical(listen))
    };
    if let Some(other) = earlier.iter().find(is_taken) {
        let problem = format!("{} listens on {listen} already; choose another port", other.name);
        return Err(item.error(problem));
    }
    Ok(listen)
}

/// Requires that a server can bind an address beside its others. 0.0.0.0 and [::] take a port of each address.
fn require_own_port(
    item: &Item<'_>,
    address: SocketAddr,
    server: &ServerSection,
    or: &str,
) -> Result<(), Error> {
    let is_taken = |taken: SocketAddr| {
        let is_of_all = address.ip().is_unspecified() || taken.ip().is_unspecified();
        canonical(taken) == canonical(address) || taken.port() == address.port() && is_of_all
    };
    match server.listens().find(|(_, taken)| is_taken(*taken)) {
        None => Ok(()),
        Some((key, taken)) if canonical(taken) == canonical(address) => {
            Err(item.error(format!("is the same as {key}, {taken}; choose another port, or {or}")))
        }
        Some((key, taken)) => Err(item
            .error(format!("{address} takes the port of {key}, {taken}, too; choose another port, or {or}"))),
    }
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
            "listen, peers, http, address, talks_to; did you mean listen?",
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
    fn no_two_addresses_of_a_server_collide() {
        let a = |text: &str| with_peers(&format!(r#"{{ "listen": "127.0.0.1:1", {text} }}"#), TLS);
        let open = r#", "http": { "tokens": "t", "behind_proxy": true }"#;
        let wrong = |text: &str, words: &str| wrong(&a(text), "servers.A.http", words);
        wrong(r#""http": "127.0.0.1:1""#, "is the same as listen, 127.0.0.1:1; choose another port");
        wrong(r#""http": "[::ffff:127.0.0.1]:1""#, "is the same as listen");
        wrong(r#""peers": "127.0.0.1:3", "http": "localhost:3""#, "is the same as peers");
        wrong(r#""http": "0.0.0.0:1""#, "takes the port of listen, 127.0.0.1:1, too");
        wrong(r#""http": "127.0.0.1:2""#, "B listens on 127.0.0.1:2 already");
        wrong(r#""http": "x.org:3""#, "is a host name");
        wrong(r#""http": "127.0.0.1""#, "has no port");
        wrong(r#""http": "127.0.0.1:12331""#, "local Places server");
        let two = r#"{ "herd": "h", "servers": {
            "A": { "listen": "127.0.0.1:1", "http": "127.0.0.1:3" },
            "B": { "listen": "127.0.0.1:2", "http": "127.0.0.1:3" } } }"#;
        super::super::testing::wrong(two, "servers.B.http", "A listens on 127.0.0.1:3 already");
        let two = two.replace("127.0.0.1:3", "0.0.0.0:8080");
        let two = format!("{}{open} }}", two.strip_suffix(" }").unwrap());
        assert!(parse(&two).is_ok(), "of two machines");
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
