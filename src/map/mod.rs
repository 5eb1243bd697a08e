//! The live map: the files of a page for browsers, which are part of the program. There is no input or output here.
//!
//! The page is in `page/`: a document, a style sheet and ES modules, sent as they are. It reads `v1/changes`,
//! `v1/herd`, `v1/near` and `v1/clients/ID/places`, and nothing of another host. `build.rs` compresses the files.
//! Every path but that of the page has the hash of all files, so that a browser keeps them for good and never mixes
//! two versions.

use std::borrow::Cow;

use miniz_oxide::inflate::decompress_to_vec_with_limit;

#[cfg(test)]
mod labels;

/// A file of the page.
#[derive(Debug, PartialEq, Eq)]
pub struct Asset {
    path: &'static str,
    content_type: &'static str,
    length: usize,
    gzip: &'static [u8],
}

/// Returns the file at a path: `/` is the page, `/assets/HASH/NAME` the others.
pub fn asset(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

/// Returns whether a path is that of a file which holds nothing secret: it needs no token. The page is none of them,
/// since its path is that of data for phones too.
pub fn is_public(path: &str) -> bool {
    path.starts_with("/assets/")
}

impl Asset {
    /// The fields of the header section that do not depend on the coding: type, caching, and for the page its policy.
    pub fn fields(&self) -> &'static [(&'static str, &'static str)] {
        if self.is_page() { PAGE_FIELDS } else { ASSET_FIELDS }
    }

    /// The value of Content-Type.
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// Returns the bytes for a client, and the value of Content-Encoding, if there is one.
    ///
    /// # Panics
    ///
    /// Never: the tests inflate every file.
    pub fn body(&self, accepts_gzip: bool) -> (Cow<'static, [u8]>, Option<&'static str>) {
        if accepts_gzip {
            return (Cow::Borrowed(self.gzip), Some("gzip"));
        }
        let deflated = &self.gzip[GZIP_HEAD..self.gzip.len() - GZIP_TAIL];
        let plain =
            decompress_to_vec_with_limit(deflated, self.length).expect("the build script compressed it");
        (Cow::Owned(plain), None)
    }

    fn is_page(&self) -> bool {
        self.path == "/"
    }
}

/// Returns whether the members of Accept-Encoding allow gzip (RFC 9110, section 12.5.3).
pub fn accepts_gzip<'a>(members: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut others = false;
    for member in members {
        let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next().unwrap_or_default();
        // A weight of nothing but zeroes forbids the coding.
        let is_allowed = parts
            .filter_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")))
            .all(|weight| weight.iter().any(|byte| matches!(byte, b'1'..=b'9')));
        if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
            return is_allowed;
        }
        others |= coding == b"*" && is_allowed;
    }
    others
}

/// The policy of the page: scripts, styles, images and data of this server only, nothing inline, no frame around it.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                          connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE_FIELDS: &[(&str, &str)] = &[
    ("Content-Security-Policy", POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),
    ("Vary", "Accept-Encoding"),
];

/// A year: the path changes with the content.
const ASSET_FIELDS: &[(&str, &str)] =
    &[("Cache-Control", "public, max-age=31536000, immutable"), ("Vary", "Accept-Encoding")];

/// Bytes before and after the deflated data in the files that the build script writes.
const GZIP_HEAD: usize = 10;
const GZIP_TAIL: usize = 8;

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn text(asset: &Asset) -> String {
        String::from_utf8(asset.body(false).0.into_owned()).unwrap()
    }

    fn page() -> String {
        text(asset("/").unwrap())
    }

    /// The paths of the page that end in one of these, without their folder.
    fn names(endings: &[&str]) -> BTreeSet<&'static str> {
        let names = ASSETS.iter().map(|asset| asset.path.rsplit('/').next().unwrap());
        names.filter(|name| endings.iter().any(|ending| name.ends_with(ending))).collect()
    }

    #[test]
    fn every_file_inflates_to_its_length() {
        assert!(ASSETS.len() > 15);
        for asset in ASSETS {
            let (plain, coding) = asset.body(false);
            assert_eq!((plain.len(), coding), (asset.length, None), "{}", asset.path);
            let (packed, coding) = asset.body(true);
            assert_eq!((packed.as_ref(), coding), (asset.gzip, Some("gzip")));
            assert_eq!(packed[..3], [0x1f, 0x8b, 8], "{}", asset.path);
            let length = u32::from_le_bytes(*packed.last_chunk().unwrap());
            assert_eq!(length as usize, asset.length);
        }
    }

    #[test]
    fn the_page_names_every_file_that_it_starts_with() {
        let page = page();
        let hash = ASSETS.iter().find_map(|asset| asset.path.strip_prefix("/assets/")).unwrap();
        let folder = format!("assets/{}/", hash.split('/').next().unwrap());
        let named: BTreeSet<&str> =
            page.split(folder.as_str()).skip(1).map(|text| text.split('"').next().unwrap()).collect();
        assert_eq!(named, names(&[".mjs", ".css", ".svg"]));
        assert!(!page.contains("HASH"));
    }

    #[test]
    fn modules_import_only_files_of_the_page() {
        let modules = names(&[".mjs"]);
        for asset in ASSETS.iter().filter(|asset| asset.path.ends_with(".mjs")) {
            let source = text(asset);
            for import in
                source.lines().filter(|line| line.contains(" from \"") || line.starts_with("import "))
            {
                let path = import.split('"').nth(1).unwrap();
                let name = path.strip_prefix("./").unwrap_or_else(|| panic!("{}: {import}", asset.path));
                assert!(modules.contains(name), "{}: {import}", asset.path);
            }
        }
    }

    #[test]
    fn nothing_that_a_client_sends_becomes_html() {
        let writers =
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("];
        for asset in ASSETS.iter().filter(|asset| asset.path.ends_with(".mjs")) {
            let source = text(asset);
            assert!(writers.iter().all(|writer| !source.contains(writer)), "{}", asset.path);
        }
    }

    #[test]
    fn the_page_weighs_little() {
        let bytes = |asset: &&Asset| !asset.path.ends_with("land-50m.bin");
        let weight: usize = ASSETS.iter().filter(bytes).map(|asset| asset.gzip.len()).sum();
        assert!(weight <= 80_000, "{weight} bytes compressed");
    }

    #[test]
    fn files_other_than_the_page_are_kept_for_good() {
        assert!(asset("/").unwrap().fields().contains(&("Cache-Control", "no-cache")));
        for asset in ASSETS.iter().filter(|asset| !asset.is_page()) {
            assert!(asset.fields()[0].1.contains("immutable"), "{}", asset.path);
            assert!(is_public(asset.path));
        }
        assert!(!is_public("/"));
    }

    #[test]
    fn another_path_is_no_file() {
        for path in ["", "/index.html", "/assets/", "/assets/0/main.mjs", "/main.mjs", "//"] {
            assert_eq!(asset(path), None, "{path}");
        }
    }

    #[test]
    fn gzip_is_sent_to_clients_that_accept_it() {
        for (value, expected) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("x-gzip", true),
            ("*", true),
            ("", false),
            ("identity, br", false),
            ("gzip;q=0", false),
            ("gzip; Q=0.000, *", false),
            ("*;q=0", false),
        ] {
            let members = value.split(',').map(|member| member.trim().as_bytes());
            assert_eq!(accepts_gzip(members), expected, "{value}");
        }
    }

    #[test]
    fn large_places_have_names() {
        let places = ASSETS.iter().find(|asset| asset.path.ends_with("/places.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text(places)).unwrap();
        let names: Vec<&str> = json["names"].as_str().unwrap().split('\n').collect();
        assert_eq!(names.len(), json["latitudes"].as_array().unwrap().len());
        for name in ["Tokyo", "Los Angeles", "Reykjavík"] {
            let at = names.iter().position(|found| *found == name).unwrap_or_else(|| panic!("{name}"));
            let (latitude, longitude) = (&json["latitudes"][at], &json["longitudes"][at]);
            assert!(latitude.as_i64().unwrap() > 3000 && longitude.as_i64().unwrap() != 0, "{name}");
        }
    }
}
