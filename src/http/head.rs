//! The head of a message: where it ends, and what its fields say about the connection.

use httparse::Header;
use memchr::memchr_iter;

/// Length of the head at the front of `data` with its empty line, or `None` if it has not ended yet.
///
/// Lines end with LF, with or without CR before it (RFC 9112, section 2.2). `searched` is the
/// caller's memory of one head: 0 at first, then passed again with the same bytes and more behind
/// them.
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
    // The last two bytes may be the LF CR of an end whose LF is still to come.
    *searched = window.len().saturating_sub(2);
    Ok(None)
}

/// A head longer than [`MAX_HEAD`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeadTooLarge;

/// The members of all fields of that name, each of which may be a list (RFC 9110, section 5.6.1),
/// without white space around them.
pub(super) fn members<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .flat_map(|header| header.value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// Whether the connection may be used again after this message (RFC 9112, section 9.3). `version`
/// is the minor one: 1 for HTTP/1.1.
pub(super) fn keep_alive(version: u8, headers: &[Header<'_>]) -> bool {
    let says = |option: &[u8]| members(headers, "Connection").any(|word| word.eq_ignore_ascii_case(option));
    !says(b"close") && (version >= 1 || says(b"keep-alive"))
}

/// Most bytes of a head, its empty line included. Google's are about 1 KiB; servers commonly refuse
/// more than 8 KiB.
pub const MAX_HEAD: usize = 16 * 1024;

/// Most fields of a head: several times what is usual, and small enough to stand on the stack.
pub const MAX_HEADERS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line_wherever_it_is_split() {
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
    fn no_byte_is_searched_twice_but_the_last_two() {
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
            assert_eq!(keep_alive(version, headers), expected, "1.{version} {headers:?}");
        }
    }
}
