//! Unit tests of answers.

use super::*;
use proptest::prelude::*;

fn cut(body: &str, bound: usize) -> String {
    let mut output = b"AT line\n".to_vec();
    Answer::parse(body.as_bytes().to_vec()).unwrap().cut(bound, &mut output);
    String::from_utf8(output.split_off(8)).unwrap()
}

#[test]
fn results_are_cut_and_everything_else_stays() {
    let body = "\n {\n\n\n \"results\" : [ {\"a\\n\\u00e9 ]}\":4.50}\n\n ,\n 1E+5 , [[\"]\"]]\r\n\n] ,\t\"z\":-0.0, \"a\":[2, 1]\r\n}\n \n";
    for (bound, expected) in [
        (0, "{\n \"results\" : [\r\n] ,\t\"z\":-0.0, \"a\":[2, 1]\r\n}"),
        (1, "{\n \"results\" : [ {\"a\\n\\u00e9 ]}\":4.50}\r\n] ,\t\"z\":-0.0, \"a\":[2, 1]\r\n}"),
        (2, "{\n \"results\" : [ {\"a\\n\\u00e9 ]}\":4.50}\n ,\n 1E+5\r\n] ,\t\"z\":-0.0, \"a\":[2, 1]\r\n}"),
        (
            3,
            "{\n \"results\" : [ {\"a\\n\\u00e9 ]}\":4.50}\n ,\n 1E+5 , [[\"]\"]]\r\n] ,\t\"z\":-0.0, \"a\":[2, 1]\r\n}",
        ),
    ] {
        assert_eq!(cut(body, bound), expected, "{bound}");
    }
    assert_eq!(cut(body, 4), cut(body, 3));
    assert_eq!(cut(body, usize::MAX), cut(body, 3));
}

#[test]
fn an_empty_array_of_results_stays_unchanged() {
    for bound in [0, 1, 20] {
        assert_eq!(cut("{\"results\":[]}", bound), "{\"results\":[]}");
        assert_eq!(cut("{\"results\":[ \n\n ]}", bound), "{\"results\":[ \n ]}");
    }
}

#[test]
fn only_results_of_the_object_itself_count() {
    assert_eq!(
        cut(r#"{"a":{"results":[1,2]},"re\u0073ults":[3,4],"b":[{"results":[5,6]}]}"#, 1),
        r#"{"a":{"results":[1,2]},"re\u0073ults":[3],"b":[{"results":[5,6]}]}"#
    );
}

#[test]
fn unusual_json_is_passed_on_unchanged() {
    for body in [
        r#"{"results":[1e999,-0,123456789012345678901234567890.50]}"#,
        r#"{"\ud800":1,"results":["\udc00"]}"#,
        r#"{"a":1,"a":2,"":3,"results":[]}"#,
        "{\"results\":[\"\u{2028}\u{feff}\u{7f}\"]}",
    ] {
        assert_eq!(cut(body, 20), body);
    }
}

#[test]
fn an_unusable_body_is_refused_with_a_reason() {
    let table: [(&[u8], &str); 24] = [
        (b"", "Places' answer is not JSON: EOF while parsing a value at line 1 column 0"),
        (b"OK", "Places' answer is not JSON: expected value at line 1 column 1"),
        (b"<html>secret</html>", "Places' answer is not JSON: expected value at line 1 column 1"),
        (b"{\"results\":[]", "Places' answer is not JSON: EOF while parsing an object at line 1 column 13"),
        (b"{\"results\":[]}x", "Places' answer is not JSON: trailing characters at line 1 column 15"),
        (b"{\"results\":[]}{}", "Places' answer is not JSON: trailing characters at line 1 column 15"),
        (b"{\"results\":[1,]}", "Places' answer is not JSON: "),
        (b"{\"results\":[01]}", "Places' answer is not JSON: "),
        (b"{\"results\":[NaN]}", "Places' answer is not JSON: "),
        (b"{\"results\":[\"\n\"]}", "Places' answer is not JSON: "),
        (b"{\"results\":[\"\\x\"]}", "Places' answer is not JSON: "),
        (b"{'results':[]}", "Places' answer is not JSON: "),
        (b"{1:2,\"results\":[]}", "Places' answer is not JSON: "),
        (
            b"{\xef\xbb\xbf\"results\":[]}",
            "Places' answer is not JSON: key must be a string at line 1 column 2",
        ),
        (b"{\"results\":[\"\xff\"]}", "Places' answer is not JSON: it is not UTF-8"),
        (b"\x1f\x8b\x08\0", "Places' answer is not JSON: it is not UTF-8"),
        (b"[{\"results\":[]}]", "Places' answer is not a JSON object"),
        (b"\"secret\"", "Places' answer is not a JSON object"),
        (b"12", "Places' answer is not a JSON object"),
        (b"{}", "Places' answer has no array \"results\""),
        (b"{\"Results\":[]}", "Places' answer has no array \"results\""),
        (b"{\"results\":{\"secret\":1}}", "Places' answer has no array \"results\""),
        (b"{\"results\":\"secret\"}", "Places' answer has no array \"results\""),
        (b"{\"results\":[],\"\\u0072esults\":[]}", "Places' answer has more than one \"results\""),
    ];
    for (body, expected) in table {
        let why = Answer::parse(body.to_vec()).unwrap_err().to_string();
        assert!(why.starts_with(expected), "{}: {why}", body.escape_ascii());
        assert!(!why.contains("secret"), "{why}");
    }
}

#[test]
fn only_an_answer_of_ok_or_zero_results_has_succeeded() {
    for (members, succeeded) in [
        (r#""status":"OK""#, true),
        (r#""status":"ZERO_RESULTS""#, true),
        (r#""st\u0061tus":"O\u004b""#, true),
        (r#""status":"OVER_QUERY_LIMIT""#, false),
        (r#""status":"ok""#, false),
        (r#""status":["OK"]"#, false),
        (r#""a":{"status":"OK"}"#, false),
    ] {
        let body = format!("{{\"results\":[],{members}}}");
        assert_eq!(Answer::parse(body.into()).unwrap().succeeded(), succeeded, "{members}");
    }
    assert!(Answer::of_results(&[], &[]).succeeded() && !Answer::unknown_error("x").succeeded());
}

#[test]
fn an_answer_is_made_of_its_results() {
    let results = ["{\"a\":1}".to_owned(), "{}".to_owned()];
    for count in 0..=2 {
        let answer = Answer::of_results(&["x\"".to_owned(), "y".to_owned()], &results[..count]);
        let again = Answer::parse(answer.text().as_bytes().to_vec());
        assert_eq!(again.as_ref(), Ok(&answer), "{count}");
        let mut cut = Vec::new();
        answer.cut(1, &mut cut);
        let (kept, status) = if count == 0 { ("", "ZERO_RESULTS") } else { ("{\"a\":1}", "OK") };
        assert_eq!(
            String::from_utf8(cut).unwrap(),
            format!(r#"{{"html_attributions":["x\"","y"],"results":[{kept}],"status":"{status}"}}"#)
        );
    }
}

#[test]
fn answers_of_the_herd_have_the_documented_form() {
    for (answer, expected) in [
        (
            Answer::unknown_error("no \"way\"\n\\ \u{1}é"),
            r#"{"html_attributions":[],"results":[],"status":"UNKNOWN_ERROR","error_message":"no \"way\"\n\\ \u0001é"}"#,
        ),
        (
            Answer::failure(Status::RequestDenied, "set PLACES_API_KEY"),
            r#"{"html_attributions":[],"results":[],"status":"REQUEST_DENIED","error_message":"set PLACES_API_KEY"}"#,
        ),
    ] {
        for bound in [0, 5] {
            let mut output = Vec::new();
            answer.cut(bound, &mut output);
            assert_eq!(String::from_utf8_lossy(&output), expected);
        }
        assert_eq!(Answer::parse(expected.as_bytes().to_vec()), Ok(answer));
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    for nested in [deep("[", "]"), format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000))] {
        let body = format!("{{\"b\":{nested},\"results\":[{nested},2]}}");
        assert_eq!(cut(&body, 1), body.replace(",2]}", "]}"));
    }
    for unfinished in ["[", "{\"a\":", "{\"results\":[", "{\"results\":"] {
        assert!(Answer::parse(unfinished.repeat(100_000).into_bytes()).is_err());
    }
}

/// JSON that cannot be cut by counting brackets.
fn any_element() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "null",
        "4.50",
        "-1E+9",
        "\"\"",
        "\"] } , [ {\"",
        "\"\\\"\\\\\"",
        "\"\\u005d\\n\"",
        "\"é\"",
        "[]",
        "{ }",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
        (prop::collection::vec(inner, 1..4), "[ \n]{0,3}", any::<bool>()).prop_map(|(parts, space, array)| {
            if array {
                format!("[{space}{}{space}]", parts.join(&format!("{space},")))
            } else {
                format!("{{\"results\":{space}{}}}", parts.join(&format!(",{space}\"k\" :")))
            }
        })
    })
}

proptest! {
    #[test]
    fn the_cut_agrees_with_a_model(
        results in prop::collection::vec(("[ \t\r\n]{0,3}", any_element(), "[ \t\r\n]{0,3}"), 0..6),
        around in prop::collection::vec("[ \t\r\n]{0,4}", 6),
        before in any_element(),
        bound in 0..8usize,
    ) {
        let [outside, open, colon, empty, close, end] = &around[..] else { unreachable!() };
        let front = format!("{{{open}\"x\":{before},\"results\"{colon}:[");
        let back = format!("],\"status\":\"OK\"{close}}}");
        let all: Vec<_> = results.iter().map(|(a, element, b)| format!("{a}{element}{b}")).collect();
        let inside = if all.is_empty() { empty.clone() } else { all.join(",") };
        let body = format!("{outside}{front}{inside}{back}{end}");

        let tail = results.last().map_or(empty, |(_, _, space)| space);
        let kept = all[..bound.min(all.len())].join(",");
        // White space after the last result kept is removed; that after the last result of all stays.
        let kept = kept.trim_end_matches([' ', '\t', '\r', '\n']);
        let expected = format!("{front}{kept}{tail}{back}");
        let lines: Vec<&str> = expected.split('\n').filter(|line| !line.trim().is_empty()).collect();
        let expected = lines.join("\n");
        prop_assert_eq!(&cut(&body, bound), &expected);

        let mut value: Value = serde_json::from_str(&body).unwrap();
        value["results"].as_array_mut().unwrap().truncate(bound);
        prop_assert_eq!(serde_json::from_str::<Value>(&expected).unwrap(), value);
    }

    #[test]
    fn no_body_panics(body: Vec<u8>, text in "[{}\\[\\],:\"\\\\ruesltn0-9. ]{0,40}", bound: usize) {
        for body in [body, format!("{{\"results\":[{text}]}}").into_bytes(), text.into_bytes()] {
            if let Ok(answer) = Answer::parse(body) {
                answer.cut(bound, &mut Vec::new());
            }
        }
    }
}

#[test]
fn no_line_looks_blank() {
    for (body, cut) in [
        ("{\r\n \"results\":[1],\r\n\r\n \"a\":2\r\n}\r\n", "{\r\n \"results\":[1],\r\n \"a\":2\r\n}"),
        ("{\n \t\r\n\n\"results\":[ 1 ] }", "{\n\"results\":[ 1 ] }"),
        ("{ \n  \"results\":[1 \n \n ]}", "{ \n  \"results\":[1 \n ]}"),
        ("\u{feff}{\"results\":[]}", "{\"results\":[]}"),
        (" \r\n\u{feff}\n {\"results\":[]} \n", "{\"results\":[]}"),
        ("{\"a\":\"\u{feff}\",\"results\":[]}", "{\"a\":\"\u{feff}\",\"results\":[]}"),
    ] {
        let mut output = Vec::new();
        Answer::parse(body.into()).unwrap().cut(20, &mut output);
        assert_eq!(String::from_utf8(output).unwrap(), cut);
    }
    assert!(Answer::parse("\u{feff}\u{feff}{\"results\":[]}".into()).is_err());
}
