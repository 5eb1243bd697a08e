//! Writes responses.

/// Appends a whole response. `keep_alive` is what the request said, or `false` to end the connection
/// behind it, which the caller then does.
///
/// A response to HEAD must have no body behind its head (RFC 9112, section 6.3): the caller refuses
/// HEAD and closes, or passes an empty body.
pub fn write_response(
    output: &mut Vec<u8>,
    status: u16,
    reason: &str,
    content_type: &str,
    body: &[u8],
    keep_alive: bool,
) {
    debug_assert!(![reason, content_type].iter().any(|text| text.contains(['\r', '\n'])));
    // Said either way: HTTP/1.0 needs the one word, HTTP/1.1 the other.
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Connection: {connection}\r\n\r\n"
    );
    output.extend_from_slice(head.as_bytes());
    output.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::client::ResponseReader;

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
            let mut reader = ResponseReader::new();
            assert_eq!(reader.data_received(&output), Ok(output.len()));
            let response = reader.finish().unwrap();
            assert_eq!((response.status, response.keep_alive), (404, keep_alive));
            assert_eq!(response.body, b"no\n");
        }
    }
}
