//! Writes responses.

use std::io::Write;

use crate::http::framing::{Framing, has_no_body};

/// Appends a response with a whole body; see [`write_response_head`].
pub fn write_response(
    output: &mut Vec<u8>,
    status: u16,
    reason: &str,
    content_type: &str,
    body: &[u8],
    keep_alive: bool,
) {
    let framing = Framing::Length(body.len() as u64);
    write_response_head(output, status, reason, [("Content-Type", content_type)], framing, keep_alive);
    output.extend_from_slice(body);
}

/// Appends the head of a response, with `fields` and those of the framing and of the connection.
///
/// The caller appends the body: as many bytes as `framing` announces, or chunks
/// ([`write_chunk`](crate::http::write_chunk)), or bytes until it closes the connection. A response
/// with status 204 or 304 has no body. The response to HEAD has the head of the response to GET, and
/// no body (RFC 9110, section 9.3.2).
///
/// `keep_alive` is that of the request, or `false` to end the connection: then, and after a body that
/// is framed by it, the caller closes the connection.
pub fn write_response_head<'a>(
    output: &mut Vec<u8>,
    status: u16,
    reason: &str,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    framing: Framing,
    keep_alive: bool,
) {
    debug_assert!(!reason.contains(['\r', '\n']));
    // Writing into a vector does not fail.
    let _ = write!(output, "HTTP/1.1 {status} {reason}\r\n");
    for (name, value) in fields {
        debug_assert!(![name, value].iter().any(|text| text.contains(['\r', '\n'])));
        for part in [name, ": ", value, "\r\n"] {
            output.extend_from_slice(part.as_bytes());
        }
    }
    match framing {
        _ if has_no_body(status) => {}
        Framing::Length(length) => {
            let _ = write!(output, "Content-Length: {length}\r\n");
        }
        Framing::Chunked => output.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::UntilClose => {}
    }
    let persists = keep_alive && (framing != Framing::UntilClose || has_no_body(status));
    // Always sent: HTTP/1.0 needs `keep-alive`, HTTP/1.1 needs `close`.
    let connection: &[u8] =
        if persists { b"Connection: keep-alive\r\n\r\n" } else { b"Connection: close\r\n\r\n" };
    output.extend_from_slice(connection);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::client::ResponseCollector;
    use crate::http::{write_chunk, write_last_chunk};

    #[test]
    fn the_client_side_reads_a_written_response() {
        for (keep_alive, connection) in [(true, "keep-alive"), (false, "close")] {
            let mut output = Vec::new();
            write_response(&mut output, 404, "Not Found", "text/plain", b"no\n", keep_alive);
            let expected = format!(
                "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\
                 Connection: {connection}\r\n\r\nno\n"
            );
            assert_eq!(String::from_utf8_lossy(&output), expected);
            let mut reader = ResponseCollector::new(3);
            assert_eq!(reader.data_received(&output), Ok(output.len()));
            let response = reader.finish().unwrap();
            assert_eq!((response.status, response.keep_alive), (404, keep_alive));
            assert_eq!(response.body, b"no\n");
        }
    }

    #[test]
    fn a_body_streams_after_its_head() {
        for (framing, field, keep_alive) in [
            (Framing::Length(5), "Content-Length: 5\r\nConnection: keep-alive\r\n", true),
            (Framing::Chunked, "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n", true),
            (Framing::UntilClose, "Connection: close\r\n", false),
        ] {
            let mut output = Vec::new();
            write_response_head(&mut output, 200, "OK", [("A", "b"), ("C", "d")], framing, true);
            assert_eq!(
                String::from_utf8_lossy(&output),
                format!("HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n{field}\r\n")
            );
            for part in [b"ab", &b"cde"[..]] {
                match framing {
                    Framing::Chunked => write_chunk(&mut output, part),
                    _ => output.extend_from_slice(part),
                }
            }
            if framing == Framing::Chunked {
                write_last_chunk(&mut output);
            }
            let mut reader = ResponseCollector::new(5);
            assert_eq!(reader.data_received(&output), Ok(output.len()));
            reader.eof_received().unwrap();
            let response = reader.finish().unwrap();
            assert_eq!((response.body, response.keep_alive), (b"abcde".to_vec(), keep_alive));
        }
    }

    #[test]
    fn a_status_without_a_body_has_no_framing() {
        for status in [204, 304] {
            for framing in [Framing::Length(0), Framing::Chunked, Framing::UntilClose] {
                let mut output = Vec::new();
                write_response_head(&mut output, status, "", [], framing, true);
                let expected = format!("HTTP/1.1 {status} \r\nConnection: keep-alive\r\n\r\n");
                assert_eq!(String::from_utf8_lossy(&output), expected);
            }
        }
    }
}
