//! Herd files, valid and invalid.

use std::path::Path;

use herd::cli::draw;
use herd::config::HerdFile;

/// Any text is either a herd that follows docs/protocol.md, section 3, and can be drawn, or an error of one
/// line.
pub fn herd_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match HerdFile::parse(&text, Path::new("some/herd.json")) {
        Ok(herd) => check(&herd),
        Err(error) => {
            let message = error.to_string();
            assert!(!message.chars().any(char::is_control), "{message:?}");
            assert!(message.starts_with("some/herd.json: "), "{message:?}");
            assert!(message.len() < MESSAGE_MAX, "{} bytes", message.len());
        }
    }
}

fn check(herd: &HerdFile) {
    let is_name = |name: &str| {
        let is_field = !name.is_empty() && !name.contains(|c: char| c.is_control() || c == ' ' || c == '/');
        is_field && name.len() <= 64 && name != "." && name != ".."
    };
    assert!(is_name(&herd.name), "{:?}", herd.name);
    assert!((1..=128).contains(&herd.servers.len()));
    for (index, server) in herd.servers.iter().enumerate() {
        assert!(is_name(&server.name), "{:?}", server.name);
        assert!(server.listen.ip().to_canonical().is_loopback() && server.listen.port() > 0);
        for other in &herd.servers[..index] {
            assert!(
                other.name != server.name && other.listen != server.listen && other.address != server.address
            );
        }
        for (index, name) in server.neighbours.iter().enumerate() {
            let neighbour = herd.server(name).expect("a server of this herd");
            assert!(name != &server.name && !server.neighbours[..index].contains(name));
            assert!(neighbour.neighbours.contains(&server.name), "an edge holds for both sides");
        }
    }
    let limits = &herd.limits;
    assert!((64..=1 << 20).contains(&limits.max_line));
    assert!((1..=1_000_000).contains(&limits.max_connections));
    assert!((1..=u32::MAX as usize).contains(&limits.max_clients));
    assert!(limits.max_future_s <= u64::from(u32::MAX));
    assert!(limits.remember_gone_s > 0);
    assert!((1..=86_400).contains(&limits.line_timeout.as_secs()));
    assert!((100..=3_600_000).contains(&herd.peers.silence.as_millis()));
    let places = herd.places_or_local();
    assert!((10..=600_000).contains(&places.bounds.timeout.as_millis()));
    assert!(places.url.tls || places.url.host.is_loopback(), "a key must not leave the machine in the clear");

    let drawn = draw(herd);
    assert!(drawn.ends_with('\n'));
    assert!(!drawn.chars().any(|c| c.is_control() && c != '\n'), "{drawn:?}");
    for server in &herd.servers {
        assert!(drawn.contains(&server.name));
    }
}

/// Bytes of an error: quoted values and lists of names are cut.
const MESSAGE_MAX: usize = 2000;
