//! Rules of the house that a reader relies on: each room imports only those above it, and a file can
//! be read in one sitting.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, from the ground up.
const ROOMS: [&str; 11] =
    ["text", "clock", "log", "store", "config", "http", "places", "protocol", "event_loop", "service", "cli"];

/// Lines of a file, its tests included: more than this is not read in one sitting.
const LINES_MAX: usize = 650;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > ROOMS.len());
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn room_of(file: &str) -> Option<usize> {
    let first = file.split('/').next().unwrap().trim_end_matches(".rs");
    ROOMS.iter().position(|room| *room == first)
}

#[test]
fn every_room_imports_only_those_above_it() {
    for (file, text) in all_sources() {
        if file == "lib.rs" || file == "main.rs" {
            continue;
        }
        let own = room_of(&file).unwrap_or_else(|| panic!("{file} is in no known room"));
        for (number, line) in text.lines().enumerate() {
            for imported in line.match_indices("crate::").map(|(at, _)| &line[at + "crate::".len()..]) {
                let name: String =
                    imported.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(room) = ROOMS.iter().position(|room| *room == name) else { continue };
                assert!(room <= own, "{file}:{}: {} must not know {name}", number + 1, ROOMS[own]);
            }
        }
    }
}

#[test]
fn every_file_can_be_read_in_one_sitting() {
    for (file, text) in all_sources() {
        assert!(text.lines().count() <= LINES_MAX, "{file} has {} lines", text.lines().count());
    }
}

#[test]
fn the_library_says_its_order() {
    let root = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let places: Vec<usize> = ROOMS
        .iter()
        .map(|room| root.find(&format!("[`{room}`]")).unwrap_or_else(|| panic!("{room}")))
        .collect();
    assert!(places.is_sorted());
}
