//! Packs the live map into the program: each file of `src/map/page`, the coast lines and the names of large places,
//! compressed, under a path with the hash of them all.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

#[allow(dead_code)]
#[path = "src/map/labels.rs"]
mod labels;
#[allow(dead_code)]
#[path = "src/places/gazetteer/packed.rs"]
mod packed;

/// The page itself, whose path has no hash.
const PAGE: &str = "index.html";

/// The word in the page that stands for the hash.
const HASH: &str = "HASH";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for source in ["src/map/page", "src/map/labels.rs", "src/places/gazetteer/packed.rs", "data"] {
        println!("cargo::rerun-if-changed={source}");
    }
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir("src/map/page")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    for name in ["land-110m.bin", "land-50m.bin"] {
        files.push((name.to_owned(), fs::read(Path::new("data").join(name)).unwrap()));
    }
    files.push(("places.json".to_owned(), places().into_bytes()));
    files.sort();

    let hash = format!("{:016x}", files.iter().flat_map(|(_, bytes)| bytes).fold(FNV_BASIS, fnv1a));
    let out = env::var("OUT_DIR").unwrap();
    let mut table = String::from("&[\n");
    for (name, mut bytes) in files {
        if name == PAGE {
            bytes = String::from_utf8(bytes).unwrap().replace(HASH, &hash).into_bytes();
        }
        let path = if name == PAGE { "/".to_owned() } else { format!("/assets/{hash}/{name}") };
        // Relative to the folder of this build, which may be moved together with the checkout.
        let packed = format!("/{name}.gz");
        fs::write(format!("{out}{packed}"), gzip(&bytes)).unwrap();
        writeln!(
            table,
            "Asset {{ path: {path:?}, content_type: {:?}, length: {}, gzip: include_bytes!(concat!(env!(\"OUT_DIR\"), {packed:?})) }},",
            content_type(&name),
            bytes.len()
        )
        .unwrap();
    }
    table.push(']');
    fs::write(Path::new(&out).join("assets.rs"), table).unwrap();
}

/// The names of large places as JSON, from the embedded places.
fn places() -> String {
    let (records, positions) = packed::unpack(&fs::read("data/places.bin").unwrap()).unwrap();
    let localities = (0..records.len()).filter_map(|index| match records.get(index) {
        packed::Place { name, kind: packed::PlaceKind::Locality { population, .. }, .. } => {
            let packed::Position { latitude_e5, longitude_e5 } = positions[index];
            Some(labels::Locality { name, population, latitude_e5, longitude_e5 })
        }
        _ => None,
    });
    labels::to_json(&labels::largest(localities.collect()))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some("bin") => "application/octet-stream",
        _ => panic!("src/map/page/{name}: expected .html, .mjs, .css or .svg"),
    }
}

/// Returns the bytes as one member of RFC 1952.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    // No time and no name, so that the same input gives the same bytes; 255 is an unknown system.
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
    member.extend(miniz_oxide::deflate::compress_to_vec(bytes, 9));
    member.extend(crc32(bytes).to_le_bytes());
    member.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
    member
}

/// The checksum of RFC 1952, section 8. The crate `crc32c` has another polynomial.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

/// FNV-1a. A hash that differs with the content is enough: nothing is proved by it.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv1a(hash: u64, byte: &u8) -> u64 {
    (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
}
