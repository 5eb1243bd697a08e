//! The key in texts of a service: found and removed in every form in which a service may repeat it.

use memchr::memchr;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::json::unit;

/// Whether a JSON text repeats the key: as it is, percent-encoded as it was sent, or in JSON's escapes.
pub(super) fn is_repeated(text: &str, key: &str) -> bool {
    let is_in = |text: &str| text.contains(key) || text.contains(&sent(key));
    !key.is_empty() && (is_in(text) || unescaped(text).is_some_and(|text| is_in(&text)))
}

/// The text with `***` in place of the key.
pub(super) fn removed(text: &str, key: &str) -> String {
    if key.is_empty() {
        return text.to_owned();
    }
    let text = text.replace(key, "***").replace(&sent(key), "***");
    if is_repeated(&text, key) { "***".to_owned() } else { text }
}

fn sent(key: &str) -> String {
    utf8_percent_encode(key, RESERVED).to_string()
}

/// The text with each escape of a printable ASCII character replaced by the character; `None`: there is no escape.
fn unescaped(text: &str) -> Option<String> {
    let mut rest = text.as_bytes();
    memchr(b'\\', rest)?;
    let mut plain = Vec::with_capacity(rest.len());
    while let Some(at) = memchr(b'\\', rest) {
        plain.extend_from_slice(&rest[..at]);
        let escape = &rest[at..];
        let used = match (unit(escape), escape.get(1)) {
            (Some(unit @ 0x20..=0x7e), _) => {
                plain.push(unit as u8);
                6
            }
            (None, Some(&byte @ (b'"' | b'\\' | b'/'))) => {
                plain.push(byte);
                2
            }
            _ => {
                plain.push(b'\\');
                1
            }
        };
        rest = &escape[used..];
    }
    plain.extend_from_slice(rest);
    String::from_utf8(plain).ok()
}

/// The characters of a key that are sent as `%XX` in a URL: all but the unreserved ones (RFC 3986, section 2.3).
pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_in_every_form() {
        let key = "a k/\"\\=y";
        for text in [
            "{\"x\":\"a k/\\\"\\\\=y\"}",
            "\\u0061 k\\/\\u0022\\u005c\\u003Dy",
            "&key=a%20k%2F%22%5C%3Dy&",
            "a k/\"\\=y",
        ] {
            assert!(is_repeated(text, key), "{text}");
            assert!(!is_repeated(&removed(text, key), key), "{text}");
        }
        for text in ["", "\\", "\\u", "\\u00", "a k/", "\\\\u0061 k/\\\"", "é\\u00e9"] {
            assert!(!is_repeated(text, key), "{text}");
            assert_eq!(removed(text, key), text);
        }
        assert_eq!(removed("the key a k/\"\\=y is bad, a%20k%2F%22%5C%3Dy", key), "the key *** is bad, ***");
        assert_eq!(removed("no key", ""), "no key");
    }
}
