//! The head of a message (RFC 9112, section 2.1): its end and its fields.

use httparse::Header;
use memchr::memchr_iter;

/// The fields of a head, in the order in which they were received (RFC 9110, section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderFields<'a>(Vec<Header<'a>>);

impl<'a> HeaderFields<'a> {
    pub(super) fn new(headers: &[Header<'a>]) -> Self {
        HeaderFields(headers.to_vec())
    }

    /// Returns the value of the first field of that name, without white space around it. Names are
    /// compared without regard to case.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// Returns the values of all fields of that name.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.trim_ascii())
    }

    /// Returns the members of all fields of that name, each of which may be a comma-separated list
    /// (RFC 9110, section 5.6.1), without white space around them. A comma within a quoted string
    /// separates as well.
    pub fn members(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.values(name).flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
    }

    /// Whether the connection persists after this message (RFC 9112, section 9.3). `minor_version`
    /// is 1 for HTTP/1.1.
    pub fn keep_alive(&self, minor_version: u8) -> bool {
        let has =
            |option: &[u8]| self.members("Connection").any(|member| member.eq_ignore_ascii_case(option));
        !has(b"close") && (minor_version >= 1 || has(b"keep-alive"))
    }
}

/// Returns the length of the head at the front of `data`, its empty line included, or `None` while
/// the end has not arrived.
///
/// A line ends with LF, with or without CR before it (RFC 9112, section 2.2). `searched` spares a
/// second search of the same bytes: it starts at 0 for each head, and is passed again with the same
/// bytes and those that arrived after them.
///
/// # Errors
///
/// [`HeadTooLarge`] as soon as no end can lie within [`MAX_HEAD`] bytes.
pub(super) fn find_end(data: &[u8], searched: &mut usize) -> Result<Option<usize>, HeadTooLarge> {
    let window = &data[..data.len().min(MAX_HEAD)];
    for at in memchr_iter(b'\n', window.get(*searched..).unwrap_or_default()) {
        let next = *searched + at + 1;
        match &window[next..] {
            [b'\n', ..] => return Ok(Some(next + 1)),
            [b'\r', b'\n', ..] => return Ok(Some(next + 2)),
            _ => {}
        }
    }
    if window.len() == MAX_HEAD {
        return Err(HeadTooLarge);
    }
    // The last two bytes may be an LF CR that the next byte completes to an end.
    *searched = window.len().saturating_sub(2);
    Ok(None)
}

/// A head longer than [`MAX_HEAD`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeadTooLarge;

/// The maximum size of a head in bytes, its empty line included. Google's heads have about 1 KiB;
/// servers commonly refuse more than 8 KiB.
pub const MAX_HEAD: usize = 16 * 1024;

/// The maximum number of fields of a head: several times what is usual, and few enough to be parsed
/// on the stack.
pub const MAX_HEADERS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line_however_it_is_split() {
        for (data, end) in [
            (&b"A\r\nb: c\r\n\r\nrest"[..], Some(11)),
            (b"A\nb: c\n\nrest", Some(8)),
            (b"A\n\r\n\r\n", Some(4)),
            (b"A\r\n\n\n", Some(4)),
            (b"A\r\nb: c\r\n\r", None),
            (b"A\r\n\r\r\n", None),
            (b"", None),
        ] {
            assert_eq!(find_end(data, &mut 0), Ok(end), "{data:?}");
            let mut searched = 0;
            let found = (0..=data.len()).find_map(|n| find_end(&data[..n], &mut searched).unwrap());
            assert_eq!(found, end, "{data:?} byte by byte");
        }
    }

    #[test]
    fn only_the_last_two_bytes_are_searched_again() {
        let mut searched = 0;
        assert_eq!(find_end(b"A: b\r\nC", &mut searched), Ok(None));
        assert_eq!(searched, 5);
        assert_eq!(find_end(b"", &mut searched), Ok(None), "fewer bytes than before");
    }

    #[test]
    fn a_head_is_bounded() {
        let mut head = vec![b'a'; MAX_HEAD - 4];
        head.extend(b"\r\n\r\n");
        assert_eq!(find_end(&head, &mut 0), Ok(Some(MAX_HEAD)));
        head.insert(0, b'a');
        assert_eq!(find_end(&head, &mut 0), Err(HeadTooLarge));
        assert_eq!(find_end(&head[..MAX_HEAD], &mut 0), Err(HeadTooLarge));
        assert_eq!(find_end(&head[..MAX_HEAD - 1], &mut 0), Ok(None));
    }

    #[test]
    fn keep_alive_follows_version_and_connection() {
        let connection = |value: &'static str| Header { name: "coNNection", value: value.as_bytes() };
        for (version, headers, expected) in [
            (1, &[][..], true),
            (0, &[], false),
            (1, &[connection("Close")], false),
            (1, &[connection("foo , close")], false),
            (1, &[connection("closed")], true),
            (0, &[connection("Keep-Alive")], true),
            (0, &[connection("keep-alive"), connection("close")], false),
            (1, &[Header { name: "Proxy-Connection", value: b"close" }], true),
        ] {
            assert_eq!(HeaderFields::new(headers).keep_alive(version), expected, "1.{version} {headers:?}");
        }
    }

    #[test]
    fn fields_are_looked_up_by_name() {
        let field = |name: &'static str, value: &'static str| Header { name, value: value.as_bytes() };
        let fields = HeaderFields::new(&[field("A", " 1, 2 "), field("b", "3"), field("a", ",\t4")]);
        assert_eq!(fields.get("a"), Some(&b"1, 2"[..]));
        assert_eq!(fields.get("B"), Some(&b"3"[..]));
        assert_eq!(fields.get("c"), None);
        assert_eq!(fields.values("A").collect::<Vec<_>>(), [&b"1, 2"[..], b",\t4"]);
        assert_eq!(fields.members("A").collect::<Vec<_>>(), [&b"1"[..], b"2", b"", b"4"]);
    }
}
