//! The dialect of Google's Nearby Search (legacy), which the local Places server speaks, too. Its answers have
//! the shape that clients receive, so nothing is translated.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::answer::Answer;
use super::question::Question;

/// The path of a Nearby Search, below the base path of `places.url`.
pub const PATH: &str = "/maps/api/place/nearbysearch/json";

/// The request target of a question (RFC 9112, section 3.2.1). `base_path` is the path of
/// `places.url` without a trailing `/`. The result contains the key and must not be logged.
pub fn target(base_path: &str, question: &Question, key: Option<&str>) -> String {
    // The comma is not encoded: some of Google's servers reject `%2C`.
    let mut target = format!(
        "{base_path}{PATH}?location={},{}&radius={}",
        question.latitude(),
        question.longitude(),
        question.radius_m()
    );
    if let Some(key) = key {
        target.push_str("&key=");
        target.extend(utf8_percent_encode(key, RESERVED));
    }
    target
}

/// Whether an answer repeats the key, as it is or percent-encoded. Such an answer is withheld.
pub fn repeats_key(answer: &Answer, key: &str) -> bool {
    if key.len() < KEY_MIN {
        return false;
    }
    let sent = utf8_percent_encode(key, RESERVED).to_string();
    answer.text().contains(key) || answer.text().contains(&sent)
}

/// The shortest key in bytes that is looked for. A shorter text is no secret, and appears in answers by chance.
const KEY_MIN: usize = 8;

/// The characters of a key that are sent as `%XX`: all but the unreserved ones (RFC 3986, section
/// 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_the_documented_one() {
        let question = Question::new(b"+34.068930", b"-118.445127", b"1.25");
        assert_eq!(
            target("", &question, Some("AIza-_Key")),
            "/maps/api/place/nearbysearch/json?location=34.068930,-118.445127&radius=1250&key=AIza-_Key"
        );
        assert_eq!(
            target("/proxy", &question, None),
            "/proxy/maps/api/place/nearbysearch/json?location=34.068930,-118.445127&radius=1250"
        );
    }

    #[test]
    fn an_answer_that_repeats_the_key_is_known() {
        let repeats = |key, text: &str| {
            repeats_key(&Answer::parse(format!(r#"{{"results":[],"a":"{text}"}}"#).into()).unwrap(), key)
        };
        assert!(repeats("AIza-_Key", "the key AIza-_Key is not allowed"));
        assert!(repeats("AIza-_Key", "/json?location=1,2&key=AIza-_Key"));
        assert!(!repeats("AIza-_Key", "the key AIza is not allowed"));
        assert!(repeats("a key/of+mine", "a key/of+mine") && repeats("a key/of+mine", "a%20key%2Fof%2Bmine"));
        assert!(!repeats("results", ""), "a word of seven letters is no key");
    }

    #[test]
    fn a_key_cannot_leave_its_place() {
        let question = Question::new(b"+1", b"+2", b"3");
        let target = target("", &question, Some("a b&c=d#é%\r\n+~/"));
        assert!(target.ends_with("&key=a%20b%26c%3Dd%23%C3%A9%25%0D%0A%2B~%2F"), "{target}");
    }
}
