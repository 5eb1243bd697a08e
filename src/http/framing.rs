//! How the end of a body is marked: Content-Length, chunked, or neither (RFC 9112, section 6).

use std::fmt;

use httparse::Header;

use super::head::members;

/// What the fields of a head say about the body behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Neither field: a request has no body, a response's ends with the connection.
    Unsaid,
    /// Content-Length, in bytes; a number beyond `u64` is its greatest.
    Length(u64),
    /// Transfer-Encoding: chunked.
    Chunked,
}

impl Framing {
    /// Reads the two fields; `version` is the minor one: 1 for HTTP/1.1.
    pub(super) fn of(version: u8, headers: &[Header<'_>]) -> Result<Framing, FramingError> {
        let length = content_length(headers)?;
        let mut codings = members(headers, "Transfer-Encoding");
        let Some(coding) = codings.next() else {
            return Ok(length.map_or(Framing::Unsaid, Framing::Length));
        };
        if !coding.eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
            Err(FramingError::UnknownCoding)
        } else if length.is_some() {
            Err(FramingError::LengthAndCoding)
        } else if version == 0 {
            Err(FramingError::CodingInHttp10)
        } else {
            Ok(Framing::Chunked)
        }
    }
}

/// A list of equal numbers counts as one (RFC 9110, section 8.6).
fn content_length(headers: &[Header<'_>]) -> Result<Option<u64>, FramingError> {
    let mut found = None;
    for text in members(headers, "Content-Length") {
        // `str::parse` would take a plus sign.
        if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
            return Err(FramingError::BadLength);
        }
        let length =
            text.iter().fold(0u64, |n, digit| n.saturating_mul(10).saturating_add((digit - b'0').into()));
        if found.is_some_and(|other| other != length) {
            return Err(FramingError::ConflictingLengths);
        }
        found = Some(length);
    }
    Ok(found)
}

/// Why it is not certain where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingError {
    /// A Content-Length that is not digits only.
    BadLength,
    /// Several Content-Lengths that differ.
    ConflictingLengths,
    /// A Transfer-Encoding other than `chunked` alone.
    UnknownCoding,
    /// Both fields: the mark of request smuggling (RFC 9112, section 6.3).
    LengthAndCoding,
    /// Transfer-Encoding in HTTP/1.0, which does not know it.
    CodingInHttp10,
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FramingError::BadLength => "Content-Length is not a number",
            FramingError::ConflictingLengths => "there are several Content-Lengths that differ",
            FramingError::UnknownCoding => "its Transfer-Encoding is not chunked, the only one known here",
            FramingError::LengthAndCoding => "it has both Content-Length and Transfer-Encoding",
            FramingError::CodingInHttp10 => "it has a Transfer-Encoding but says HTTP/1.0",
        })
    }
}

impl std::error::Error for FramingError {}

#[cfg(test)]
mod tests {
    use super::*;
    use FramingError::*;

    type Fields = &'static [(&'static str, &'static str)];

    #[test]
    fn the_two_fields_decide() {
        let table: [(Fields, Result<Framing, FramingError>); 24] = [
            (&[], Ok(Framing::Unsaid)),
            (&[("X-Content-Length", "5")], Ok(Framing::Unsaid)),
            (&[("content-LENGTH", "5")], Ok(Framing::Length(5))),
            (&[("Content-Length", " 005 ")], Ok(Framing::Length(5))),
            (&[("Content-Length", "5, 5"), ("Content-Length", "5")], Ok(Framing::Length(5))),
            (&[("Content-Length", "99999999999999999999999999")], Ok(Framing::Length(u64::MAX))),
            (&[("Content-Length", "")], Err(BadLength)),
            (&[("Content-Length", "+5")], Err(BadLength)),
            (&[("Content-Length", "-5")], Err(BadLength)),
            (&[("Content-Length", "5 5")], Err(BadLength)),
            (&[("Content-Length", "0x5")], Err(BadLength)),
            (&[("Content-Length", "5,")], Err(BadLength)),
            (&[("Content-Length", "5, 6")], Err(ConflictingLengths)),
            (&[("Content-Length", "5"), ("content-length", "6")], Err(ConflictingLengths)),
            (&[("TRANSFER-encoding", "Chunked")], Ok(Framing::Chunked)),
            (&[("Transfer-Encoding", "")], Err(UnknownCoding)),
            (&[("Transfer-Encoding", "gzip")], Err(UnknownCoding)),
            (&[("Transfer-Encoding", "identity")], Err(UnknownCoding)),
            (&[("Transfer-Encoding", "gzip, chunked")], Err(UnknownCoding)),
            (&[("Transfer-Encoding", "chunked, chunked")], Err(UnknownCoding)),
            (&[("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "x")], Err(UnknownCoding)),
            (&[("Transfer-Encoding", "chunked;q=1")], Err(UnknownCoding)),
            (&[("Transfer-Encoding", "chunked"), ("Content-Length", "5")], Err(LengthAndCoding)),
            (&[("Content-Length", "0"), ("Transfer-Encoding", "chunked")], Err(LengthAndCoding)),
        ];
        for (fields, expected) in table {
            let headers: Vec<_> =
                fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
            assert_eq!(Framing::of(1, &headers), expected, "{fields:?}");
        }
    }

    #[test]
    fn http_1_0_knows_lengths_only() {
        let chunked = [Header { name: "Transfer-Encoding", value: b"chunked" }];
        let length = [Header { name: "Content-Length", value: b"7" }];
        assert_eq!(Framing::of(0, &chunked), Err(CodingInHttp10));
        assert_eq!(Framing::of(0, &length), Ok(Framing::Length(7)));
    }
}
