//! Herds for the tests of the drawing.

use crate::config::HerdFile;
use std::path::Path;

/// A herd of servers on the ports 1, 2, …, each with its neighbours.
pub(super) fn herd_of(servers: &[(&str, &[&str])]) -> HerdFile {
    let servers: Vec<String> = servers
        .iter()
        .zip(1..)
        .map(|((name, talks_to), port)| {
            format!(r#""{name}": {{ "listen": "127.0.0.1:{port}", "talks_to": {talks_to:?} }}"#)
        })
        .collect();
    let text =
        format!(r#"{{ "herd": "h", "servers": {{ {} }}, "peers": {{ "tls": false }} }}"#, servers.join(", "));
    HerdFile::parse(&text, Path::new("herd.json")).unwrap()
}
