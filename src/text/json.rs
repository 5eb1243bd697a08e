//! JSON texts (RFC 8259) of bytes and of coordinates. It reads none.

use std::str::Utf8Chunk;

/// Appends a JSON string. Bytes that are not UTF-8 become U+FFFD.
pub fn write_string(text: &[u8], output: &mut Vec<u8>) {
    output.push(b'"');
    // Nearly all texts need no escapes. A look at each byte is faster than one that stops early, because the compiler
    // can look at many at a time.
    if text.iter().fold(true, |plain, &byte| plain & is_plain(byte)) {
        output.extend_from_slice(text);
    } else {
        text.utf8_chunks().for_each(|chunk| write_chunk(&chunk, output));
    }
    output.push(b'"');
}

fn write_chunk(chunk: &Utf8Chunk<'_>, output: &mut Vec<u8>) {
    for &byte in chunk.valid().as_bytes() {
        match byte {
            b'"' => output.extend_from_slice(b"\\\""),
            b'\\' => output.extend_from_slice(b"\\\\"),
            b'\n' => output.extend_from_slice(b"\\n"),
            0..0x20 | 0x7f => {
                output.extend_from_slice(b"\\u00");
                output.extend([byte >> 4, byte & 0xf].map(|digit| HEX_DIGITS[usize::from(digit)]));
            }
            _ => output.push(byte),
        }
    }
    if !chunk.invalid().is_empty() {
        output.extend_from_slice("\u{fffd}".as_bytes());
    }
}

/// Whether a byte stands for itself in a string, and is ASCII.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Appends a coordinate, `[+-]D+(.D+)?`, as a JSON number with the same digits: without the plus sign and without zeros
/// before the first digit.
pub fn write_coordinate(text: &[u8], output: &mut Vec<u8>) {
    let unsigned = match text {
        [b'-', rest @ ..] => {
            output.push(b'-');
            rest
        }
        [b'+', rest @ ..] => rest,
        rest => rest,
    };
    let whole = unsigned.iter().position(|&byte| byte == b'.').unwrap_or(unsigned.len());
    let zeros = unsigned[..whole].iter().take_while(|&&byte| byte == b'0').count();
    output.extend_from_slice(&unsigned[zeros.min(whole.saturating_sub(1))..]);
}

const HEX_DIGITS: [u8; 16] = *b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    fn string(text: &[u8]) -> String {
        let mut output = Vec::new();
        write_string(text, &mut output);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(string(b"kiwi"), r#""kiwi""#);
        assert_eq!(string(b"\"q\\\n\x00\x1b\x7f"), r#""\"q\\\n\u0000\u001b\u007f""#);
        assert_eq!(string("caf\u{e9}".as_bytes()), "\"caf\u{e9}\"");
        assert_eq!(string(b"a\xff\xfeb\xc3"), "\"a\u{fffd}\u{fffd}b\u{fffd}\"");
    }

    #[test]
    fn coordinates_keep_their_digits() {
        for (text, number) in [
            ("+01.50", "1.50"),
            ("-000.250", "-0.250"),
            ("-00.0", "-0.0"),
            ("+000.0", "0.0"),
            ("+5", "5"),
            ("+010", "10"),
            ("+0", "0"),
            ("+00", "0"),
            ("-90", "-90"),
            ("-180.000", "-180.000"),
            ("+09.123456789012345678901234567890", "9.123456789012345678901234567890"),
        ] {
            let mut output = Vec::new();
            write_coordinate(text.as_bytes(), &mut output);
            assert_eq!(String::from_utf8(output).unwrap(), number);
        }
    }

    proptest! {
        #[test]
        fn every_string_is_json_of_its_text(text: Vec<u8>) {
            let value: Value = serde_json::from_str(&string(&text)).unwrap();
            prop_assert_eq!(value, Value::from(String::from_utf8_lossy(&text).into_owned()));
        }

        #[test]
        fn every_coordinate_is_a_json_number(text in "[+-][0-9]{1,3}(\\.[0-9]{1,20})?") {
            let mut output = Vec::new();
            write_coordinate(text.as_bytes(), &mut output);
            let value: &RawValue = serde_json::from_slice(&output).unwrap();
            prop_assert_eq!(value.get().parse::<f64>().unwrap(), text.parse::<f64>().unwrap());
        }
    }
}
