//! Unit tests of the dialects. The golden files are in `tests/`.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const KEY: &str = "AIza-_Key/9";

fn service(dialect: Dialect) -> Service {
    Service {
        dialect,
        url: "https://places.example/base".into(),
        host: "places.example".into(),
        base_path: "/base".into(),
        key_env: Some("PLACES_API_KEY".into()),
        key: Some(KEY.into()),
        is_local: false,
    }
}

fn answer(dialect: Dialect, status: u16, body: &str) -> String {
    let response = Response { status, body: body.into(), ..Response::default() };
    service(dialect).answer(response).text().to_owned()
}

/// `status` and `error_message` of the answer in place of one.
fn failure(dialect: Dialect, status: u16, body: &str) -> (String, String) {
    let text = answer(dialect, status, body);
    let value: Value = serde_json::from_str(&text).unwrap();
    let (status, message) = (value["status"].as_str().unwrap(), value["error_message"].as_str());
    let message = message.unwrap_or_else(|| panic!("{text}"));
    assert!(text.starts_with(r#"{"html_attributions":[],"results":[],"status":""#), "{text}");
    assert!(message.starts_with("Places at https://places.example/base: "), "{message}");
    (status.to_owned(), message.to_owned())
}

fn request(dialect: Dialect, latitude: &[u8], longitude: &[u8], radius_km: &[u8]) -> String {
    let request = service(dialect).request(&Question::new(latitude, longitude, radius_km));
    String::from_utf8(request.bytes().to_vec()).unwrap()
}

const FIELDS: &str = concat!(
    "Host: places.example\r\nAccept: application/json\r\nAccept-Encoding: identity\r\nUser-Agent: herd/",
    env!("CARGO_PKG_VERSION"),
    "\r\n"
);

#[test]
fn each_dialect_has_its_request() {
    let google_legacy = request(Dialect::GoogleLegacy, b"+34.068930", b"-118.445127", b"1.250");
    assert_eq!(
        google_legacy,
        format!(
            "GET /base/maps/api/place/nearbysearch/json?location=34.068930,-118.445127&radius=1250\
             &key=AIza-_Key%2F9 HTTP/1.1\r\n{FIELDS}\r\n"
        )
    );
    let photon = request(Dialect::Photon, b"+01.5", b"-002.25", b"050.0");
    assert_eq!(
        photon,
        format!("GET /base/reverse?lat=01.5&lon=-002.25&radius=50&limit=20 HTTP/1.1\r\n{FIELDS}\r\n")
    );
    let google = request(Dialect::Google, b"-00.50", b"+007", b"0.0005");
    let body = r#"{"maxResultCount":20,"locationRestriction":{"circle":{"center":{"latitude":-0.50,"longitude":7},"radius":0.5}}}"#;
    assert_eq!(
        google,
        format!(
            "POST /base/v1/places:searchNearby HTTP/1.1\r\n{FIELDS}Content-Type: application/json\r\n\
             X-Goog-FieldMask: places.id,places.displayName,places.location,places.viewport,places.types,\
             places.formattedAddress,places.shortFormattedAddress,places.businessStatus,places.plusCode,\
             places.iconMaskBaseUri,places.iconBackgroundColor,places.attributions\r\n\
             X-Goog-Api-Key: {KEY}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    );
}

#[test]
fn a_key_cannot_leave_its_place_in_a_url() {
    let key = Some("a b&c=d#%+~/".into());
    let service = Service { key, ..service(Dialect::GoogleLegacy) };
    let request = service.request(&Question::new(b"+1", b"+2", b"3"));
    let head = String::from_utf8(request.bytes().to_vec()).unwrap();
    assert!(head.contains("&key=a%20b%26c%3Dd%23%25%2B~%2F HTTP/1.1\r\n"), "{head}");
}

#[test]
fn debug_output_shows_no_key() {
    for dialect in Dialect::ALL {
        let request = service(dialect).request(&Question::new(b"+1", b"+2", b"3"));
        let shown = format!("{:?} {request:?}", service(dialect));
        assert!(!shown.contains("AIza") && shown.contains("places.example"), "{shown}");
    }
}

#[test]
fn without_a_key_and_with_a_radius_of_0_nothing_is_asked() {
    let refusal = |dialect, key: Option<&str>, key_env: Option<&str>, radius_km: &[u8]| {
        let (key, key_env) = (key.map(Into::into), key_env.map(str::to_owned));
        let refusal =
            Service { key, key_env, ..service(dialect) }.refusal(&Question::new(b"+1", b"+2", radius_km));
        refusal.map(|answer| serde_json::from_str::<Value>(answer.text()).unwrap())
    };
    for dialect in Dialect::ALL {
        let point = refusal(dialect, Some(KEY), None, b"0.0");
        let expected = (dialect != Dialect::GoogleLegacy).then_some("INVALID_REQUEST");
        assert_eq!(point.as_ref().map(|answer| answer["status"].as_str().unwrap()), expected);
        let keyless = refusal(dialect, None, Some("MY_KEY"), b"1");
        assert_eq!(keyless.is_some(), dialect != Dialect::Photon, "{dialect:?}");
        if let Some(answer) = keyless {
            assert_eq!(answer["status"], "REQUEST_DENIED");
            assert!(answer["error_message"].as_str().unwrap().contains("MY_KEY"));
        }
        assert_eq!(refusal(dialect, None, None, b"1"), None);
        assert_eq!(refusal(dialect, Some(KEY), Some("MY_KEY"), b"0.001"), None);
    }
    assert_eq!(refusal(Dialect::Google, None, Some("MY_KEY"), b"0").unwrap()["status"], "INVALID_REQUEST");
}

#[test]
fn the_golden_answers_have_the_legacy_form() {
    for (dialect, body, expected) in [
        (Dialect::Google, include_str!("tests/google.json"), include_str!("tests/google.expected.json")),
        (Dialect::Photon, include_str!("tests/photon.json"), include_str!("tests/photon.expected.json")),
        (
            Dialect::GoogleLegacy,
            include_str!("tests/google.expected.json"),
            include_str!("tests/google.expected.json"),
        ),
    ] {
        assert_eq!(answer(dialect, 200, body).trim_end(), expected.trim_end());
        assert_eq!(answer(dialect, 200, &format!("\u{feff}{body}")).trim_end(), expected.trim_end());
    }
}

/// The text of `results` in the answer to this list of places.
fn results(dialect: Dialect, list: &str) -> String {
    let name = if dialect == Dialect::Google { "places" } else { "features" };
    let text = answer(dialect, 200, &format!(r#"{{"{name}":{list}}}"#));
    let (_, results) = text.split_once(r#""results":["#).unwrap();
    results.rsplit_once("],").unwrap().0.to_owned()
}

#[test]
fn an_absent_member_of_google_stays_absent() {
    let place = |more: &str| {
        format!(r#"[{{"displayName":{{"text":"A"}},"location":{{"latitude":1.50,"longitude":-2}}{more}}}]"#)
    };
    let of = |more: &str| results(Dialect::Google, &place(more));
    let bare = r#"{"geometry":{"location":{"lat":1.50,"lng":-2}},"name":"A""#;
    for more in [
        "",
        r#","id":null,"viewport":null,"rating":"4.3","userRatingCount":null,"businessStatus":7"#,
        r#","plusCode":{},"currentOpeningHours":{},"formattedAddress":["x"],"attributions":null,"x":{"a":[1]}"#,
        r#","priceLevel":"PRICE_LEVEL_UNSPECIFIED","plusCode":{"globalCode":1},"types":{"a":1}"#,
        r#","viewport":{"high":{"latitude":1,"longitude":2},"low":{"latitude":1,"longitude":"2"}}"#,
        r#","currentOpeningHours":{"openNow":"true"},"regularOpeningHours":{"openNow":null}"#,
    ] {
        assert_eq!(of(more), format!("{bare}}}"), "{more}");
    }
    for (more, written) in [
        (r#","types":[]"#, r#","types":[]"#),
        (r#","types":["a",1,null,"b"]"#, r#","types":["a","b"]"#),
        (r#","plusCode":{"globalCode":"G"}"#, r#","plus_code":{"global_code":"G"}"#),
        (r#","priceLevel":"PRICE_LEVEL_FREE""#, r#","price_level":0"#),
        (r#","priceLevel":"PRICE_LEVEL_VERY_EXPENSIVE""#, r#","price_level":4"#),
        (r#","regularOpeningHours":{"openNow":false}"#, r#","opening_hours":{"open_now":false}"#),
        (
            r#","currentOpeningHours":{"openNow":true},"regularOpeningHours":{"openNow":false}"#,
            r#","opening_hours":{"open_now":true}"#,
        ),
        (r#","formattedAddress":"long""#, r#","vicinity":"long""#),
        (r#","formattedAddress":"long","shortFormattedAddress":"short""#, r#","vicinity":"short""#),
    ] {
        assert_eq!(of(more), format!("{bare}{written}}}"), "{more}");
    }
    let incomplete = r#"[{},1,{"displayName":{"text":"A"}},{"displayName":{"text":"A"},"location":{"latitude":1}},
        {"displayName":"A","location":{"latitude":1,"longitude":2}},{"location":{"latitude":1,"longitude":2}}]"#;
    assert_eq!(results(Dialect::Google, incomplete), "");
}

#[test]
fn numbers_stay_and_strings_are_written_anew() {
    let body = r#"[{"displayName":{"text":"Caf\u00e9 \"x\" \\ \/ \n\t\u001f\u2028 \ud83d\ude00 é€"},
        "location":{"latitude":34.0689200,"longitude":-1.184E2},"rating":4.50,"userRatingCount":1e3}]"#;
    assert_eq!(
        results(Dialect::Google, body),
        "{\"geometry\":{\"location\":{\"lat\":34.0689200,\"lng\":-1.184E2}},\"name\":\"Café \\\"x\\\" \\\\ / \
         \\n\\t\\u001f\u{2028} 😀 é€\",\"rating\":4.50,\"user_ratings_total\":1e3}"
    );
}

#[test]
fn attributions_are_written_once_in_html() {
    let one = r#"{"provider":"Smith & <Sons>","providerUri":"https://x.example/?a=1&b=\"2\""}"#;
    let place = |attributions: &str| {
        format!(
            r#"{{"displayName":{{"text":"A"}},"location":{{"latitude":1,"longitude":2}},"attributions":[{attributions}]}}"#
        )
    };
    let places =
        [place(&format!(r#"{one},{{"provider":"Plain"}}"#)), place(&format!("{one},{{}},7"))].join(",");
    let text = answer(Dialect::Google, 200, &format!(r#"{{"places":[{places}]}}"#));
    let expected = r#"{"html_attributions":["<a href=\"https://x.example/?a=1&amp;b=&quot;2&quot;\">Smith &amp; &lt;Sons&gt;</a>","Plain"],"results":[{"#;
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn an_absent_member_of_photon_stays_absent() {
    let feature = |properties: &str| {
        let geometry = r#""geometry":{"coordinates":[-118.25,34.5]}"#;
        results(Dialect::Photon, &format!(r#"[{{{geometry},"properties":{{"name":"A"{properties}}}}}]"#))
    };
    let with = |middle: &str, end: &str| {
        format!(
            r#"{{"geometry":{{"location":{{"lat":34.5,"lng":-118.25}}}},"name":"A"{middle},"types":["point_of_interest","establishment"]{end}}}"#
        )
    };
    for (properties, middle, end) in [
        ("", "", ""),
        (r#","osm_type":"N","osm_id":"7""#, "", ""),
        (r#","osm_type":"R","osm_id":7"#, r#","place_id":"osm:r7""#, ""),
        (r#","street":"S","city":"C""#, "", r#","vicinity":"S, C""#),
        (r#","street":"S","housenumber":"1-3a""#, "", r#","vicinity":"1-3a S""#),
        (r#","housenumber":"5","city":"C""#, "", r#","vicinity":"C""#),
        (r#","housenumber":"5","osm_value":null"#, "", ""),
        (r#","housenumber":5,"street":"S""#, "", r#","vicinity":"S""#),
        (r#","extent":[1,2,3,"4"]"#, "", ""),
    ] {
        assert_eq!(feature(properties), with(middle, end), "{properties}");
    }
}

#[test]
fn no_results_are_no_failure() {
    const OSM: &str = r#""Data © OpenStreetMap contributors, ODbL 1.0. https://osm.org/copyright""#;
    let nothing = r#"{"html_attributions":[],"results":[],"status":"ZERO_RESULTS"}"#;
    for body in ["{}", "{}\n", r#"{ "places" : [ ] }"#, r#"{"places":[{}]}"#] {
        assert_eq!(answer(Dialect::Google, 200, body), nothing, "{body}");
    }
    for (licence, shown) in [
        ("", OSM),
        (r#","licence":"mine""#, r#""mine""#),
        (r#","licence":7"#, OSM),
        // A user's own places.
        (r#","licence":"""#, ""),
    ] {
        let text = answer(Dialect::Photon, 200, &format!(r#"{{"features":[]{licence}}}"#));
        let expected = format!(r#"{{"html_attributions":[{shown}],"results":[],"status":"ZERO_RESULTS"}}"#);
        assert_eq!(text, expected);
    }
}

#[test]
fn an_answer_that_is_none_is_refused_with_a_reason() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_body = format!(r#"{{"places":{deep},"features":[{deep}],"x":{deep}}}"#);
    for dialect in [Dialect::Google, Dialect::Photon] {
        for body in [
            "",
            "<html></html>",
            "[]",
            "null",
            "7",
            r#"{"places":{},"features":{}}"#,
            r#"{"places":null}"#,
            r#"{"places":[],"features":[]"#,
            r#"{"places":[],"features":[]}x"#,
            r#"{"error":null}"#,
            r#"{"error":"x","places":[],"features":[]}"#,
            r#"{"x":"\ud800","places":[],"features":[]}"#,
            r#"{"places":"[]","features":"[]"}"#,
        ] {
            let (status, message) = failure(dialect, 200, body);
            assert_eq!(status, "UNKNOWN_ERROR", "{body}");
            assert!(message.contains("answer"), "{message}");
        }
        assert!(answer(dialect, 200, &deep_body).contains("ZERO_RESULTS"), "no stack overflow");
        let response = Response {
            status: 200,
            body: b"{\"places\":[],\"features\":[\"\xff\"]}".into(),
            ..Response::default()
        };
        assert!(service(dialect).answer(response).text().contains("not UTF-8"));
    }
    for status in [0, 201, 204, 302, 404, 500, 999] {
        for dialect in Dialect::ALL {
            let (refused, message) = failure(dialect, status, r#"{"results":[],"places":[],"features":[]}"#);
            assert_eq!(refused, "UNKNOWN_ERROR");
            assert!(message.contains(&format!("HTTP status {status}")), "{message}");
        }
    }
}

#[test]
fn failures_of_a_service_have_their_status() {
    let error = |code: u16, reason: &str| {
        format!(
            r#"{{"error":{{"code":{code},"message":"What {code} means.","details":[7,{{"@type":"x"}},{{"reason":"{reason}"}}]}}}}"#
        )
    };
    for (status, body, expected) in [
        (400, error(400, "FIELD_VIOLATION"), "INVALID_REQUEST"),
        (400, error(400, "API_KEY_INVALID"), "REQUEST_DENIED"),
        (401, error(401, ""), "REQUEST_DENIED"),
        (403, error(403, "SERVICE_DISABLED"), "REQUEST_DENIED"),
        (429, error(429, ""), "OVER_QUERY_LIMIT"),
        (404, error(404, ""), "UNKNOWN_ERROR"),
        (503, error(503, "API_KEY_INVALID"), "UNKNOWN_ERROR"),
        (200, error(400, "API_KEY_INVALID"), "REQUEST_DENIED"),
        (200, error(429, ""), "OVER_QUERY_LIMIT"),
        (200, error(200, ""), "UNKNOWN_ERROR"),
        (400, "<html>".into(), "INVALID_REQUEST"),
        (403, String::new(), "REQUEST_DENIED"),
        (429, "slow down".into(), "OVER_QUERY_LIMIT"),
        (502, "[]".into(), "UNKNOWN_ERROR"),
    ] {
        for dialect in [Dialect::Google, Dialect::Photon] {
            let (refused, message) = failure(dialect, status, &body);
            assert_eq!(refused, expected, "{status} {body}");
            assert!(message.contains(&format!("status {status}")), "{message}");
            assert_eq!(message.contains(" means."), body.starts_with("{\"error"), "{message}");
        }
        if status != 200 {
            assert_eq!(failure(Dialect::GoogleLegacy, status, &body).0, "UNKNOWN_ERROR");
        }
    }
    let bare = failure(Dialect::Google, 200, r#"{"error":{"message":"Bare."}}"#);
    assert!(bare.0 == "UNKNOWN_ERROR" && bare.1.contains("Bare."), "{}", bare.1);
    let photon = failure(Dialect::Photon, 400, r#"{"message":"missing search term"}"#);
    assert!(photon.0 == "INVALID_REQUEST" && photon.1.contains("missing search term"), "{}", photon.1);
}

#[test]
fn the_words_of_a_service_are_cut_at_a_character() {
    let body = format!(r#"{{"error":{{"code":500,"message":"{}"}}}}"#, "é".repeat(150));
    assert!(failure(Dialect::Google, 500, &body).1.ends_with(&format!(" {}", "é".repeat(100))));
    let body = format!(r#"{{"error":{{"code":500,"message":"x{}"}}}}"#, "é".repeat(150));
    assert!(failure(Dialect::Google, 500, &body).1.ends_with(&format!("x{}", "é".repeat(99))));
}

#[test]
fn the_key_is_in_no_answer() {
    for dialect in [Dialect::GoogleLegacy, Dialect::Google] {
        for (key, words) in [(KEY, "***"), ("AIza-_Key%2F9", "***"), (r"AIza-_Key\/9", "***")] {
            for status in [400, 403, 429, 503] {
                let body =
                    format!(r#"{{"error":{{"message":"The key {key} is bad. {}{key}"}}}}"#, "x".repeat(165));
                let (_, message) = failure(dialect, status, &body);
                assert!(message.contains(words) && !message.contains("Key"), "{message}");
            }
            let body = format!(r#"{{"results":[],"places":[],"x":["{key}"]}}"#);
            let (status, message) = failure(dialect, 200, &body);
            assert!(status == "UNKNOWN_ERROR" && message.contains("repeats the key"), "{message}");
        }
        let short = Service { key: Some("results".into()), ..service(dialect) };
        let body = br#"{"results":[],"places":[],"status":"OK"}"#.to_vec();
        let response = Response { status: 200, body, ..Response::default() };
        assert!(short.answer(response).succeeded(), "a word of seven letters is no key");
    }
}

/// JSON in which members of the answers of all dialects are likely.
fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "null",
        "true",
        "4.50",
        "-1E+9",
        "\"\"",
        "\"\\ud83d\\ude00 \\n\\\"\"",
        "\"é <&>\"",
        "[]",
        "{ }",
        "\"\\ud800\"",
        "\"PRICE_LEVEL_FREE\"",
        "400",
    ]);
    let name = prop::sample::select(vec![
        "places",
        "features",
        "results",
        "displayName",
        "text",
        "location",
        "latitude",
        "longitude",
        "geometry",
        "coordinates",
        "properties",
        "name",
        "types",
        "attributions",
        "provider",
        "providerUri",
        "error",
        "code",
        "message",
        "licence",
        "extent",
        "osm_type",
        "osm_id",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(6, 40, 6, move |inner| {
        let members = prop::collection::vec((name.clone(), inner.clone()), 1..6);
        let object = members.prop_map(|members| {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("\"{name}\" :\n{value}")).collect();
            format!("{{{}}}", members.join(" , "))
        });
        prop_oneof![
            object,
            prop::collection::vec(inner, 1..4).prop_map(|all| format!("[{}]", all.join(" ,\r\n")))
        ]
    })
}

/// A list of places, most of them complete, in both dialects.
fn any_places() -> impl Strategy<Value = String> {
    let place = (any_json(), any_json()).prop_map(|(one, other)| {
        format!(
            r#"{{"displayName":{{"text":"A"}},"location":{{"latitude":1,"longitude":2}},"x":{one},"types":{other},
            "geometry":{{"coordinates":[1,2]}},"properties":{{"name":"A","osm_value":{one},"extent":{other}}}}}"#
        )
    });
    prop::collection::vec(prop_oneof![place, any_json()], 0..4)
        .prop_map(|all| format!(r#"{{"places":[{0}],"features":[{0}]}}"#, all.join(",")))
}

/// Whether no white space is outside strings.
fn is_dense(json: &str) -> bool {
    let (mut in_string, mut is_escaped) = (false, false);
    json.chars().all(|character| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match character {
            '"' if !was_escaped => in_string = !in_string,
            '\\' if in_string && !was_escaped => is_escaped = true,
            _ => {}
        }
        in_string || !character.is_whitespace()
    })
}

proptest! {
    #[test]
    fn a_mapped_answer_is_one_dense_line_of_json(
        body in prop_oneof![any_json(), any_places(), "\\PC{0,30}"],
        status in prop::sample::select(vec![200, 200, 200, 400, 503]),
        bound in 0..5usize,
    ) {
        for dialect in [Dialect::Google, Dialect::Photon] {
            let response = Response { status, body: body.clone().into(), ..Response::default() };
            let answer = service(dialect).answer(response);
            prop_assert!(is_dense(answer.text()) && !answer.text().contains('\n'), "{}", answer.text());
            let value: Value = serde_json::from_str(answer.text()).unwrap();
            let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
            prop_assert!(keys.starts_with(&["html_attributions", "results", "status"]));
            prop_assert_eq!(keys.contains(&"error_message"), !answer.succeeded());
            let again = Answer::parse(answer.text().as_bytes().to_vec());
            prop_assert_eq!(again.as_ref(), Ok(&answer));
            let mut cut = Vec::new();
            answer.cut(bound, &mut cut);
            let cut: Value = serde_json::from_slice(&cut).unwrap();
            let results = value["results"].as_array().unwrap();
            prop_assert_eq!(cut["results"].as_array().unwrap(), &results[..bound.min(results.len())]);
            prop_assert_eq!(&cut["status"], &value["status"]);
        }
    }

    #[test]
    fn no_body_panics(status: u16, body: Vec<u8>) {
        for dialect in Dialect::ALL {
            let response = Response { status, body: body.clone(), ..Response::default() };
            let answer = service(dialect).answer(response);
            prop_assert!(serde_json::from_str::<Value>(answer.text()).is_ok() || dialect == Dialect::GoogleLegacy);
        }
    }
}
