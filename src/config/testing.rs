//! Herd files for the unit tests.

use super::{Error, HerdFile};
use std::path::Path;

/// A file that need not exist: only its folder matters.
pub(super) const FILE: &str = "some/folder/herd.json";

pub(super) fn parse(text: &str) -> Result<HerdFile, Error> {
    HerdFile::parse(text, Path::new(FILE))
}

/// A valid file with the servers A and B, and `more` after its other keys.
pub(super) fn with(more: &str) -> String {
    let servers =
        r#"{ "A": { "listen": "127.0.0.1:1", "talks_to": ["B"] }, "B": { "listen": "127.0.0.1:2" } }"#;
    format!(r#"{{ "herd": "h", "servers": {servers}{more} }}"#)
}

/// A valid file except for `a`, the object of server A.
pub(super) fn with_a(a: &str) -> String {
    format!(r#"{{ "herd": "h", "servers": {{ "B": {{ "listen": "127.0.0.1:2" }}, "A": {a} }} }}"#)
}

#[track_caller]
pub(super) fn wrong(text: &str, place: &str, words: &str) {
    let error = parse(text).expect_err(text);
    let shown = error.to_string();
    assert_eq!(error.place(), place, "{shown}");
    assert!(shown.starts_with(&format!("{FILE}: {place}")) && shown.contains(words), "{shown}");
    assert!(!shown.contains('\n'), "{shown}");
}
