//! A whole herd file.

use super::clients::ClientsSection;
use super::error::Error;
use super::http::HttpSection;
use super::limits::Limits;
use super::log::LogSection;
use super::peers::PeersSection;
use super::places::{LOCAL_PLACES_PORT, PlacesSection};
use super::section::Item;
use super::server_names;
use super::servers::{self, ServerSection};
use super::store::StoreSection;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// A herd as its file describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct HerdFile {
    /// The name by which servers know that they belong together: one field of at most 64 bytes.
    pub name: String,
    /// The servers, in the order of the file; 1 to 128.
    pub servers: Vec<ServerSection>,
    /// The service that answers WHATSAT. `None`: the local Places server; see [`HerdFile::places_or_local`].
    pub places: Option<PlacesSection>,
    /// The links between neighbours.
    pub peers: PeersSection,
    /// The log of each server.
    pub log: LogSection,
    /// The store on disk of each server; `None`: servers keep everything in memory.
    pub store: Option<StoreSection>,
    /// Access to the HTTP interface of each server.
    pub http: HttpSection,
    /// The limits of each server.
    pub limits: Limits,
    /// The folder of the file, in which `run/` lies; empty for the current folder. The paths in the other
    /// fields include it.
    pub folder: PathBuf,
}

impl HerdFile {
    /// Reads the file `named` (`-c FILE`), which must exist. Without it reads `herd.json` in the current
    /// folder, or returns the built-in herd if that file does not exist.
    pub fn find(named: Option<&Path>) -> Result<HerdFile, Error> {
        HerdFile::find_in(Path::new(""), named)
    }

    /// The file that [`HerdFile::find`] reads, or `None` for the built-in herd.
    pub fn file(named: Option<&Path>) -> Option<PathBuf> {
        HerdFile::file_in(Path::new(""), named)
    }

    fn find_in(current: &Path, named: Option<&Path>) -> Result<HerdFile, Error> {
        match HerdFile::file_in(current, named) {
            Some(file) => HerdFile::read(&file),
            None => Ok(HerdFile::built_in()),
        }
    }

    fn file_in(current: &Path, named: Option<&Path>) -> Option<PathBuf> {
        if let Some(file) = named {
            return Some(file.to_owned());
        }
        let file = current.join(DEFAULT_FILE);
        match fs::symlink_metadata(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // A file that cannot be read is an error, not a reason to start another herd.
            _ => Some(file),
        }
    }

    /// Reads a herd file of at most 1 MiB.
    pub fn read(path: &Path) -> Result<HerdFile, Error> {
        read_text(path)
            .and_then(|text| HerdFile::of_text(&text, folder_of(path)))
            .map_err(|error| error.in_file(path))
    }

    /// Reads the text of a herd file. `file` is its name in errors, and relative paths of the text start in
    /// its folder. The file need not exist.
    pub fn parse(text: &str, file: &Path) -> Result<HerdFile, Error> {
        HerdFile::of_text(text, folder_of(file)).map_err(|error| error.in_file(file))
    }

    fn of_text(text: &str, folder: &Path) -> Result<HerdFile, Error> {
        // Some editors write a byte order mark, which is not JSON.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if !text.trim_start().starts_with('{') {
            let example = format!("{{ \"herd\": \"bruins\", \"servers\": {} }}", servers::EXAMPLE);
            let problem = if text.trim().is_empty() { "is empty" } else { "expected a JSON object" };
            return Err(Error::new("", format!("{problem}; write for example {example}")));
        }
        let file = Item::of_file(text)?.section(&KEYS)?;
        let name = file.required("herd", "\"bruins\"")?;
        server_names::check_name(&name.string()?).map_err(|problem| name.error(problem))?;
        let peers = PeersSection::read(&file.section("peers", &PeersSection::KEYS)?)?;
        let servers = servers::read(file.required("servers", servers::EXAMPLE)?, peers.tls)?;
        let herd = HerdFile {
            name: name.string()?,
            http: HttpSection::read(&file.section("http", &HttpSection::KEYS)?, &servers, folder)?,
            servers,
            places: match file.get("places") {
                Some(item) => Some(PlacesSection::read(&item.section(&PlacesSection::KEYS)?, folder)?),
                None => None,
            },
            peers,
            log: LogSection::read(&file.section("log", &LogSection::KEYS)?, folder)?,
            store: StoreSection::read(&file.section("store", &StoreSection::KEYS)?, folder)?,
            limits: Limits::read(
                &file.section("limits", &Limits::KEYS)?,
                &file.section("clients", &ClientsSection::KEYS)?,
            )?,
            folder: folder.to_owned(),
        };
        if !herd.needs_local_places() {
            return Ok(herd);
        }
        for server in &herd.servers {
            if let Some((key, _)) = server.listens().find(|(_, listen)| is_local_places(*listen)) {
                return Err(Error::new(
                    format!("servers.{}.{key}", server.name),
                    format!(
                        "port {LOCAL_PLACES_PORT} is that of the local Places server; choose another port, or \
                         write a section places"
                    ),
                ));
            }
        }
        Ok(herd)
    }

    /// The server of this name.
    pub fn server(&self, name: &str) -> Option<&ServerSection> {
        self.servers.iter().find(|server| server.name == name)
    }

    /// The service that answers WHATSAT: [`HerdFile::places`], or the local Places server.
    pub fn places_or_local(&self) -> PlacesSection {
        self.places.clone().unwrap_or_else(|| PlacesSection::local(&self.folder))
    }

    /// Whether all addresses of commands and links of all servers are loopback addresses, so that the herd is on one
    /// machine.
    pub fn is_on_loopback(&self) -> bool {
        self.servers.iter().all(ServerSection::is_on_loopback)
    }

    /// Whether WHATSAT is answered by the local Places server, which `herd places` runs.
    pub fn needs_local_places(&self) -> bool {
        self.places.is_none()
    }
}

fn read_text(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Error::new("", "no such file; name an existing one with -c, or none for the built-in herd")
        }
        _ => Error::new("", format!("cannot be read: {error}")),
    })?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::new(
            "",
            format!("expected a herd file of at most {MAX_FILE_BYTES} bytes, got more"),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        Error::new("", format!("not UTF-8 at byte {}; save it as UTF-8", error.utf8_error().valid_up_to()))
    })
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

fn is_local_places(listen: SocketAddr) -> bool {
    let address = listen.ip().to_canonical();
    let local = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    listen.port() == LOCAL_PLACES_PORT && local.contains(&address)
}

/// The file that is read without `-c`.
pub const DEFAULT_FILE: &str = "herd.json";

const KEYS: [&str; 9] = ["herd", "servers", "places", "peers", "log", "store", "http", "limits", "clients"];

/// Bytes of a herd file, far more than the largest herd needs. A device or a core dump that was named by
/// mistake is not read to its end.
const MAX_FILE_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::super::store::Sync;
    use super::super::testing::{parse, with, with_a, wrong};
    use super::*;
    use crate::log::Level;
    use crate::places::desk::Bounds;
    use crate::places::dialect::Dialect;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn an_absent_key_has_the_default_of_the_protocol() {
        let herd = parse(&with(r#", "places": {}"#)).unwrap();
        let places = herd.places_or_local();
        assert_eq!(
            (places.url.to_string().as_str(), places.api),
            ("https://maps.googleapis.com", Dialect::GoogleLegacy)
        );
        assert_eq!((places.trust, places.key_env.as_deref()), (None, Some("PLACES_API_KEY")));
        assert_eq!(places.bounds.timeout, Duration::from_secs(5));
        assert_eq!(herd.places, Some(PlacesSection::default()));
        assert_eq!(herd.peers.silence, Duration::from_secs(3));
        assert_eq!(
            (herd.log.folder.as_path(), herd.log.level),
            (Path::new("some/folder/logs"), Level::Traffic)
        );
        let expected = Limits {
            max_line: 8192,
            max_connections: 10_000,
            max_connections_per_address: 0,
            max_lines_per_second: 0,
            max_clients: 10_000_000,
            max_future_s: 86_400,
            max_followers: 1000,
            expire_s: 0,
            remember_gone_s: 604_800,
            line_timeout: Duration::from_secs(60),
            clients: ClientsSection::default(),
        };
        assert_eq!(herd.limits, expected);
        assert_eq!(herd.limits, Limits::default());
        assert_eq!((herd.store, herd.http), (None, HttpSection::default()));
    }

    #[test]
    fn every_key_is_read() {
        let herd = parse(&with(
            r#",
            "places": { "api": "google-legacy", "url": "http://localhost:8080/p", "trust": "/etc/ca.pem", "key_env": "_K1", "timeout_ms": 10, "max_connections": 1, "max_waiting": 2, "max_per_minute": 3, "cache_s": 4 },
            "peers": { "tls": false, "silence_ms": 100 },
            "log": { "dir": "deep/er", "level": "events" },
            "store": { "dir": "st/ore", "sync": "always" },
            "http": { "tokens": "to/kens", "certificate": "c", "key": "k", "behind_proxy": true },
            "limits": { "max_line": 64, "max_connections": 1, "max_connections_per_address": 7, "max_lines_per_second": 9, "max_clients": 1073741824, "max_future_s": 0, "max_followers": 5, "expire_s": 60, "remember_gone_s": 1, "line_timeout_s": 1 },
            "clients": { "end_line_after_ms": 1, "close_after_ms": 2 }"#,
        ))
        .unwrap();
        let places = herd.places.clone().unwrap();
        assert_eq!(places.url, "http://localhost:8080/p".parse().unwrap());
        assert_eq!(
            (places.trust.as_deref(), places.key_env.as_deref()),
            (Some(Path::new("/etc/ca.pem")), Some("_K1"))
        );
        assert_eq!(
            (places.bounds.timeout, herd.peers.silence),
            (Duration::from_millis(10), Duration::from_millis(100))
        );
        let Bounds { connections, waiting, per_minute, cache, .. } = places.bounds;
        assert_eq!((connections, waiting, per_minute, cache), (1, 2, 3, Duration::from_secs(4)));
        assert_eq!(
            (herd.log.folder.as_path(), herd.log.level),
            (Path::new("some/folder/deep/er"), Level::Events)
        );
        let folder = "some/folder/st/ore".into();
        assert_eq!(herd.store, Some(StoreSection { folder, sync: Sync::Always }));
        assert_eq!((herd.http.tokens, herd.http.behind_proxy), (Some("some/folder/to/kens".into()), true));
        let limits = herd.limits;
        assert_eq!((limits.max_line, limits.max_connections, limits.max_clients), (64, 1, 1 << 30));
        assert_eq!((limits.max_connections_per_address, limits.max_lines_per_second), (7, 9));
        assert_eq!((limits.expire_s, limits.remember_gone_s), (60, 1));
        assert_eq!((limits.max_future_s, limits.line_timeout), (0, Duration::from_secs(1)));
        assert_eq!(limits.max_followers, 5);
        let ms = Duration::from_millis;
        assert_eq!(limits.clients, ClientsSection { end_line_after: ms(1), close_after: ms(2) });
    }

    #[test]
    fn mistakes_in_the_whole_file() {
        wrong("", "", "is empty; write for example {");
        wrong(" \n", "", "is empty; write for example {");
        wrong("[]", "", "expected a JSON object");
        wrong("{", "line 1, column 1", "not JSON");
        wrong("{}", "herd", "is missing");
        wrong(r#"{"herd": "x"}"#, "servers", "is missing");
        wrong(
            &with(r#", "color": "red""#),
            "color",
            "herd, servers, places, peers, log, store, http, limits",
        );
        wrong(&with(r#", "herd": "i""#), "herd", "duplicate key");
        wrong(&with(r#", "a\nb": 1"#), "a\\nb", "unknown key");
        assert!(parse(&format!("\u{feff}{}", with(""))).is_ok());
    }

    #[test]
    fn the_file_is_found_or_the_herd_is_built_in() {
        let folder = std::env::temp_dir().join(format!("herd-config-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("herd.json");
        let _ = fs::remove_file(&file);
        assert_eq!(HerdFile::find_in(&folder, None), Ok(HerdFile::built_in()));
        assert_eq!(HerdFile::file_in(&folder, None), None);
        let missing = HerdFile::find_in(&folder, Some(&file)).unwrap_err().to_string();
        assert!(missing.contains("herd.json: no such file"), "{missing}");

        fs::write(&file, with("")).unwrap();
        assert_eq!(HerdFile::file_in(&folder, None), Some(file.clone()));
        let herd = HerdFile::find_in(&folder, None).unwrap();
        assert_eq!((&*herd.name, &herd.folder, &herd.log.folder), ("h", &folder, &folder.join("logs")));
        assert_eq!(HerdFile::find_in(Path::new("elsewhere"), Some(&file)), Ok(herd));

        fs::write(&file, b"{ \"herd\": \"\xff\" }").unwrap();
        let error = HerdFile::read(&file).unwrap_err().to_string();
        assert!(error.contains("not UTF-8 at byte 11"), "{error}");
        fs::write(&file, vec![b' '; MAX_FILE_BYTES as usize + 1]).unwrap();
        let error = HerdFile::read(&file).unwrap_err().to_string();
        assert!(error.contains("at most 1048576 bytes"), "{error}");
        let error = HerdFile::read(&folder).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }

    const WORDS: &str = "herd servers places peers log store limits listen peers address talks_to A \
        api url trust key_env timeout_ms max_connections max_waiting max_per_minute cache_s tls silence_ms dir level sync max_line \
        http tokens certificate behind_proxy";

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
        fn any_text_is_a_herd_or_a_one_line_error(text in prop_oneof![json(), any::<String>()], server in json()) {
            let file = format!(r#"{{ "herd": "h", "servers": {{ "A": {server} }}, "places": {text} }}"#);
            for text in [&text, &file, &with_a(&text), &with(&format!(r#", "log": {text}"#))] {
                if let Err(error) = parse(text) {
                    prop_assert!(!error.to_string().contains(['\n', '\r']));
                }
            }
        }
    }
}
