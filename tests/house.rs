//! Rules of the source tree that a reader relies on: each module of `src/` imports only the modules above it,
//! and a file can be read in one sitting.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules from the ground up. Each may import those above it in this list.
const MODULES: [&str; 19] = [
    "text",
    "geo",
    "clock",
    "metrics",
    "log",
    "store",
    "http",
    "places",
    "map",
    "config",
    "keys",
    "access",
    "protocol",
    "tls",
    "conversation",
    "herd",
    "event_loop",
    "service",
    "cli",
];

/// Modules that may import less: the reactor knows nothing of IAMAT, neighbours or Places, and the contract
/// knows only the clock.
const NARROW_MODULES: [(&str, &[&str]); 4] =
    [("protocol", &["clock"]), ("event_loop", &["clock", "protocol"]), ("http", &[]), ("map", &[])];

/// Lines of code of a file, without its tests: more are not read in one sitting.
const CODE_LINES_MAX: usize = 400;

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
    assert!(found.len() > MODULES.len());
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn module_of(file: &str) -> Option<usize> {
    let first = file.split('/').next().unwrap().trim_end_matches(".rs");
    MODULES.iter().position(|module| *module == first)
}

/// Names of modules after `crate::` in a line.
fn imports(line: &str) -> impl Iterator<Item = usize> {
    line.match_indices("crate::").filter_map(|(at, path)| {
        let path = &line[at + path.len()..];
        let name: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        MODULES.iter().position(|module| *module == name)
    })
}

#[test]
fn every_module_imports_only_those_above_it() {
    for (file, text) in all_sources() {
        if file == "lib.rs" || file == "main.rs" {
            continue;
        }
        let own = module_of(&file).unwrap_or_else(|| panic!("{file} is in no known module"));
        let narrow =
            NARROW_MODULES.iter().find(|(module, _)| *module == MODULES[own]).map(|(_, allowed)| allowed);
        for (number, line) in text.lines().enumerate() {
            for imported in imports(line).filter(|&imported| imported != own) {
                let allowed = match narrow {
                    Some(allowed) => allowed.contains(&MODULES[imported]),
                    None => imported < own,
                };
                // The tests of the reactor run real sessions.
                let allowed = allowed || file.starts_with("event_loop/tests/") && MODULES[imported] == "tls";
                let line = number + 1;
                assert!(allowed, "{file}:{line}: {} must not import {}", MODULES[own], MODULES[imported]);
            }
        }
    }
}

#[test]
fn every_file_can_be_read_in_one_sitting() {
    for (file, text) in all_sources() {
        let code = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//")).count();
        let is_test = file.contains("/tests/") || file.ends_with("/tests.rs");
        assert!(is_test || lines <= CODE_LINES_MAX, "{file} has {lines} lines of code");
    }
}

#[test]
fn the_library_says_its_order() {
    let root = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let places: Vec<usize> = MODULES
        .iter()
        .map(|module| root.find(&format!("[`{module}`]")).unwrap_or_else(|| panic!("{module}")))
        .collect();
    assert!(places.is_sorted());
}

/// The pages of faults and promises name their tests. Those tests exist, the tests of a row carry its number,
/// and a row without a test gives the reason.
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
