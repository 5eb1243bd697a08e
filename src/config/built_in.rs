//! The herd of those who have no file.

use super::limits::{Limits, Log, Peers};
use super::servers::Edges;
use super::{Herd, HostPort, ServerSection};
use std::net::Ipv4Addr;
use std::path::PathBuf;

impl Herd {
    /// Five servers on this machine, and the local Places server; paths begin in the current folder.
    pub fn built_in() -> Herd {
        let mut edges = Edges::none(BUILT_IN.len());
        let mut servers = Vec::with_capacity(BUILT_IN.len());
        for (index, (name, port, talks_to)) in BUILT_IN.iter().enumerate() {
            let listen = (Ipv4Addr::LOCALHOST, *port).into();
            let (name, address) = ((*name).to_owned(), HostPort::from(listen));
            servers.push(ServerSection { name, listen, address, neighbours: Vec::new() });
            talks_to.iter().for_each(|&other| edges.add(index, other));
        }
        edges.write_into(&mut servers);
        Herd {
            name: BUILT_IN_NAME.to_owned(),
            servers,
            places: None,
            peers: Peers::default(),
            log: Log::default(),
            limits: Limits::default(),
            folder: PathBuf::new(),
        }
    }
}

const BUILT_IN_NAME: &str = "bruins";

/// Name, port on 127.0.0.1, and whom of this list each talks to: the herd of the course in 2021. Every
/// server can fail without cutting the others off from each other.
const BUILT_IN: [(&str, u16, &[usize]); 5] = [
    ("Riley", 12326, &[1, 2]),
    ("Jaquez", 12327, &[4]),
    ("Juzang", 12328, &[4, 3]),
    ("Campbell", 12329, &[4]),
    ("Bernard", 12330, &[]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_built_in_herd_is_that_of_the_protocol() {
        let text = r#"{
            "herd": "bruins",
            "servers": {
              "Riley":    { "listen": "127.0.0.1:12326", "talks_to": ["Jaquez", "Juzang"] },
              "Jaquez":   { "listen": "127.0.0.1:12327", "talks_to": ["Bernard"] },
              "Juzang":   { "listen": "127.0.0.1:12328", "talks_to": ["Bernard", "Campbell"] },
              "Campbell": { "listen": "127.0.0.1:12329", "talks_to": ["Bernard"] },
              "Bernard":  { "listen": "127.0.0.1:12330" }
            }
        }"#;
        assert_eq!(Herd::parse(text, Path::new("herd.json")), Ok(Herd::built_in()));
        assert_eq!(Herd::built_in().server("Bernard").unwrap().neighbours, ["Jaquez", "Juzang", "Campbell"]);
        assert_eq!(Herd::built_in().server("Mallory"), None);
    }
}
