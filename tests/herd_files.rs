//! The files in `herds/`: they describe the herds of the reports, and all of them are valid.

use herd::config::{Graph, HerdFile, PlacesSection};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("herds")
}

fn read(file: &str) -> HerdFile {
    HerdFile::read(&folder().join(file)).unwrap_or_else(|error| panic!("{error}"))
}

/// Checks a herd against the texts of the course: ports from `first_port` on, each edge once, and the servers
/// whose failure cuts off others.
fn check(file: &str, names: &str, first_port: u16, edges: &str, cuts: &str) {
    let herd = read(file);
    let name = |index: usize| herd.servers[index].name.as_str();
    let found: Vec<&str> = (0..herd.servers.len()).map(name).collect();
    assert_eq!(found.join(" "), names, "{file}");
    for (server, port) in herd.servers.iter().zip(first_port..) {
        assert_eq!(server.listen.to_string(), format!("127.0.0.1:{port}"), "{file}");
    }
    let graph = Graph::of(&herd);
    let sorted = |a, b| if a < b { format!("{a}-{b}") } else { format!("{b}-{a}") };
    let found: BTreeSet<String> = graph.edges().into_iter().map(|(a, b)| sorted(name(a), name(b))).collect();
    let expected: BTreeSet<String> =
        edges.split(' ').map(|edge| edge.split_once('-').unwrap()).map(|(a, b)| sorted(a, b)).collect();
    assert_eq!(found, expected, "{file}");
    let found: Vec<&str> = graph.cuts().into_iter().map(|(cut, _)| name(cut)).collect();
    assert_eq!(found.join(" "), cuts, "{file}");
    assert_eq!(graph.parts().len(), 1, "{file}");
    assert!(herd.needs_local_places(), "{file}");
}

#[test]
fn the_herds_of_the_reports() {
    let ring = "Alford-Hamilton Alford-Welsh Ball-Holiday Ball-Welsh Hamilton-Holiday";
    check("report-000.json", "Alford Ball Hamilton Holiday Welsh", 12400, ring, "");
    check(
        "report-001.json",
        "Hill Jaquez Smith Campbell Singleton",
        12410,
        "Hill-Jaquez Hill-Smith Singleton-Jaquez Singleton-Smith Singleton-Campbell Smith-Campbell",
        "",
    );
    check("report-002.json", "Alford Ball Hamilton Holiday Welsh", 12420, ring, "");
    check(
        "report-003.json",
        "Goloman Hands Holiday Welsh Wilkes",
        17345,
        "Goloman-Hands Goloman-Holiday Goloman-Wilkes Hands-Wilkes Holiday-Welsh Holiday-Wilkes",
        "Holiday",
    );
    check(
        "report-004.json",
        "Riley Jaquez Juzang Campbell Bernard",
        12440,
        "Riley-Jaquez Riley-Juzang Bernard-Jaquez Bernard-Juzang Bernard-Campbell Juzang-Campbell",
        "",
    );
}

#[test]
fn herds_can_run_side_by_side() {
    let (mut ports, mut logs, mut files) = (BTreeSet::new(), BTreeSet::new(), 0);
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let herd = HerdFile::read(&path).unwrap_or_else(|error| panic!("{error}"));
        for server in &herd.servers {
            for port in server.listens().map(|(_, listen)| listen.port()) {
                assert!(ports.insert(port), "{}: port {port}", path.display());
                // Linux gives ephemeral ports from 32768 on to outgoing connections.
                assert!(port < 32768, "{}: port {port}", path.display());
            }
        }
        assert!(logs.insert(herd.log.folder), "{}", path.display());
        files += 1;
    }
    assert_eq!(files, 7);
}

#[test]
fn the_template_has_every_key_at_its_default() {
    let template = read("template.json");
    let mut expected = HerdFile::built_in();
    expected.places = Some(PlacesSection::default());
    expected.log.folder = folder().join("logs");
    expected.folder = folder();
    assert_eq!(template, expected);

    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    let text = fs::read_to_string(folder().join("template.json")).unwrap();
    let template: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut explained: BTreeSet<&str> = readme
        .lines()
        .skip_while(|line| !line.starts_with("## The keys"))
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    for (section, value) in template.as_object().unwrap() {
        let mut keys = vec![section.clone()];
        match value.as_object() {
            Some(servers) if section == "servers" => {
                let riley = servers["Riley"].as_object().unwrap();
                keys.extend(riley.keys().map(|key| format!("servers.NAME.{key}")));
            }
            Some(object) if section == "places" => {
                keys.extend(object.keys().map(|key| format!("places.{key}")));
            }
            Some(object) => keys = object.keys().map(|key| format!("{section}.{key}")).collect(),
            None => {}
        }
        for key in keys {
            assert!(explained.remove(key.as_str()), "{key} is not in the README");
        }
    }
    assert_eq!(
        explained.into_iter().collect::<Vec<_>>(),
        [
            "http.certificate",
            "http.key",
            "http.tokens",
            "places.trust",
            "servers.NAME.peers",
            "store.dir",
            "store.sync"
        ]
    );
}

#[test]
fn the_herd_for_graders_keeps_its_links_off_the_ports_of_clients() {
    let (herd, built_in) = (read("graders.json"), HerdFile::built_in());
    let names = |herd: &HerdFile| herd.servers.iter().map(|server| server.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&herd), Graph::of(&herd)), (names(&built_in), Graph::of(&built_in)));
    for server in &herd.servers {
        assert_eq!(server.address, server.peers.unwrap().into(), "{}", server.name);
        assert_ne!(server.address.port, server.listen.port(), "{}", server.name);
    }
}
