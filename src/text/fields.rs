//! White space and fields: how a line is cut into words.
//!
//! White space is exactly six bytes (docs/protocol.md, section 1). Everything else, bytes that are
//! not UTF-8 and NUL included, is an ordinary byte of a field.

use super::simd::{Positions, WhiteSpace};

/// Whether `byte` separates fields: space, `\t`, `\r`, `\n`, `\f` or `\v`.
pub const fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0c | 0x0b)
}

/// Whether `text` could be one field of a line: not empty, and without white space.
pub fn is_field(text: &[u8]) -> bool {
    !text.is_empty() && !text.iter().copied().any(is_white_space)
}

/// `line` without its leading and trailing white space.
pub fn trim(line: &[u8]) -> &[u8] {
    let Some(first) = line.iter().position(|&b| !is_white_space(b)) else {
        return &[];
    };
    // There is one at `first`, so there is a last one.
    let last = line.iter().rposition(|&b| !is_white_space(b)).unwrap_or(first);
    &line[first..=last]
}

/// The fields of a line, in order.
pub fn fields(line: &[u8]) -> Fields<'_> {
    Fields { line, start: 0, white_space: Positions::of(line) }
}

/// Exactly `N` fields, or `None` if the line has more or fewer.
pub fn exactly<const N: usize>(line: &[u8]) -> Option<[&[u8]; N]> {
    let mut found = [&[][..]; N];
    let mut all = fields(line);
    for field in &mut found {
        *field = all.next()?;
    }
    all.next().is_none().then_some(found)
}

/// Iterator over the fields of a line; see [`fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    line: &'a [u8],
    /// Where the next field begins, or white space before it.
    start: usize,
    white_space: Positions<'a, WhiteSpace>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while self.start < self.line.len() {
            let end = self.white_space.next_place();
            let field = &self.line[self.start..end];
            self.start = end + 1;
            if !field.is_empty() {
                return Some(field);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_exactly_six_bytes() {
        let found: Vec<u8> = (0..=255).filter(|&b| is_white_space(b)).collect();
        assert_eq!(found, [0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x20]);
    }

    #[test]
    fn fields_are_split_at_any_run_of_white_space() {
        let got: Vec<&[u8]> = fields(b" \t a\x0bb\x0c\rc\xa0\x1c\0 ").collect();
        assert_eq!(got, [&b"a"[..], b"b", b"c\xa0\x1c\0"]);
        assert_eq!(fields(b" \r\n").next(), None);
    }

    #[test]
    fn exactly_wants_neither_more_nor_fewer() {
        assert_eq!(exactly::<2>(b" a  b "), Some([&b"a"[..], b"b"]));
        assert_eq!(exactly::<2>(b"a"), None);
        assert_eq!(exactly::<2>(b"a b c"), None);
    }

    #[test]
    fn trim_takes_both_ends_only() {
        assert_eq!(trim(b"\r a  b\x0b"), b"a  b");
        assert_eq!(trim(b" \n"), b"");
    }
}
