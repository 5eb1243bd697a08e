//! The section `places`: the service that answers WHATSAT.

use super::error::Error;
use super::host::{Host, LOCALHOST};
use super::places_url::PlacesUrl;
use super::section::{Item, Section};
use crate::places::desk::Bounds;
use crate::places::dialect::Dialect;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A Places service and how to ask it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacesSection {
    /// The API that it offers.
    pub api: Dialect,
    /// Its base URL.
    pub url: PlacesUrl,
    /// PEM file of the root certificates to trust instead of the public web's, relative to the current
    /// folder. It is read when it is needed, not here.
    pub trust: Option<PathBuf>,
    /// The environment variable that holds the key. `None`: the service needs no key.
    pub key_env: Option<String>,
    /// The bounds of its use.
    pub bounds: Bounds,
}

impl PlacesSection {
    pub(super) const KEYS: [&str; 9] = [
        "api",
        "url",
        "trust",
        "key_env",
        "timeout_ms",
        "max_connections",
        "max_waiting",
        "max_per_minute",
        "cache_s",
    ];

    /// The local Places server (`herd places`) of a herd whose file is in `folder`.
    pub(super) fn local(folder: &Path) -> PlacesSection {
        let host = Host::Name(LOCALHOST.to_owned());
        PlacesSection {
            url: PlacesUrl { tls: true, host, port: LOCAL_PLACES_PORT, path: String::new() },
            trust: Some(folder.join(local_places_trust(LOCAL_PLACES_PORT))),
            key_env: None,
            ..PlacesSection::default()
        }
    }

    /// Whether the service is a local Places server (`herd places`), at any port: it is on this machine, and its
    /// certificate is checked against the file that the local Places server at that port writes.
    pub fn is_local(&self) -> bool {
        let file = self.trust.as_deref().and_then(Path::file_name);
        let is_on_loopback = self.url.tls && self.url.host.is_loopback();
        is_on_loopback && file.is_some() && file == local_places_trust(self.url.port).file_name()
    }

    /// Reads the section of a file in `folder`.
    pub(super) fn read(section: &Section<'_>, folder: &Path) -> Result<PlacesSection, Error> {
        let api = section.get("api").map_or(Ok(Dialect::GoogleLegacy), read_api)?;
        let url = section.get("url").map_or_else(|| Ok(public_url(api)), Item::parsed)?;
        let trust = section.get("trust").map(|item| item.path(folder)).transpose()?;
        let key_env =
            section.get("key_env").map_or_else(|| Ok(Some(DEFAULT_KEY_ENV.to_owned())), read_key_env)?;
        let bounds = Bounds {
            // At least a round trip and a TLS handshake within one city.
            timeout: Duration::from_millis(section.integer("timeout_ms", 5000, 10..=600_000)?),
            // Each takes a file descriptor; a service with so many answers within milliseconds.
            connections: section.integer("max_connections", 64, 1..=1000)?,
            // More than the clients of one server can ask at the same time.
            waiting: section.integer("max_waiting", 1000, 0..=1_000_000)?,
            per_minute: section.integer("max_per_minute", 0, 0..=1_000_000)?,
            // A day: places come and go.
            cache: Duration::from_secs(section.integer("cache_s", 0, 0..=86_400)?),
        };
        if let Some(item) = section.get("cache_s").filter(|_| !bounds.cache.is_zero())
            && api != Dialect::Photon
            && !url.host.is_loopback()
        {
            return Err(item.error(
                "Google's terms forbid to store its answers; remove cache_s, or use a service on this machine or \
                 \"api\": \"photon\"",
            ));
        }
        // No key is sent to a service that takes none.
        let key_env = key_env.filter(|_| api.takes_key());
        Ok(PlacesSection { api, url, trust, key_env, bounds })
    }
}

impl Default for PlacesSection {
    /// Google, with a key.
    fn default() -> PlacesSection {
        PlacesSection::read(&Section::default(), Path::new("")).expect("the defaults are valid")
    }
}

/// The base URL of the public service with this API.
fn public_url(api: Dialect) -> PlacesUrl {
    let host = match api {
        Dialect::GoogleLegacy => "maps.googleapis.com",
        Dialect::Google => "places.googleapis.com",
        Dialect::Photon => "photon.komoot.io",
    };
    PlacesUrl { tls: true, host: Host::Name(host.to_owned()), port: 443, path: String::new() }
}

fn read_api(item: &Item<'_>) -> Result<Dialect, Error> {
    let name = item.string()?;
    let api = Dialect::ALL.into_iter().find(|api| api.name() == name);
    api.ok_or_else(|| item.expected("\"google-legacy\", \"google\" or \"photon\""))
}

/// The name of the variable; `null`: the service needs no key.
fn read_key_env(item: &Item<'_>) -> Result<Option<String>, Error> {
    if item.is_null() {
        return Ok(None);
    }
    let name = item.string()?;
    // A wrong value is likely to be the key itself, so that no error repeats it.
    if name.starts_with(GOOGLE_KEY_PREFIX) {
        return Err(item.error(
            "looks like a Google API key, and keys do not belong in a file; put the key into an environment \
             variable and write the name of that variable here",
        ));
    }
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
        && name.len() <= MAX_KEY_ENV_BYTES;
    if !is_name {
        return Err(item.error(format!(
            "expected the name of an environment variable: letters, digits and _, no digit first, at most \
             {MAX_KEY_ENV_BYTES} bytes; the default is {DEFAULT_KEY_ENV}"
        )));
    }
    Ok(Some(name))
}

/// The port of the local Places server, next to those of the built-in herd.
pub const LOCAL_PLACES_PORT: u16 = 12331;

/// The file to which the local Places server at this port writes its root certificate, relative to its current
/// folder: `run/places-ca.pem`, where the servers of a herd look for it, at the usual port;
/// `run/places-ca-PORT.pem` at any other, so that a second local Places server does not replace the certificate
/// of a running herd.
pub fn local_places_trust(port: u16) -> PathBuf {
    match port {
        LOCAL_PLACES_PORT => "run/places-ca.pem".into(),
        _ => format!("run/places-ca-{port}.pem").into(),
    }
}

const DEFAULT_KEY_ENV: &str = "PLACES_API_KEY";

/// Every key of a Google API begins with it.
const GOOGLE_KEY_PREFIX: &str = "AIza";

/// Longer than the name of any variable, shorter than some secrets that may be pasted by mistake.
const MAX_KEY_ENV_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::super::testing::{parse, with, wrong};
    use super::*;

    #[test]
    fn each_api_has_its_public_service() {
        for (api, url) in [
            (Dialect::GoogleLegacy, "https://maps.googleapis.com"),
            (Dialect::Google, "https://places.googleapis.com"),
            (Dialect::Photon, "https://photon.komoot.io"),
        ] {
            let herd = parse(&with(&format!(r#", "places": {{ "api": "{}" }}"#, api.name()))).unwrap();
            let places = herd.places.unwrap();
            assert_eq!((places.api, places.url.to_string().as_str()), (api, url));
            assert_eq!(places.key_env.is_some(), api != Dialect::Photon);
        }
        let own = r#", "places": { "api": "google", "url": "https://x.example/y", "key_env": "K" }"#;
        let places = parse(&with(own)).unwrap().places.unwrap();
        assert_eq!(
            (places.url.to_string().as_str(), places.key_env.as_deref()),
            ("https://x.example/y", Some("K"))
        );
        let keyless = r#", "places": { "api": "photon", "key_env": "K" }"#;
        assert_eq!(parse(&with(keyless)).unwrap().places.unwrap().key_env, None, "no key is sent");
    }

    #[test]
    fn answers_of_google_are_not_stored() {
        for (section, is_allowed) in [
            (r#""cache_s": 60"#, false),
            (r#""api": "google", "cache_s": 60"#, false),
            (r#""api": "google", "url": "https://places.example", "cache_s": 1"#, false),
            (r#""api": "google", "url": "https://127.0.0.1.example", "cache_s": 1"#, false),
            (r#""api": "google", "cache_s": 0"#, true),
            (r#""api": "photon", "cache_s": 86400"#, true),
            (r#""url": "https://localhost:1", "cache_s": 60"#, true),
            (r#""api": "google", "url": "https://127.9.9.9:1", "cache_s": 60"#, true),
            (r#""url": "http://[::1]:1", "cache_s": 60"#, true),
        ] {
            let file = with(&format!(r#", "places": {{ {section} }}"#));
            if is_allowed {
                assert!(parse(&file).is_ok(), "{section}");
            } else {
                wrong(&file, "places.cache_s", "Google's terms forbid");
            }
        }
    }

    #[test]
    fn without_places_the_local_server_is_asked() {
        let herd = parse(&with("")).unwrap();
        assert!(herd.needs_local_places());
        let places = herd.places_or_local();
        assert_eq!(places.url, "https://localhost:12331".parse().unwrap());
        assert_eq!(places.trust.as_deref(), Some(Path::new("some/folder/run/places-ca.pem")));
        assert!(places.key_env.is_none());
        let google = parse(&with(r#", "places": {}"#)).unwrap();
        assert!(!google.needs_local_places() && google.places_or_local().key_env.is_some());
        let keyless = parse(&with(r#", "places": { "key_env": null }"#)).unwrap();
        assert!(!keyless.needs_local_places() && keyless.places_or_local().key_env.is_none());
    }

    #[test]
    fn only_the_usual_port_has_the_file_that_servers_read() {
        assert_eq!(local_places_trust(12331), Path::new("run/places-ca.pem"));
        assert_eq!(local_places_trust(9000), Path::new("run/places-ca-9000.pem"));
    }

    #[test]
    fn a_local_places_server_is_recognized_at_any_port() {
        let is_local = |places: &str| {
            let herd = parse(&with(&format!(r#", "places": {places}"#))).unwrap();
            herd.places_or_local().is_local()
        };
        assert!(parse(&with("")).unwrap().places_or_local().is_local());
        assert!(is_local(r#"{"url":"https://localhost:9000","trust":"run/places-ca-9000.pem"}"#));
        assert!(is_local(r#"{"url":"https://127.0.0.1:12331","trust":"run/places-ca.pem"}"#));
        assert!(is_local(
            r#"{"url":"https://LOCALHOST:9000","trust":"/x/places-ca-9000.pem","key_env":null}"#
        ));
        assert!(!is_local(r#"{"url":"http://localhost:9000","trust":"run/places-ca-9000.pem"}"#));
        assert!(!is_local(r#"{"url":"https://localhost:9000","trust":"run/places-ca-9001.pem"}"#));
        assert!(!is_local(r#"{"url":"https://localhost:9000","trust":"ca.pem"}"#));
        assert!(!is_local(r#"{"url":"https://example.org:9000","trust":"run/places-ca-9000.pem"}"#));
        assert!(!is_local(r#"{"url":"http://localhost:9000","key_env":null}"#));
        assert!(!is_local("{}"));
    }

    #[test]
    fn mistakes_in_places() {
        let places = |text: &str| with(&format!(r#", "places": {{ {text} }}"#));
        wrong(&with(r#", "places": null"#), "places", "got null");
        wrong(&places(r#""key": "S3cret""#), "places.key", "api, url, trust, key_env, timeout_ms");
        let names = "expected \"google-legacy\", \"google\" or \"photon\", got \"bing\"";
        wrong(&places(r#""api": "bing""#), "places.api", names);
        wrong(&places(r#""url": "http://places.example""#), "places.url", "write https://places.example");
        wrong(&places(r#""trust": """#), "places.trust", "expected a path");
        wrong(&places(r#""trust": "a\u0000""#), "places.trust", "expected a path");
        wrong(&places(r#""trust": "a\nb""#), "places.trust", "expected a path");
        wrong(
            &places(r#""key_env": "1K""#),
            "places.key_env",
            "expected the name of an environment variable",
        );
        wrong(
            &places(r#""key_env": "A-B""#),
            "places.key_env",
            "expected the name of an environment variable",
        );
        wrong(&places(r#""key_env": """#), "places.key_env", "expected the name of an environment variable");
        let long = format!(r#""key_env": "{}""#, "K".repeat(129));
        wrong(&places(&long), "places.key_env", "at most 128");
        wrong(&places(r#""key_env": "AIzaSyS3cret""#), "places.key_env", "keys do not belong in a file");
        for leaky in [r#""key": "S3cret""#, r#""key_env": "S3cret!""#, r#""key_env": "AIzaS3cret""#] {
            assert!(!parse(&places(leaky)).unwrap_err().to_string().contains("S3cret"));
        }
    }
}
