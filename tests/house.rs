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

/// What breaks and what is promised is worth as much as the tests that the pages name: they are there,
/// a row's own tests say its number, and a row without one says why.
#[test]
fn the_pages_name_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut tests, mut found) = (String::new(), Vec::new());
    ["src", "tests"].iter().for_each(|folder| sources(&root.join(folder), &mut found));
    found.iter().for_each(|file| tests += &fs::read_to_string(file).unwrap());
    let mut cited = Vec::new();
    for page in ["faults.md", "guarantees.md"] {
        let text = fs::read_to_string(root.join("docs").join(page)).unwrap();
        for line in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")) {
            let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
            let last = cells.last().unwrap();
            let names: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
            let row = cells[0].parse::<u32>().ok();
            if row.is_some() && names.is_empty() {
                let reason = ["simulation", "later"].iter().any(|word| last.starts_with(word));
                assert!(reason, "{page}: neither a test nor a reason: {line}");
            }
            let is_file = |name: &str| root.join(format!("tests/herd/{name}.rs")).exists();
            let is_test = |name: &&str| name.contains('_') && !name.contains(['.', '/']) && !is_file(name);
            for name in names.into_iter().filter(is_test) {
                let function = match name.strip_suffix('…') {
                    Some(beginning) => format!("fn {beginning}"),
                    None => format!("fn {name}("),
                };
                assert!(tests.contains(&function), "{page} names {name}, which does not exist");
                let number = row.map(|row| format!("row_{row:02}_")).filter(|_| name.starts_with("row_"));
                assert!(number.is_none_or(|number| name.starts_with(&number)), "{page}: {name} in {line}");
                cited.push(name.trim_end_matches('…').to_owned());
            }
            for file in last.split("herd/`").skip(1).filter_map(|text| text.split('`').next()) {
                assert!(
                    root.join(format!("tests/herd/{file}.rs")).exists(),
                    "{page}: no tests/herd/{file}.rs"
                );
            }
        }
    }
    let of_rows = tests.match_indices("\nfn row_").map(|(at, _)| &tests[at + "\nfn ".len()..]);
    for name in of_rows.filter_map(|text| text.split('(').next()) {
        assert!(cited.iter().any(|beginning| name.starts_with(beginning)), "no page names {name}");
    }
}
