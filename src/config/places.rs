//! The section `places`: whom a WHATSAT asks.

use super::error::{Mistake, quoted};
use super::host::{Host, LOCALHOST};
use super::places_url::PlacesUrl;
use super::section::{Bounds, Item, Section};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The dialect of a Places service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacesApi {
    /// Nearby Search as Google has offered it since 2010, and as the local Places server speaks it.
    GoogleLegacy,
}

impl PlacesApi {
    /// The name of this API in a herd file.
    pub fn name(self) -> &'static str {
        match self {
            PlacesApi::GoogleLegacy => "google-legacy",
        }
    }

    fn public_url(self) -> PlacesUrl {
        match self {
            PlacesApi::GoogleLegacy => {
                let host = Host::Name("maps.googleapis.com".to_owned());
                PlacesUrl { tls: true, host, port: 443, path: String::new() }
            }
        }
    }
}

/// A Places service and how to ask it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacesSection {
    /// What it speaks.
    pub api: PlacesApi,
    /// Where it is.
    pub url: PlacesUrl,
    /// PEM file of the root certificates to trust instead of the public web's, from the current folder;
    /// whether it is there shows when it is used.
    pub trust: Option<PathBuf>,
    /// The environment variable that holds the key, or `None` if no key is wanted.
    pub key_env: Option<String>,
    /// How long one WHATSAT waits at most.
    pub timeout: Duration,
}

impl PlacesSection {
    /// The local Places server (`herd places`) of a herd whose paths begin at `folder`.
    pub(super) fn local(folder: &Path) -> PlacesSection {
        let host = Host::Name(LOCALHOST.to_owned());
        PlacesSection {
            api: PlacesApi::GoogleLegacy,
            url: PlacesUrl { tls: true, host, port: LOCAL_PLACES_PORT, path: String::new() },
            trust: Some(folder.join(LOCAL_PLACES_TRUST)),
            key_env: None,
            timeout: Duration::from_millis(TIMEOUT_MS.default),
        }
    }

    /// Whether asking without a key is useless.
    pub fn needs_key(&self) -> bool {
        self.key_env.is_some()
    }

    pub(super) fn read(section: &Section<'_>, folder: &Path) -> Result<PlacesSection, Mistake> {
        let api = section.item("api").map_or(Ok(DEFAULT_API), read_api)?;
        let url = section.item("url").map_or_else(|| Ok(api.public_url()), read_url)?;
        let trust = section.item("trust").map(|item| read_path(item, folder)).transpose()?;
        let key_env = section.item("key_env").map_or(Ok(DEFAULT_KEY_ENV), read_key_env)?;
        let timeout = section.milliseconds("timeout_ms", &TIMEOUT_MS)?;
        Ok(PlacesSection { api, url, trust, key_env: Some(key_env.to_owned()), timeout })
    }
}

impl Default for PlacesSection {
    /// Google, with a key.
    fn default() -> PlacesSection {
        PlacesSection {
            api: DEFAULT_API,
            url: DEFAULT_API.public_url(),
            trust: None,
            key_env: Some(DEFAULT_KEY_ENV.to_owned()),
            timeout: Duration::from_millis(TIMEOUT_MS.default),
        }
    }
}

/// A path of the file, from the current folder.
pub(super) fn read_path(item: &Item<'_>, folder: &Path) -> Result<PathBuf, Mistake> {
    let text = item.text()?;
    // The operating system takes neither nothing nor NUL, and a path with a line end breaks every message
    // that shows it.
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(item.mistake(format!("{} is not a path", quoted(text))));
    }
    Ok(folder.join(text))
}

fn read_api(item: &Item<'_>) -> Result<PlacesApi, Mistake> {
    let name = item.text()?;
    if name == PlacesApi::GoogleLegacy.name() {
        return Ok(PlacesApi::GoogleLegacy);
    }
    let why = if NOT_BUILT_YET.contains(&name) { "is not built yet" } else { "is not a known API" };
    Err(item.mistake(format!("{} {why}; write \"google-legacy\"", quoted(name))))
}

fn read_url(item: &Item<'_>) -> Result<PlacesUrl, Mistake> {
    item.text()?.parse().map_err(|why: super::error::Unreadable| item.mistake(why.to_string()))
}

fn read_key_env<'a>(item: &Item<'a>) -> Result<&'a str, Mistake> {
    let name = item.text()?;
    // What stands here by mistake is likely to be the key, so no message repeats it.
    if name.starts_with(GOOGLE_KEY_PREFIX) {
        return Err(item.mistake(
            "looks like a key of Google's, and a key never stands in a file; \
             put it into an environment variable and write the name of that here",
        ));
    }
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
        && name.len() <= MAX_KEY_ENV_BYTES;
    if !is_name {
        return Err(item.mistake(format!(
            "is not the name of an environment variable (letters, digits and _, at most \
             {MAX_KEY_ENV_BYTES} bytes, no digit first); the default is {DEFAULT_KEY_ENV}"
        )));
    }
    Ok(name)
}

/// Every key of the section.
pub(super) const KEYS: [&str; 5] = ["api", "url", "trust", "key_env", "timeout_ms"];

/// The port of `herd places`, next to those of the built-in herd.
pub const LOCAL_PLACES_PORT: u16 = 12331;

/// Where the local Places server leaves the root of its certificate, from the herd's folder.
pub const LOCAL_PLACES_TRUST: &str = "run/places-ca.pem";

const DEFAULT_API: PlacesApi = PlacesApi::GoogleLegacy;
const DEFAULT_KEY_ENV: &str = "PLACES_API_KEY";

/// Names that the manual promises: whoever writes one has made no mistake, only come too early.
const NOT_BUILT_YET: [&str; 2] = ["google", "photon"];

/// Every key of a Google API begins so.
const GOOGLE_KEY_PREFIX: &str = "AIza";

/// Longer than any variable that a person names, shorter than a secret pasted by mistake may be.
const MAX_KEY_ENV_BYTES: usize = 128;

/// At least a round trip and a TLS handshake within one city; at most what a person waits at a telnet
/// prompt before giving up.
const TIMEOUT_MS: Bounds = Bounds { default: 5000, least: 10, most: 600_000 };

#[cfg(test)]
mod tests {
    use super::super::testing::{parse, with, wrong};
    use std::path::Path;

    #[test]
    fn without_places_the_local_server_is_asked() {
        let herd = parse(&with("")).unwrap();
        assert!(herd.needs_local_places());
        let places = herd.places_or_local();
        assert_eq!(places.url, "https://localhost:12331".parse().unwrap());
        assert_eq!(places.trust.as_deref(), Some(Path::new("some/folder/run/places-ca.pem")));
        assert!(!places.needs_key());
        let google = parse(&with(r#", "places": {}"#)).unwrap();
        assert!(!google.needs_local_places() && google.places_or_local().needs_key());
    }

    #[test]
    fn mistakes_in_places() {
        let places = |text: &str| with(&format!(r#", "places": {{ {text} }}"#));
        wrong(&with(r#", "places": null"#), "places", "not null");
        wrong(&places(r#""key": "S3cret""#), "places.key", "api, url, trust, key_env, timeout_ms");
        wrong(&places(r#""api": "bing""#), "places.api", "\"bing\" is not a known API");
        wrong(&places(r#""api": "google""#), "places.api", "is not built yet");
        wrong(&places(r#""api": "photon""#), "places.api", "is not built yet");
        wrong(&places(r#""url": "http://places.example""#), "places.url", "write https://places.example");
        wrong(&places(r#""trust": """#), "places.trust", "is not a path");
        wrong(&places(r#""trust": "a\u0000""#), "places.trust", "is not a path");
        wrong(&places(r#""trust": "a\nb""#), "places.trust", "is not a path");
        wrong(&places(r#""key_env": "1K""#), "places.key_env", "is not the name of an environment variable");
        wrong(&places(r#""key_env": "A-B""#), "places.key_env", "is not the name of an environment variable");
        wrong(&places(r#""key_env": """#), "places.key_env", "is not the name of an environment variable");
        let long = format!(r#""key_env": "{}""#, "K".repeat(129));
        wrong(&places(&long), "places.key_env", "at most 128");
        wrong(&places(r#""key_env": "AIzaSyS3cret""#), "places.key_env", "a key never stands in a file");
        for leaky in [r#""key": "S3cret""#, r#""key_env": "S3cret!""#, r#""key_env": "AIzaS3cret""#] {
            assert!(!parse(&places(leaky)).unwrap_err().to_string().contains("S3cret"));
        }
    }
}
