//! What somebody meant who made a slip of the pen.

/// The one of `known` that is nearest to `written`, if it is near enough to be meant.
pub(super) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = lower_case(written);
    let slips = |known: &str| distance(&written, &lower_case(known));
    let (slips, best) =
        known.into_iter().map(|known| (slips(known), known)).min_by_key(|(slips, _)| *slips)?;
    (slips * SLIP_IN_CHARS <= written.len().max(SLIP_IN_CHARS)).then_some(best)
}

/// `; did you mean …?` for the end of a message, or nothing.
pub(super) fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default()
}

fn lower_case(text: &str) -> Vec<char> {
    text.chars().take(MAX_COMPARED_CHARS).flat_map(char::to_lowercase).collect()
}

/// How many chars must be put in, left out or replaced (Levenshtein's distance).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// One slip in so many chars still lets the word be recognised. Two letters that changed places count as two.
const SLIP_IN_CHARS: usize = 2;

/// Longer than any command or server's name; the work grows with the square.
const MAX_COMPARED_CHARS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
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
    }

    #[test]
    fn distances() {
        let distance =
            |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
