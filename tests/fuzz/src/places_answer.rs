//! The fuzz target `places_answer`: parsing and cutting of answers of Places.

use herd::http::client::Response;
use herd::places::answer::{Answer, Status};
use herd::places::dialect::{Dialect, Service};
use serde::de::IgnoredAny;
use serde_json::Value;

/// A body in the legacy form is either not usable, or the answer to a client is JSON that differs from the body only
/// by removed results and white space. In every dialect there is an answer. The first byte chooses status and bound,
/// the rest is the body.
pub fn places_answer(data: &[u8]) {
    let [options, body @ ..] = data else { return };
    let bound = usize::from(options % 21);
    mapped(*options, body);
    match Answer::parse(body.to_vec()) {
        Ok(answer) => cut(body, &answer, bound),
        Err(unusable) => {
            let message = unusable.to_string();
            assert!(!message.contains('\n') && message.len() < MESSAGE_MAX, "{message}");
            let is_simple = !body.contains(&b'\\')
                && str::from_utf8(body).is_ok_and(|text| text.matches("results").count() == 1);
            let has_results = |value: &Value| value.get("results").is_some_and(Value::is_array);
            let usable = is_simple && serde_json::from_slice(body).as_ref().is_ok_and(has_results);
            assert!(!usable, "{message}");
        }
    }
    let message = String::from_utf8_lossy(body);
    for answer in
        [Status::UnknownError, Status::RequestDenied].map(|status| Answer::failure(status, &message))
    {
        let mut text = Vec::new();
        answer.cut(bound, &mut text);
        let value: Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(value["error_message"].as_str(), Some(&*message));
        assert!(!text.contains(&b'\n'));
    }
}

/// The answer in the other dialects is one line of JSON that is parsed as it was written.
fn mapped(options: u8, body: &[u8]) {
    for dialect in [Dialect::Google, Dialect::Photon] {
        let service = Service {
            dialect,
            url: "https://x".into(),
            host: "x".into(),
            base_path: String::new(),
            key_env: None,
            key: Some("a long key".into()),
            is_local: false,
        };
        let status = if options == u8::MAX { 503 } else { 200 };
        let answer = service.answer(Response { status, body: body.to_vec(), ..Response::default() });
        assert!(!answer.text().contains('\n') && !answer.text().contains("a long key"));
        assert_eq!(Answer::parse(answer.text().as_bytes().to_vec()), Ok(answer));
    }
}

fn cut(body: &[u8], answer: &Answer, bound: usize) {
    let mut text = b"before".to_vec();
    answer.cut(bound, &mut text);
    let text = text.strip_prefix(b"before").expect("output is appended");
    assert!(serde_json::from_slice::<IgnoredAny>(text).is_ok(), "the output is JSON");
    let lines = text.split(|&byte| byte == b'\n');
    assert!(lines.into_iter().all(|line| !line.trim_ascii().is_empty()), "a blank line would end the reply");
    let mut rest = body.iter();
    assert!(text.iter().all(|byte| rest.any(|other| other == byte)), "bytes are only removed");

    let again = Answer::parse(text.to_vec()).expect("a cut answer is an answer");
    let mut twice = Vec::new();
    again.cut(usize::MAX, &mut twice);
    assert_eq!(twice, text, "a second cut changes nothing");
    if bound == 0 {
        let empty =
            text.windows(2).any(|two| two[0] == b'[' && (two[1] == b']' || two[1].is_ascii_whitespace()));
        assert!(empty, "no result is left");
    }

    // `Value` does not support deep nesting and lone surrogates.
    let (Ok(mut value), Ok(left)) =
        (serde_json::from_slice::<Value>(body), serde_json::from_slice::<Value>(text))
    else {
        return;
    };
    if let Some(results) = value["results"].as_array_mut() {
        results.truncate(bound);
    }
    assert_eq!(value, left);
}

/// The greatest length of a message, in bytes.
const MESSAGE_MAX: usize = 200;
