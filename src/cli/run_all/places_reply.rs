//! The answer of Places in a log line, in few words.

/// `5 places: Santa Monica, Sawtelle, …`, or the status and the message of an answer without places. `json` is
/// escaped as in a log line, and can be cut.
pub(super) fn in_words(json: &str) -> String {
    let json = unescaped(json);
    let names = values(&json, "name");
    match (names.len(), values(&json, "status").last(), values(&json, "error_message").first()) {
        (0, Some(status), Some(message)) => format!("no places: {status}: {message}"),
        (0, Some(status), None) if status == "OK" => "no places".to_owned(),
        (0, Some(status), None) => format!("no places: {status}"),
        (0, None, _) => "places".to_owned(),
        (1, ..) => format!("1 place: {}", names[0]),
        (count, Some(_), _) => format!("{count} places: {}", names.join(", ")),
        // The log has the beginning of a long answer.
        (_, None, _) => format!("places: {}, …", names.join(", ")),
    }
}

/// The text values of a key, wherever it stands.
fn values(json: &str, key: &str) -> Vec<String> {
    let value = |rest: &str| {
        let rest = rest.trim_start().strip_prefix(':')?.trim_start();
        serde_json::Deserializer::from_str(rest).into_iter::<String>().next()?.ok()
    };
    let quoted = format!("\"{key}\"");
    json.match_indices(&quoted).filter_map(|(at, _)| value(&json[at + quoted.len()..])).collect()
}

/// Undoes `\xNN`. JSON itself has no such escape.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => bytes.push(byte),
            None => return text.to_owned(),
        }
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named() {
        let json =
            r#"{\x0a "results" : [ { "name" : "Caf\xc3\xa9 \"Q\"" }, { "name":"LAX" } ], "status" : "OK" }"#;
        assert_eq!(in_words(json), "2 places: Café \"Q\", LAX");
        assert_eq!(in_words(&json[..json.len() - 18]), "places: Café \"Q\", LAX, …");
        assert_eq!(in_words(r#"{ "results" : [], "status" : "OK" }"#), "no places");
        assert_eq!(in_words(r#"{ "results" : [], "status" : "ZERO_RESULTS" }"#), "no places: ZERO_RESULTS");
        let denied = r#"{ "results" : [], "status" : "REQUEST_DENIED", "error_message" : "no key" }"#;
        assert_eq!(in_words(denied), "no places: REQUEST_DENIED: no key");
        assert_eq!(in_words("... (100 bytes)"), "places");
        assert_eq!(in_words(r"\xZZ"), "places");
    }
}
