//! The section `places`: the service that answers WHATSAT.

use super::error::Error;
use super::host::{Host, LOCALHOST};
use super::places_url::PlacesUrl;
use super::section::{Item, Section};
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
    /// The longest time that one WHATSAT waits: 10 ms to 10 minutes.
    pub timeout: Duration,
}

impl PlacesSection {
    pub(super) const KEYS: [&str; 5] = ["api", "url", "trust", "key_env", "timeout_ms"];

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
        // At least a round trip and a TLS handshake within one city.
        let timeout = Duration::from_millis(section.integer("timeout_ms", 5000, 10..=600_000)?);
        Ok(PlacesSection { api, url, trust, key_env, timeout })
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
    match item.string()?.as_str() {
        "google-legacy" => Ok(Dialect::GoogleLegacy),
        name @ ("google" | "photon") => {
            Err(item.error(format!("\"{name}\" is not built yet; write \"google-legacy\"")))
        }
        _ => Err(item.expected("\"google-legacy\"")),
    }
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
    fn an_api_is_read_by_its_name() {
        let api = Dialect::GoogleLegacy;
        let herd = parse(&with(&format!(r#", "places": {{ "api": "{}" }}"#, api.name()))).unwrap();
        assert_eq!(herd.places.unwrap().api, api);
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
        wrong(&places(r#""api": "bing""#), "places.api", "expected \"google-legacy\", got \"bing\"");
        wrong(&places(r#""api": "google""#), "places.api", "is not built yet");
        wrong(&places(r#""api": "photon""#), "places.api", "is not built yet");
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
