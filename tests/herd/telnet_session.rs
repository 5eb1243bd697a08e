//! The first session of a new user: the herd of the repository with the local Places server, on free ports.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::ask::{UCLA, await_everywhere, iamat};
use crate::lab::{BRUINS, Lab, free_port, is_listening, until};
use crate::process::{Process, herd};

/// WHATSAT is answered by the local Places server, over TLS, from its embedded places. The herd trusts the
/// root certificate that the server writes. The answer has the format of Google's legacy Nearby Search, with
/// places near the client, and at most as many as requested.
#[test]
fn places_near_ucla_without_key_and_network() {
    let mut lab = Lab::new(BRUINS);
    let port = free_port();
    let mut command = herd();
    command.args(["places", "-l", &format!("127.0.0.1:{port}")]).current_dir(lab.folder.path(""));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let _local_places = Process::start(&mut command, &lab.folder.name());
    let root_file = format!("run/places-ca-{port}.pem");
    let root = lab.folder.path(&root_file);
    until("the local Places server is ready", || is_listening(port) && root.exists());
    assert!(fs::read_to_string(root).unwrap().contains("BEGIN CERTIFICATE"));

    lab.config["places"] =
        json!({ "api": "google-legacy", "url": format!("https://localhost:{port}"), "trust": root_file });
    lab.write();
    lab.start_all();
    let line = iamat(&lab, "Riley", "kiwi.cs.ucla.edu");
    await_everywhere(&lab, &["Bernard"], "kiwi.cs.ucla.edu", &line);

    let mut client = lab.connect("Bernard");
    client.send("WHATSAT kiwi.cs.ucla.edu 10 5\n");
    let (statement, json) = client.whats_at();
    assert_eq!(statement, line);
    assert_eq!(json["status"], "OK", "{json}");
    // The licence of the data requires attribution.
    assert!(json["html_attributions"][0].as_str().is_some_and(|text| text.contains("GeoNames")), "{json}");
    let results = json["results"].as_array().unwrap();
    assert_eq!(results.len(), 5, "{json}");
    let names: Vec<&str> = results.iter().map(|result| result["name"].as_str().unwrap()).collect();
    let expected =
        ["Santa Monica Municipal Airport", "Santa Monica", "Sawtelle", "Brentwood", "Beverly Hills"];
    assert_eq!(names, expected);
    for result in results {
        let metres = metres_from_ucla(&result["geometry"]["location"]);
        assert!(metres <= 10_000.0, "{metres} m: {result}");
        assert!(result["types"].as_array().is_some_and(|types| !types.is_empty()), "{result}");
        assert!(result["place_id"].is_string(), "{result}");
    }

    // The connection stays open.
    assert_eq!(client.ask("WHATSAT unknown 10 5"), "? WHATSAT unknown 10 5");
    client.send("WHATSAT kiwi.cs.ucla.edu 10 0\n");
    assert_eq!(client.whats_at().1["results"], json!([]));
}

/// The great-circle distance from UCLA, in metres, accurate to the flattening of the earth.
fn metres_from_ucla(location: &Value) -> f64 {
    assert_eq!(UCLA, "+34.068930-118.445127");
    let (latitude, longitude) = (34.068_930_f64.to_radians(), -118.445_127_f64.to_radians());
    let radians = |key: &str| location[key].as_f64().unwrap().to_radians();
    let (other_latitude, other_longitude) = (radians("lat"), radians("lng"));
    let half_chord = ((other_latitude - latitude) / 2.0).sin().powi(2)
        + latitude.cos() * other_latitude.cos() * ((other_longitude - longitude) / 2.0).sin().powi(2);
    2.0 * EARTH_RADIUS_M * half_chord.sqrt().asin()
}

/// The polar radius, so that the result is not above the distance on any usual sphere.
const EARTH_RADIUS_M: f64 = 6_356_752.0;
