//! The tokenizer of lines: fields separated by white space. It knows no command.
//!
//! White space is exactly six bytes (docs/protocol.md, "How to read it"). Every other byte, NUL and bytes
//! that are not UTF-8 included, is part of a field.

use super::simd::WhiteSpace;

/// Whether `byte` separates fields: space, `\t`, `\r`, `\n`, `\f` or `\v`.
pub const fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0c | 0x0b)
}

/// Whether `text` can be one field of a line: not empty, and without white space.
pub fn is_field(text: &[u8]) -> bool {
    !text.is_empty() && !text.iter().copied().any(is_white_space)
}

/// Returns `line` without its leading and trailing white space.
pub fn trim(line: &[u8]) -> &[u8] {
    let Some(first) = line.iter().position(|&b| !is_white_space(b)) else {
        return &[];
    };
    // Always found: `first` is not white space.
    let last = line.iter().rposition(|&b| !is_white_space(b)).unwrap_or(first);
    &line[first..=last]
}

/// The fields of a line, in order.
pub fn fields(line: &[u8]) -> Fields<'_> {
    Fields { line, start: 0, white_space: WhiteSpace::of(line) }
}

/// The fields of a line that has exactly `N` of them; `None` if it has more or fewer.
pub fn exactly<const N: usize>(line: &[u8]) -> Option<[&[u8]; N]> {
    let mut found = [&[][..]; N];
    let mut all = fields(line);
    for field in &mut found {
        *field = all.next()?;
    }
    all.next().is_none().then_some(found)
}

/// An iterator over the fields of a line; see [`fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    line: &'a [u8],
    /// The start of the next field, or of white space before it.
    start: usize,
    white_space: WhiteSpace<'a>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while self.start < self.line.len() {
            let end = self.white_space.next_position();
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
    fn exactly_rejects_more_and_fewer_fields() {
        assert_eq!(exactly::<2>(b" a  b "), Some([&b"a"[..], b"b"]));
        assert_eq!(exactly::<2>(b"a"), None);
        assert_eq!(exactly::<2>(b"a b c"), None);
    }

    #[test]
    fn trim_keeps_white_space_within_the_line() {
        assert_eq!(trim(b"\r a  b\x0b"), b"a  b");
        assert_eq!(trim(b" \n"), b"");
    }
}
