//! The herd without a file.

use super::HerdFile;
use std::path::Path;

impl HerdFile {
    /// Five servers on this machine, and the local Places server; its paths are relative to the current
    /// folder.
    pub fn built_in() -> HerdFile {
        HerdFile::parse(BUILT_IN, Path::new("")).expect("the built-in herd is valid")
    }
}

/// The herd of the course in 2021. No single failure cuts off another server.
const BUILT_IN: &str = r#"{
  "herd": "bruins",
  "servers": {
    "Riley":    { "listen": "127.0.0.1:12326", "http": "127.0.0.1:13326", "talks_to": ["Jaquez", "Juzang"] },
    "Jaquez":   { "listen": "127.0.0.1:12327", "http": "127.0.0.1:13327", "talks_to": ["Bernard"] },
    "Juzang":   { "listen": "127.0.0.1:12328", "http": "127.0.0.1:13328", "talks_to": ["Bernard", "Campbell"] },
    "Campbell": { "listen": "127.0.0.1:12329", "http": "127.0.0.1:13329", "talks_to": ["Bernard"] },
    "Bernard":  { "listen": "127.0.0.1:12330", "http": "127.0.0.1:13330" }
  }
}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_herd_is_that_of_the_protocol() {
        let protocol = include_str!("../../docs/protocol.md");
        let (_, section) = protocol.split_once("\n## 3. The herd file\n").unwrap();
        let (_, example) = section.split_once("```json\n").unwrap();
        assert_eq!(example.split_once("\n```").unwrap().0, BUILT_IN);
        let herd = HerdFile::built_in();
        assert_eq!(herd.server("Bernard").unwrap().neighbours, ["Jaquez", "Juzang", "Campbell"]);
        assert_eq!((herd.server("Mallory"), herd.folder.as_path()), (None, Path::new("")));
    }
}
