//! Words for one-line error messages: quoted input, lists of known names, the nearest known name.

/// `text` in double quotes, cut to [`MAX_QUOTED_CHARS`] and escaped: one line without control characters.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", shortened(text))
}

/// `text` cut to [`MAX_QUOTED_CHARS`] and escaped.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => escaped(&text[..end]) + "…",
        None => escaped(text),
    }
}

/// `text` with control characters, double quotes and backslashes escaped as in Rust.
pub(crate) fn escaped(text: &str) -> String {
    let quoted = format!("{text:?}");
    quoted[1..quoted.len() - 1].to_owned()
}

/// The names, separated by commas; at most [`MAX_LISTED`], then `…`.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let mut listed = names.by_ref().take(MAX_LISTED).collect::<Vec<_>>().join(", ");
    if names.next().is_some() {
        listed.push_str(", …");
    }
    listed
}

/// `; did you mean X?` for the end of a message, or nothing if none of the `known` names is similar.
pub(crate) fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(written, known).map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default()
}

fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower_case = |text: &str| text.chars().take(MAX_COMPARED_CHARS).collect::<String>().to_lowercase();
    let written = lower_case(written);
    let distance = |known: &str| strsim::osa_distance(&written, &lower_case(known));
    let is_typo = |distance: usize, known: &str| {
        distance * CHARS_PER_TYPO < written.chars().count().max(known.chars().count())
    };
    let (distance, best) =
        known.into_iter().map(|known| (distance(known), known)).min_by_key(|(distance, _)| *distance)?;
    is_typo(distance, best).then_some(best)
}

/// An argument or a value may be a whole file by mistake; a message that repeats it explains nothing.
const MAX_QUOTED_CHARS: usize = 80;

/// More names would hide the one that is looked for.
const MAX_LISTED: usize = 16;

/// One insertion, deletion, replacement or transposition in so many characters is a typo; a word
/// with more of them is another word.
const CHARS_PER_TYPO: usize = 2;

/// Longer than any known name. The work grows with the square of the length.
const MAX_COMPARED_CHARS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_one_line_of_bounded_length() {
        assert_eq!(quoted("\r\n\u{1b}[2J \"Rïley's\""), "\"\\r\\n\\u{1b}[2J \\\"Rïley's\\\"\"");
        assert_eq!(shortened("x\ny"), "x\\ny");
        assert_eq!(shortened(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(quoted(&"é".repeat(81)), format!("\"{}…\"", "é".repeat(80)));
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(listed(["a", "b"]), "a, b");
        assert_eq!(listed(["x"; 16]), ["x"; 16].join(", "));
        assert_eq!(listed(["x"; 17]), ["x"; 16].join(", ") + ", …");
    }

    #[test]
    fn typos_are_recognized_and_other_words_are_not() {
        let commands = ["serve", "run-all", "places", "check", "send"];
        for (written, meant) in [
            ("server", Some("serve")),
            ("runall", Some("run-all")),
            ("run_all", Some("run-all")),
            ("SEND", Some("send")),
            ("chekc", Some("check")),
            ("chck", Some("check")),
            ("place", Some("places")),
            ("fly", None),
            ("", None),
            ("keys", None),
        ] {
            assert_eq!(nearest(written, commands), meant, "{written}");
        }
        assert_eq!(nearest("x", []), None);
        assert_eq!(did_you_mean("chekc", commands), "; did you mean check?");
        assert_eq!(did_you_mean("fly", commands), "");
    }
}
