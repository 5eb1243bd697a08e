//! Writes requests.

/// Appends a GET request. `target` is path and query, percent-encoded (RFC 9112, section 3.2.1).
/// `host` is a name or an address, followed by `:port` unless the port is the default of the scheme.
///
/// `Accept-Encoding: identity` asks for a response without compression (RFC 9110, section 12.5.3), which
/// needs no decompressor with limits of its own.
pub fn write_get(output: &mut Vec<u8>, host: &str, target: &str) {
    debug_assert!(target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic()));
    debug_assert!(!host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic()));
    for part in [
        "GET ",
        target,
        " HTTP/1.1\r\nHost: ",
        host,
        "\r\nAccept: application/json\r\nAccept-Encoding: identity\r\nUser-Agent: ",
        USER_AGENT,
        "\r\n\r\n",
    ] {
        output.extend_from_slice(part.as_bytes());
    }
}

const USER_AGENT: &str = concat!("herd/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::server::read_request_head;

    #[test]
    fn the_server_side_reads_a_written_request() {
        let mut output = b"before".to_vec();
        write_get(&mut output, "localhost:12331", "/maps?location=1,-2&key=a%20b");
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
}
