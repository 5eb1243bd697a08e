//! Tests of invalid input from clients (docs/faults.md, rows 12, 17, 19, 21).

use std::time::Duration;

use serde_json::json;

use crate::ask::{UCLA, iamat, stored_line};
use crate::lab::{Lab, SOLO};
use crate::process::Signal;

/// A client cannot report a location with an AT line, neither as a client nor after an incomplete or refused
/// HELLO.
#[test]
fn row_12_forged_at_line_from_a_client() {
    let lab = Lab::running(SOLO);
    let forged = format!("AT Solo +0.000000000 kiwi {UCLA} 1621464827");
    let mut client = lab.connect("Solo");
    assert_eq!(client.ask(&forged), format!("? {forged}"));
    // A HELLO counts only as the first line.
    let late = "HELLO herd/1 laboratory Solo 0123456789abcdef";
    assert_eq!(client.ask(late), format!("? {late}"));
    assert_eq!(client.ask(&forged), format!("? {forged}"));
    let half_handshakes = [
        format!("HELLO herd/1 laboratory\n{forged}\nMARK 1\n"),
        format!("HELLO herd/1 laboratory Stranger 0123456789abcdef\n{forged}\nMARK 1\n"),
        format!("HELLO herd/1 laboratory Solo 0123456789abcdef\n{forged}\nMARK 1\n"),
    ];
    for half_handshake in half_handshakes {
        let replies = lab.connect("Solo").send(&half_handshake).everything();
        assert!(replies.starts_with("REFUSED ") && replies.lines().count() == 1, "{replies}");
    }
    let half = lab.connect("Solo").send(&format!("HELLO herd/1 {forged}")).half_close().everything();
    assert!(!half.starts_with("WELCOME"), "{half}");
    assert_eq!(stored_line(&lab, "Solo", "kiwi"), None);
}

/// An IAMAT with a malformed time, or one too far ahead of the server's clock, is invalid and not stored.
#[test]
fn row_17_invalid_times() {
    let lab = Lab::running(SOLO);
    let mut client = lab.connect("Solo");
    let long = "9".repeat(5000);
    let wrong = [
        "-1",
        "+1",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "1_000",
        "1e9",
        "0x10",
        "",
        ".",
        "1.",
        ".5",
        "1,5",
        "1.1234567891",
        "9999999999999999999",
        "999999999999999999",
        "99999999999",
        "1.5.5",
        "1-5",
        &long,
    ];
    for time in wrong {
        let command = format!("IAMAT kiwi {UCLA} {time}");
        assert_eq!(client.ask(&command), format!("? {}", command.trim_end()), "{time:?}");
    }
    assert_eq!(stored_line(&lab, "Solo", "kiwi"), None);
    for time in ["0", "0.000000000", "000000000000000001", "0.1"] {
        let line = client.ask(&format!("IAMAT kiwi-{time} {UCLA} {time}"));
        assert!(line.starts_with("AT Solo +") && line.ends_with(&format!(" {time}")), "{line}");
    }
    // A time of two million digits makes the line too long.
    let mut endless = lab.connect("Solo");
    endless.send(&format!("IAMAT kiwi {UCLA} "));
    for _ in 0..32 {
        endless.send(&"9".repeat(64 * 1024));
    }
    assert_eq!(endless.line(), format!("? {}", &format!("IAMAT kiwi {UCLA} {}", "9".repeat(8192))[..8192]));
    assert_eq!(endless.ask("\nGOES ON"), "? GOES ON");
}

/// Of an oversized line the first `limits.max_line` bytes are echoed, and the rest takes no memory. After the
/// end of the line the connection goes on.
#[test]
fn row_19_oversized_line() {
    let mut lab = Lab::running(SOLO);
    let mut client = lab.connect("Solo");
    client.ask("PING");
    let memory = lab.process("Solo").status_number("VmRSS");
    let piece = vec![b'x'; 1024 * 1024];
    for _ in 0..OVERSIZED_MIB {
        client.send_bytes(&piece);
    }
    // The reply proves that all of it was read.
    assert_eq!(client.send("\n").line(), format!("? {}", "x".repeat(8192)));
    assert_eq!(client.ask("PING"), "? PING");
    let grown = lab.process("Solo").status_number("VmRSS").saturating_sub(memory);
    assert!(grown < OVERSIZED_KIB_MAX, "{grown} KiB more");
}

/// An oversized line that does not end in time closes the connection.
#[test]
fn row_19_oversized_line_that_never_ends() {
    let mut lab = Lab::new(SOLO);
    lab.config["limits"] = json!({ "line_timeout_s": 1 });
    lab.write();
    lab.start_all();
    let mut client = lab.connect("Solo");
    client.send(&"x".repeat(10_000));
    assert_eq!(client.everything(), format!("? {}\n", "x".repeat(8192)));
}

/// Lines of arbitrary bytes are echoed unchanged, except for white space around them. In the log they are
/// escaped.
#[test]
fn row_21_arbitrary_bytes() {
    let lab = Lab::running(SOLO);
    let exchanges: [(&[u8], &[u8]); 12] = [
        (b"\0", b"\0"),
        (b"\xfe\xff\xfd", b"\xfe\xff\xfd"),
        (b"A\rB", b"A\rB"),
        (b"A\r", b"A"),
        (b"\x0b\x0c\t \rA\x0b\x0c\t ", b"A"),
        (b"\xc2\xa0A\xc2\xa0", b"\xc2\xa0A\xc2\xa0"),
        (b"\x1c\x1d\x1e\x1f\x85", b"\x1c\x1d\x1e\x1f\x85"),
        (b"\x1b[2J\x1b]0;title\x07", b"\x1b[2J\x1b]0;title\x07"),
        (b"\xe2\x80\xa8AT Solo \xf0\x9f", b"\xe2\x80\xa8AT Solo \xf0\x9f"),
        (b"IAMAT\0kiwi +1+1 5", b"IAMAT\0kiwi +1+1 5"),
        (b"IAMAT kiwi +1+1 5\0", b"IAMAT kiwi +1+1 5\0"),
        (b"%s%n{}{0}$(id)`id`;--", b"%s%n{}{0}$(id)`id`;--"),
    ];
    let (mut sent, mut expected) = (Vec::new(), Vec::new());
    for (line, echo) in exchanges {
        sent.extend_from_slice(&[line, b"\n", b"\r\n", b" \t\x0b\x0c\n"].concat());
        expected.extend_from_slice(&[b"? ", echo, b"\n"].concat());
    }
    let every = |sent: &[u8]| lab.connect("Solo").send_bytes(sent).half_close().every_byte();
    assert_eq!(every(&sent).escape_ascii().to_string(), expected.escape_ascii().to_string());
    // CR does not end a line; the end of input does.
    assert_eq!(every(b"FOO\rBAR\r"), b"? FOO\rBAR\n");
    lab.await_log("Solo", r"received '\x1b[2J\x1b]0;title\x07' from ");
    assert!(lab.log("Solo").bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
}

/// Urgent data, as telnet sends it with an interrupt, is left out. The lines before and after it are executed
/// at once, even if all of it arrives together.
#[test]
fn row_21_urgent_data() {
    let mut lab = Lab::running(SOLO);
    let mut client = lab.connect("Solo");
    assert_eq!(client.ask("PING"), "? PING");
    lab.signal("Solo", Signal::STOP);
    client.send("BEFORE\n").send_urgent(b'!').send("AFTER\n");
    lab.signal("Solo", Signal::CONT);
    assert_eq!((client.line(), client.line()), ("? BEFORE".to_owned(), "? AFTER".to_owned()));
}

/// A TLS ClientHello is an invalid line, which ends at the latest with the half-close.
#[test]
fn row_21_tls_on_the_line_port() {
    let lab = Lab::running(SOLO);
    let hello = b"\x16\x03\x01\x00\x2e\x01\x00\x00\x2a\x03\x03\0\x01\x02\x03\x04\x05\x06\x07\x0eabcdefghijklmnopqrstuvw\0\0\x02\x13\x01\x01\0";
    let echo = lab.connect("Solo").send_bytes(hello).half_close().every_byte();
    assert_eq!(
        echo.escape_ascii().to_string(),
        [b"? ", &hello[..], b"\n"].concat().escape_ascii().to_string()
    );
}

/// An HTTP request gets one reply, and nothing after it is executed.
#[test]
fn row_21_http_on_the_line_port() {
    let lab = Lab::running(SOLO);
    for request in [
        format!("POST / HTTP/1.1\r\nHost: x\r\n\r\nIAMAT evil {UCLA} 5\n"),
        format!("GET /x HTTP/1.0\r\n\r\nIAMAT evil {UCLA} 5\n"),
        format!("OPTIONS {} HTTP/1.1\r\n\r\nIAMAT evil {UCLA} 5\n", "x".repeat(20_000)),
    ] {
        let replies = lab.connect("Solo").send(&request).everything();
        let line = request.lines().next().unwrap();
        assert_eq!(replies, format!("? {}\n", &line[..line.len().min(8192)]));
    }
    assert_eq!(stored_line(&lab, "Solo", "evil"), None);
    iamat(&lab, "Solo", "kiwi");
}

/// No first byte of a connection, and no prefix of valid lines, ends the server.
#[test]
fn row_21_every_first_byte_and_prefix() {
    let mut lab = Lab::running(SOLO);
    for byte in 0..=255u8 {
        let echo = lab.connect("Solo").send_bytes(&[byte]).half_close().every_byte();
        // 0xFF begins a telnet command.
        let is_no_line = matches!(byte, 9..=13 | 32 | 0xff);
        let expected = if is_no_line { Vec::new() } else { vec![b'?', b' ', byte, b'\n'] };
        assert_eq!(echo, expected, "{byte:#x}");
    }
    let whole = "HELLO herd/1 laboratory Solo 0123456789abcdef extra\nIAMAT a +1-1 5\nWHATSAT a 1 1\n";
    for end in 0..whole.len() {
        lab.connect("Solo").send(&whole[..end]).half_close().every_byte();
    }
    assert_eq!(lab.connect("Solo").ask("PING"), "? PING");
    assert!(lab.output("Solo").is_empty(), "{}", lab.output("Solo"));
    // Still the same process.
    assert!(lab.process("Solo").cpu_time() < Duration::from_secs(60));
}

const OVERSIZED_MIB: usize = 32;
const OVERSIZED_KIB_MAX: u64 = 2 * 1024;
