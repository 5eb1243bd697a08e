//! The framing of a body: Content-Length, chunked, or the end of the connection (RFC 9112, section 6).

use std::fmt;

use super::head::HeaderFields;

/// The way in which the end of a body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A length in bytes, from Content-Length; 0: no body. A number above `u64::MAX` is read as
    /// `u64::MAX`.
    Length(u64),
    /// The last chunk, as in Transfer-Encoding: chunked.
    Chunked,
    /// The end of the connection. Only a response can have this framing.
    UntilClose,
}

impl Framing {
    /// Reads Content-Length and Transfer-Encoding. `None`: neither field is there; then a request
    /// has no body, and the body of a response ends with the connection. `minor_version` is 1 for
    /// HTTP/1.1.
    pub(super) fn declared(
        minor_version: u8,
        fields: &HeaderFields<'_>,
    ) -> Result<Option<Framing>, FramingError> {
        let length = content_length(fields)?;
        if fields.get("Transfer-Encoding").is_none() {
            return Ok(length.map(Framing::Length));
        }
        // Empty members of a list are ignored (RFC 9110, section 5.6.1).
        let mut codings = fields.members("Transfer-Encoding").filter(|coding| !coding.is_empty());
        let is_chunked = codings.next().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
        if !is_chunked || codings.next().is_some() {
            Err(FramingError::UnknownCoding)
        } else if length.is_some() {
            Err(FramingError::LengthAndCoding)
        } else if minor_version == 0 {
            Err(FramingError::CodingInHttp10)
        } else {
            Ok(Some(Framing::Chunked))
        }
    }
}

/// Reads Content-Length. A list of equal numbers counts as one (RFC 9110, section 8.6).
fn content_length(fields: &HeaderFields<'_>) -> Result<Option<u64>, FramingError> {
    let mut found = None;
    for text in fields.members("Content-Length") {
        // `str::parse` would accept a plus sign.
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

/// Whether responses with this final status have no body, whatever their fields say (RFC 9112,
/// section 6.3).
pub(super) const fn has_no_body(status: u16) -> bool {
    matches!(status, 204 | 304)
}

/// The reason why the end of a body is not certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingError {
    /// A Content-Length that is not digits only.
    BadLength,
    /// Several Content-Lengths that differ.
    ConflictingLengths,
    /// A Transfer-Encoding other than `chunked` alone.
    UnknownCoding,
    /// Both fields, a sign of request smuggling (RFC 9112, section 6.3).
    LengthAndCoding,
    /// Transfer-Encoding in HTTP/1.0, which does not define it.
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

/// Takes at most `left` bytes from the front of `data`.
pub(super) fn take<'a>(data: &'a [u8], left: &mut u64) -> &'a [u8] {
    let length = usize::try_from(*left).map_or(data.len(), |left| data.len().min(left));
    *left -= length as u64;
    &data[..length]
}

#[cfg(test)]
mod tests {
    use super::*;
    use FramingError::*;
    use httparse::Header;

    type Fields = &'static [(&'static str, &'static str)];

    #[test]
    fn two_fields_decide_the_framing() {
        let table: [(Fields, Result<Option<Framing>, FramingError>); 27] = [
            (&[], Ok(None)),
            (&[("X-Content-Length", "5")], Ok(None)),
            (&[("content-LENGTH", "5")], Ok(Some(Framing::Length(5)))),
            (&[("Content-Length", " 005 ")], Ok(Some(Framing::Length(5)))),
            (&[("Content-Length", "5, 5"), ("Content-Length", "5")], Ok(Some(Framing::Length(5)))),
            (&[("Content-Length", "99999999999999999999999999")], Ok(Some(Framing::Length(u64::MAX)))),
            (&[("Content-Length", "")], Err(BadLength)),
            (&[("Content-Length", "+5")], Err(BadLength)),
            (&[("Content-Length", "-5")], Err(BadLength)),
            (&[("Content-Length", "5 5")], Err(BadLength)),
            (&[("Content-Length", "0x5")], Err(BadLength)),
            (&[("Content-Length", "5,")], Err(BadLength)),
            (&[("Content-Length", "5, 6")], Err(ConflictingLengths)),
            (&[("Content-Length", "5"), ("content-length", "6")], Err(ConflictingLengths)),
            (&[("TRANSFER-encoding", "Chunked")], Ok(Some(Framing::Chunked))),
            (&[("Transfer-Encoding", ", chunked,")], Ok(Some(Framing::Chunked))),
            (&[("Transfer-Encoding", ""), ("Transfer-Encoding", "chunked")], Ok(Some(Framing::Chunked))),
            (&[("Transfer-Encoding", "")], Err(UnknownCoding)),
            (&[("Transfer-Encoding", ","), ("Content-Length", "5")], Err(UnknownCoding)),
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
            assert_eq!(Framing::declared(1, &HeaderFields::new(&headers)), expected, "{fields:?}");
        }
    }

    #[test]
    fn http_1_0_has_lengths_only() {
        let chunked = [Header { name: "Transfer-Encoding", value: b"chunked" }];
        let length = [Header { name: "Content-Length", value: b"7" }];
        assert_eq!(Framing::declared(0, &HeaderFields::new(&chunked)), Err(CodingInHttp10));
        assert_eq!(Framing::declared(0, &HeaderFields::new(&length)), Ok(Some(Framing::Length(7))));
    }
}
