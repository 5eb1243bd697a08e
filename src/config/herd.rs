//! A whole herd file.

use super::error::{Error, Mistake};
use super::json::Node;
use super::limits::{self, Limits, Log, Peers};
use super::places::{self, LOCAL_PLACES_PORT, PlacesSection};
use super::section::Item;
use super::servers::{self, ServerSection};
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// A herd as its file describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Herd {
    /// What its servers tell each other to be sure that they belong together: one field.
    pub name: String,
    /// In the order of the file; at least one.
    pub servers: Vec<ServerSection>,
    /// Whom a WHATSAT asks, or `None` for the local Places server; see [`Herd::places_or_local`].
    pub places: Option<PlacesSection>,
    /// How neighbours are treated.
    pub peers: Peers,
    /// What is noted, and where.
    pub log: Log,
    /// What a server bears.
    pub limits: Limits,
    /// The folder that the file's paths were relative to, and below which `run/` lies: empty for the
    /// current one. The paths in the other fields begin with it already.
    pub folder: PathBuf,
}

impl Herd {
    /// Reads `named` (`-c FILE`), or `herd.json` in the current folder if there is one, else gives the
    /// built-in herd. A file that was named has to be there.
    pub fn find(named: Option<&Path>) -> Result<Herd, Error> {
        Herd::find_in(Path::new(""), named)
    }

    /// The file that [`Herd::find`] reads, or `None` if it gives the built-in herd.
    pub fn file(named: Option<&Path>) -> Option<PathBuf> {
        Herd::file_in(Path::new(""), named)
    }

    fn find_in(current: &Path, named: Option<&Path>) -> Result<Herd, Error> {
        match Herd::file_in(current, named) {
            Some(file) => Herd::read(&file),
            None => Ok(Herd::built_in()),
        }
    }

    fn file_in(current: &Path, named: Option<&Path>) -> Option<PathBuf> {
        if let Some(file) = named {
            return Some(file.to_owned());
        }
        let file = current.join(DEFAULT_FILE);
        match fs::symlink_metadata(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // Whoever has a file that cannot be read does not want another herd in its place.
            _ => Some(file),
        }
    }

    /// Reads a herd file of at most a mebibyte.
    pub fn read(path: &Path) -> Result<Herd, Error> {
        let wrong = |why: String| Error::new(path, Mistake::new("", why));
        let mut bytes = Vec::new();
        File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)).map_err(
            |error| match error.kind() {
                io::ErrorKind::NotFound => {
                    wrong("is not there; name a herd file with -c, or none for the built-in herd".to_owned())
                }
                _ => wrong(format!("cannot be read: {error}")),
            },
        )?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(wrong(format!("is no herd file: it has more than {MAX_FILE_BYTES} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            wrong(format!("is not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
        })?;
        Herd::parse(&text, path)
    }

    /// Reads the text of a herd file. `file` is its name, for messages, and says in which folder its
    /// relative paths begin; it need not exist.
    pub fn parse(text: &str, file: &Path) -> Result<Herd, Error> {
        let folder = file.parent().unwrap_or(Path::new(""));
        herd(text, folder).map_err(|mistake| Error::new(file, mistake))
    }

    /// The server of that name.
    pub fn server(&self, name: &str) -> Option<&ServerSection> {
        self.servers.iter().find(|server| server.name == name)
    }

    /// Where a WHATSAT is asked: [`Herd::places`], or the local Places server.
    pub fn places_or_local(&self) -> PlacesSection {
        self.places.clone().unwrap_or_else(|| PlacesSection::local(&self.folder))
    }

    /// Whether a WHATSAT is answered only while `herd places` runs.
    pub fn needs_local_places(&self) -> bool {
        self.places.is_none()
    }
}

fn herd(text: &str, folder: &Path) -> Result<Herd, Mistake> {
    // Some editors begin a file so; JSON does not.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(Mistake::new("", format!("is empty; write for example {EXAMPLE}")));
    }
    let node = Node::parse(text)?;
    if !matches!(node, Node::Object(_)) {
        let kind = node.kind();
        return Err(Mistake::new("", format!("holds {kind}, not an object; write for example {EXAMPLE}")));
    }
    let file = Item::root(&node).section(&KEYS)?;
    let name_item = file.required("herd", "\"bruins\"")?;
    let name = servers::name(name_item.text()?).map_err(|why| name_item.mistake(why))?.to_owned();
    let servers_item = file.required("servers", "{ \"Riley\": { \"listen\": \"127.0.0.1:12326\" } }")?;
    let servers = servers::read(servers_item)?;
    let places = match file.item("places") {
        Some(item) => Some(PlacesSection::read(&item.section(&places::KEYS)?, folder)?),
        None => None,
    };
    let peers = Peers::read(&file.section("peers", &limits::PEERS_KEYS)?)?;
    let log = Log::read(&file.section("log", &limits::LOG_KEYS)?, folder)?;
    let limits = Limits::read(&file.section("limits", &limits::LIMITS_KEYS)?)?;
    servers::require_loopback(servers_item)?;
    if places.is_none()
        && let Some(server) = servers.iter().find(|server| is_local_places(server))
    {
        return Err(Mistake::new(
            format!("servers.{}.listen", server.name),
            format!(
                "the local Places server has port {LOCAL_PLACES_PORT}; choose another, or write `places`"
            ),
        ));
    }
    Ok(Herd { name, servers, places, peers, log, limits, folder: folder.to_owned() })
}

fn is_local_places(server: &ServerSection) -> bool {
    let address = server.listen.ip().to_canonical();
    let local = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    server.listen.port() == LOCAL_PLACES_PORT && local.contains(&address)
}

/// The file that is read without `-c`.
const DEFAULT_FILE: &str = "herd.json";

/// Every key of the file.
const KEYS: [&str; 6] = ["herd", "servers", "places", "peers", "log", "limits"];

const EXAMPLE: &str = r#"{ "herd": "bruins", "servers": { "Riley": { "listen": "127.0.0.1:12326" } } }"#;

/// Far more than the largest herd needs; a device or a core dump given by mistake is not read to its end.
const MAX_FILE_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::super::PlacesApi;
    use super::super::testing::{parse, with, with_a, wrong};
    use super::*;
    use crate::log::Level;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn what_a_file_leaves_out_has_the_default_of_the_protocol() {
        let herd = parse(&with(r#", "places": {}"#)).unwrap();
        let places = herd.places_or_local();
        assert_eq!(
            (places.url.to_string().as_str(), places.api),
            ("https://maps.googleapis.com", PlacesApi::GoogleLegacy)
        );
        assert_eq!((places.trust, places.key_env.as_deref()), (None, Some("PLACES_API_KEY")));
        assert_eq!(places.timeout, Duration::from_secs(5));
        assert_eq!(herd.places, Some(PlacesSection::default()));
        assert_eq!(herd.peers.silence, Duration::from_secs(3));
        assert_eq!(
            (herd.log.folder.as_path(), herd.log.level),
            (Path::new("some/folder/logs"), Level::Traffic)
        );
        let Limits { max_line, max_connections, max_clients, max_future_s, line_timeout } = herd.limits;
        assert_eq!((max_line, max_connections, max_clients), (8192, 10_000, 10_000_000));
        assert_eq!((max_future_s, line_timeout), (86_400, Duration::from_secs(60)));
        assert_eq!((Herd::built_in().log, Herd::built_in().limits), (Log::default(), Limits::default()));
    }

    #[test]
    fn every_value_arrives() {
        let herd = parse(&with(
            r#",
            "places": { "api": "google-legacy", "url": "http://localhost:8080/p", "trust": "/etc/ca.pem", "key_env": "_K1", "timeout_ms": 10 },
            "peers": { "tls": false, "silence_ms": 100 },
            "log": { "dir": "deep/er", "level": "events" },
            "limits": { "max_line": 64, "max_connections": 1, "max_clients": 1073741824, "max_future_s": 0, "line_timeout_s": 1 }"#,
        ))
        .unwrap();
        let places = herd.places.clone().unwrap();
        assert_eq!(places.url, "http://localhost:8080/p".parse().unwrap());
        assert_eq!(
            (places.trust.as_deref(), places.key_env.as_deref()),
            (Some(Path::new("/etc/ca.pem")), Some("_K1"))
        );
        assert_eq!(
            (places.timeout, herd.peers.silence),
            (Duration::from_millis(10), Duration::from_millis(100))
        );
        assert_eq!(
            (herd.log.folder.as_path(), herd.log.level),
            (Path::new("some/folder/deep/er"), Level::Events)
        );
        let limits = herd.limits;
        assert_eq!((limits.max_line, limits.max_connections, limits.max_clients), (64, 1, 1 << 30));
        assert_eq!((limits.max_future_s, limits.line_timeout), (0, Duration::from_secs(1)));
    }

    #[test]
    fn mistakes_of_the_whole_file() {
        wrong("", "", "is empty");
        wrong(" \n", "", "is empty");
        wrong("[]", "", "holds a list, not an object");
        wrong("{", "line 1, column 1", "not JSON");
        wrong("{}", "herd", "is missing");
        wrong(r#"{"herd": "x"}"#, "servers", "is missing");
        wrong(&with(r#", "color": "red""#), "color", "herd, servers, places, peers, log, limits");
        wrong(&with(r#", "herd": "i""#), "herd", "twice");
        wrong(&with(r#", "a\nb": 1"#), "a\\nb", "not a known key");
        assert!(parse(&format!("\u{feff}{}", with(""))).is_ok());
    }

    #[test]
    fn the_file_is_found_or_there_is_none() {
        let folder = std::env::temp_dir().join(format!("herd-config-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("herd.json");
        let _ = fs::remove_file(&file);
        assert_eq!(Herd::find_in(&folder, None), Ok(Herd::built_in()));
        assert_eq!(Herd::file_in(&folder, None), None);
        let missing = Herd::find_in(&folder, Some(&file)).unwrap_err().to_string();
        assert!(missing.contains("herd.json: is not there"), "{missing}");

        fs::write(&file, with("")).unwrap();
        assert_eq!(Herd::file_in(&folder, None), Some(file.clone()));
        let herd = Herd::find_in(&folder, None).unwrap();
        assert_eq!((&*herd.name, &herd.folder, &herd.log.folder), ("h", &folder, &folder.join("logs")));
        assert_eq!(Herd::find_in(Path::new("elsewhere"), Some(&file)), Ok(herd));

        fs::write(&file, b"{ \"herd\": \"\xff\" }").unwrap();
        let error = Herd::read(&file).unwrap_err().to_string();
        assert!(error.contains("is not UTF-8 from byte 11 on"), "{error}");
        fs::write(&file, vec![b' '; MAX_FILE_BYTES as usize + 1]).unwrap();
        let error = Herd::read(&file).unwrap_err().to_string();
        assert!(error.contains("more than 1048576 bytes"), "{error}");
        let error = Herd::read(&folder).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }

    const WORDS: &str = "herd servers places peers log limits listen address talks_to A \
        api url trust key_env timeout_ms tls silence_ms dir level max_line";

    /// JSON that resembles a herd file, so that every reader is reached.
    fn json() -> impl Strategy<Value = String> {
        let word = prop::sample::select(WORDS.split_whitespace().collect::<Vec<_>>());
        let text = prop_oneof![
            word.clone().prop_map(str::to_owned),
            any::<String>(),
            "(localhost|127.0.0.1|\\[::1\\]?|https?://x?):?[0-9]{0,5}[/%?#@é]{0,3}",
        ];
        let quoted = |text: String| serde_json::Value::String(text).to_string();
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|flag| flag.to_string()),
            any::<i64>().prop_map(|number| number.to_string()),
            text.prop_map(quoted),
        ];
        leaf.prop_recursive(5, 60, 8, move |inner| {
            let pair =
                (prop_oneof![9 => word.clone().prop_map(str::to_owned), 1 => any::<String>()], inner.clone());
            prop_oneof![
                1 => prop::collection::vec(inner, 0..4).prop_map(|list| format!("[{}]", list.join(","))),
                3 => prop::collection::vec(pair, 0..8).prop_map(move |pairs| {
                    let pairs: Vec<String> =
                        pairs.into_iter().map(|(key, value)| format!("{}:{value}", quoted(key))).collect();
                    format!("{{{}}}", pairs.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_text_brings_the_reader_down(text in prop_oneof![json(), any::<String>()], server in json()) {
            let file = format!(r#"{{ "herd": "h", "servers": {{ "A": {server} }}, "places": {text} }}"#);
            for text in [&text, &file, &with_a(&text), &with(&format!(r#", "log": {text}"#))] {
                if let Err(error) = parse(text) {
                    prop_assert!(!error.to_string().contains(['\n', '\r']));
                }
            }
        }
    }
}
