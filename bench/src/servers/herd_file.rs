//! The herd files and graphs of the measured herds.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::process::free_address;

/// The content of a herd file.
#[derive(Clone)]
pub struct HerdFile {
    servers: Vec<Server>,
    /// The log level.
    pub log_level: &'static str,
    /// The URL of Places.
    pub places: Option<String>,
    /// The file of the root certificate of Places.
    pub places_trust: Option<String>,
    /// The timeout of a WHATSAT.
    pub places_timeout_ms: u32,
    /// The links between servers.
    pub links: Links,
    /// The store on disk.
    pub store: Store,
}

/// The store on disk of a server. Redis gets the same by its append-only file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Everything is in memory only.
    Off,
    /// On the disk about a second after the reply.
    EverySecond,
    /// On the disk before the reply.
    Always,
}

/// The links between the servers of a herd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Plain text, as in all other programs of the bench.
    Plain,
    /// TLS, the default of the herd.
    Tls,
}

#[derive(Clone)]
struct Server {
    name: String,
    listen: SocketAddr,
    /// The address that neighbours dial, if it is not `listen`.
    address: Option<SocketAddr>,
    /// The address of HTTP; `None`: it has none.
    http: Option<SocketAddr>,
    talks_to: Vec<String>,
}

impl HerdFile {
    /// A herd of these servers and edges.
    pub fn new(servers: &[(&str, SocketAddr)], edges: &[(&str, &str)]) -> HerdFile {
        let talks_to =
            |name: &str| edges.iter().filter(|edge| edge.0 == name).map(|edge| edge.1.to_owned()).collect();
        let servers = servers
            .iter()
            .map(|&(name, listen)| Server {
                name: name.to_owned(),
                listen,
                address: None,
                http: None,
                talks_to: talks_to(name),
            })
            .collect();
        HerdFile {
            servers,
            log_level: "traffic",
            places: None,
            places_trust: None,
            places_timeout_ms: 5000,
            links: Links::Plain,
            store: Store::Off,
        }
    }

    /// A herd on free ports.
    pub fn of(graph: &Graph) -> HerdFile {
        let servers: Vec<_> = graph.names.iter().map(|name| (name.as_str(), free_address())).collect();
        let edges: Vec<_> = graph
            .edges
            .iter()
            .map(|&(one, other)| (graph.names[one].as_str(), graph.names[other].as_str()))
            .collect();
        HerdFile::new(&servers, &edges)
    }

    /// The same herd with these links.
    pub fn with_links(mut self, links: Links) -> HerdFile {
        self.links = links;
        self
    }

    /// Adds a neighbour of `server`.
    pub fn add_neighbour(&mut self, server: &str, name: &str, listen: SocketAddr) {
        let talks_to = vec![server.to_owned()];
        self.servers.push(Server { name: name.to_owned(), listen, address: None, http: None, talks_to });
    }

    /// Sets the address that neighbours of `name` dial.
    pub fn set_address(&mut self, name: &str, address: SocketAddr) {
        for server in self.servers.iter_mut().filter(|server| server.name == name) {
            server.address = Some(address);
        }
    }

    /// Has a server listen for HTTP, too.
    pub fn set_http(&mut self, name: &str, address: SocketAddr) {
        for server in self.servers.iter_mut().filter(|server| server.name == name) {
            server.http = Some(address);
        }
    }

    /// The address of a server's HTTP.
    pub fn http(&self, name: &str) -> Option<SocketAddr> {
        self.servers.iter().find(|server| server.name == name)?.http
    }

    /// The address that a server listens on.
    pub fn address(&self, name: &str) -> SocketAddr {
        self.servers.iter().find(|server| server.name == name).expect("a server of this herd").listen
    }

    /// The addresses that the neighbours of a server listen on.
    pub fn neighbours_of(&self, name: &str) -> Vec<String> {
        self.servers
            .iter()
            .filter(|other| {
                let own = self.servers.iter().find(|server| server.name == name);
                other.talks_to.iter().any(|neighbour| neighbour == name)
                    || own.is_some_and(|own| own.talks_to.contains(&other.name))
            })
            .map(|other| other.listen.to_string())
            .collect()
    }

    /// Writes `herd.json` in `folder`.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let server = |server: &Server| {
            let talks_to: Vec<_> = server.talks_to.iter().map(|name| format!("\"{name}\"")).collect();
            let address = server.address.map_or(String::new(), |at| format!("\"address\": \"{at}\", "));
            let http = server.http.map_or(String::new(), |at| format!("\"http\": \"{at}\", "));
            format!(
                "    \"{}\": {{ \"listen\": \"{}\", {address}{http}\"talks_to\": [{}] }}",
                server.name,
                server.listen,
                talks_to.join(", ")
            )
        };
        let servers: Vec<_> = self.servers.iter().map(server).collect();
        // An address without a server, because the default is the local Places server, which is not running.
        let places = self.places.clone().unwrap_or_else(|| "http://127.0.0.1:9".to_owned());
        let trust =
            self.places_trust.as_ref().map_or(String::new(), |file| format!("\"trust\": \"{file}\", "));
        let store = |sync| format!("  \"store\": {{ \"dir\": \"store\", \"sync\": \"{sync}\" }},\n");
        let store = match self.store {
            Store::Off => String::new(),
            Store::EverySecond => store("every second"),
            Store::Always => store("always"),
        };
        let text = format!(
            "{{\n  \"herd\": \"bench\",\n  \"servers\": {{\n{}\n  }},\n  \"places\": {{ \"url\": \"{places}\", {trust}\
             \"timeout_ms\": {} }},\n  \"peers\": {{ \"tls\": {}, \"silence_ms\": 60000 }},\n{store}  \
             \"log\": {{ \"dir\": \"logs\", \"level\": \"{}\" }},\n  \
             \"limits\": {{ \"max_connections\": 20000, \"max_followers\": 20000 }}\n}}\n",
            servers.join(",\n"),
            self.places_timeout_ms,
            self.links == Links::Tls,
            self.log_level
        );
        fs::create_dir_all(folder.join("logs"))?;
        fs::write(folder.join("herd.json"), text)
    }
}

/// The graph of a herd.
pub struct Graph {
    /// The name in reports.
    pub title: String,
    /// The names of the servers.
    pub names: Vec<String>,
    /// The pairs of neighbours, as indices.
    pub edges: Vec<(usize, usize)>,
}

impl Graph {
    /// The built-in herd.
    pub fn built_in() -> Graph {
        Graph {
            title: "built-in".into(),
            names: ["Riley", "Jaquez", "Juzang", "Campbell", "Bernard"].map(str::to_owned).into(),
            edges: vec![(0, 1), (0, 2), (1, 4), (2, 4), (2, 3), (3, 4)],
        }
    }

    /// A line of servers.
    pub fn line(servers: usize) -> Graph {
        let edges = (1..servers).map(|number| (number - 1, number)).collect();
        Graph { title: format!("line of {servers}"), names: names(servers), edges }
    }

    /// A ring of servers.
    pub fn ring(servers: usize) -> Graph {
        let mut ring = Graph::line(servers);
        if servers > 2 {
            ring.edges.push((servers - 1, 0));
        }
        ring.title = format!("ring of {servers}");
        ring
    }

    /// A complete graph.
    pub fn mesh(servers: usize) -> Graph {
        let edges = (0..servers).flat_map(|one| (one + 1..servers).map(move |other| (one, other))).collect();
        Graph { title: format!("mesh of {servers}"), names: names(servers), edges }
    }
}

fn names(servers: usize) -> Vec<String> {
    (0..servers).map(|number| format!("S{number:02}")).collect()
}
