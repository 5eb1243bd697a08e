//! Writes requests.

/// Appends a request. `target` is path and query, percent-encoded (RFC 9112, section 3.2.1). `host` is a name or an
/// address, followed by `:port` unless the port is the default of the scheme. `fields` are further header fields
/// without control characters. A body is written after any method but GET, with its length.
///
/// `Accept-Encoding: identity` asks for a response without compression (RFC 9110, section 12.5.3), which
/// needs no decompressor with limits of its own.
pub fn write_request(
    output: &mut Vec<u8>,
    method: &str,
    host: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: &[u8],
) {
    debug_assert!(target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic()));
    debug_assert!(!host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic()));
    debug_assert!(fields.iter().all(|(_, value)| value.bytes().all(|byte| byte >= b' ')));
    let length = body.len().to_string();
    let own = [
        ("Host", host),
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
        ("User-Agent", USER_AGENT),
    ];
    let length = (method != "GET").then_some(("Content-Length", length.as_str()));
    for part in [method, " ", target, " HTTP/1.1\r\n"] {
        output.extend_from_slice(part.as_bytes());
    }
    for (name, value) in own.iter().chain(fields).chain(&length) {
        for part in [name, ": ", value, "\r\n"] {
            output.extend_from_slice(part.as_bytes());
        }
    }
    output.extend_from_slice(b"\r\n");
    output.extend_from_slice(body);
}

const USER_AGENT: &str = concat!("herd/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::server::read_request_head;

    #[test]
    fn the_server_side_reads_a_written_request() {
        let mut output = b"before".to_vec();
        write_request(&mut output, "GET", "localhost:12331", "/maps?location=1,-2&key=a%20b", &[], b"");
        let written = String::from_utf8(output.split_off(6)).unwrap();
        assert_eq!(
            written,
            format!(
                "GET /maps?location=1,-2&key=a%20b HTTP/1.1\r\nHost: localhost:12331\r\n\
                 Accept: application/json\r\nAccept-Encoding: identity\r\nUser-Agent: herd/{}\r\n\r\n",
                env!("CARGO_PKG_VERSION")
            )
        );
        let (request, used) = read_request_head(written.as_bytes()).unwrap().unwrap();
        assert_eq!((request.method, used), ("GET", written.len()));
        assert_eq!(request.target, "/maps?location=1,-2&key=a%20b");
        assert!(request.keep_alive);
    }

    #[test]
    fn a_body_has_its_length_and_may_be_empty() {
        for (body, length) in [("{\"a\":1}", 7), ("", 0)] {
            let mut output = Vec::new();
            write_request(&mut output, "POST", "x", "/v1", &[("X-Key", "a b")], body.as_bytes());
            let written = String::from_utf8(output).unwrap();
            let (head, rest) = written.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("POST /v1 HTTP/1.1\r\nHost: x\r\n"), "{head}");
            assert!(head.ends_with(&format!("\r\nX-Key: a b\r\nContent-Length: {length}")), "{head}");
            assert_eq!(rest, body);
        }
    }
}
