//! The dialects of clients (docs/protocol.md, section 1): byte order marks, telnet commands, CR NUL, and
//! requests of browsers, split anywhere.

use std::collections::VecDeque;

use crate::chance::Chance;
use crate::scripts::Act;
use crate::world::{MILLISECOND, Time};

/// Turns the script of a client into that of a telnet client, or of one that a browser takes for a web server.
pub fn speak(script: VecDeque<Act>, max_line: usize, chance: &mut Chance) -> VecDeque<Act> {
    let mut acts = VecDeque::new();
    let (mut is_between_lines, mut has_negotiated) = (true, false);
    if chance.one_in(3) {
        let length = if chance.one_in(4) { chance.index(MARK.len()) } else { MARK.len() };
        send(&mut acts, MARK[..length].to_vec(), chance);
        is_between_lines = length == 0 || length == MARK.len();
    }
    let last = script.len().saturating_sub(1);
    for (number, act) in script.into_iter().enumerate() {
        if number == last && is_between_lines && chance.one_in(6) {
            send(&mut acts, chance.pick(BEGINNINGS).to_vec(), chance);
        }
        let Act::Send(mut bytes) = act else {
            acts.push_back(act);
            continue;
        };
        if is_between_lines && chance.one_in(80) {
            send(&mut acts, request(max_line, chance), chance);
        }
        if is_between_lines && chance.one_in(3) {
            send(&mut acts, commands(chance), chance);
            has_negotiated = true;
        }
        is_between_lines = bytes.ends_with(b"\n");
        if is_between_lines && chance.one_in(3) {
            bytes.truncate(bytes.len() - 1);
            bytes.extend_from_slice(b"\r\0");
            // Without a telnet command before it, CR NUL ends no line.
            is_between_lines = has_negotiated;
        }
        send(&mut acts, bytes, chance);
    }
    acts
}

/// Sends bytes in one part or in two.
fn send(acts: &mut VecDeque<Act>, mut bytes: Vec<u8>, chance: &mut Chance) {
    if bytes.len() > 1 && chance.one_in(4) {
        let rest = bytes.split_off(chance.between(1, bytes.len() as u64 - 1) as usize);
        acts.push_back(Act::Send(bytes));
        acts.push_back(Act::Wait(chance.below(PAUSE_MAX)));
        bytes = rest;
    }
    acts.push_back(Act::Send(bytes));
}

/// Some telnet commands.
fn commands(chance: &mut Chance) -> Vec<u8> {
    let count = if chance.one_in(20) { MORE_THAN_ARE_ANSWERED } else { chance.between(1, 3) };
    let mut commands = Vec::new();
    for _ in 0..count {
        let option = *chance.pick(b"\x01\x1f\n\r\0\xff\xfaI");
        match chance.below(8) {
            0..4 => commands.extend_from_slice(&[IAC, *chance.pick(&[WILL, DO]), option]),
            4 => commands.extend_from_slice(&[IAC, *chance.pick(&[WONT, DONT]), option]),
            5 => {
                let subnegotiation = *chance.pick(SUBNEGOTIATIONS);
                commands.extend_from_slice(subnegotiation);
            }
            // Interrupt Process, No Operation, IAC IAC, and one before a LF.
            _ => commands.extend_from_slice(&[IAC, *chance.pick(b"\xf4\xf1\xff\n")]),
        }
    }
    commands
}

/// A request of a browser with a command in it, which must not be carried out.
fn request(max_line: usize, chance: &mut Chance) -> Vec<u8> {
    let path = "x".repeat(if chance.one_in(3) { max_line } else { 3 });
    // A line feed in the path cuts the request in two, so that only its method shows what it is.
    let (method, cut) = *chance.pick(&[
        ("GET", "\r\nIAMAT forged +1+1 5\r\nZ"),
        ("OPTIONS", "\r\nIAMAT forged +1+1 5\r\nZ"),
        ("PATCH", ""),
        ("UNKNOWN", ""),
    ]);
    format!("{method} /{path}{cut} HTTP/1.1\r\nHost: a\r\n\r\nIAMAT forged +1+1 5\r\n").into_bytes()
}

/// A byte order mark in UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();
const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
/// Lines within a subnegotiation are no commands.
const SUBNEGOTIATIONS: &[&[u8]] = &[
    b"\xff\xfa\x18\0xterm\xff\xf0",
    b"\xff\xfa\x1f\0\n\0\x18\xff\xf0",
    b"\xff\xfaIAMAT forged +1+1 5\nFOO\r\0\xff\xff\xf0\xff\xf0",
    b"\xff\xfa\xff\xf0",
];
/// Telnet commands that do not end. The end of input drops them.
const BEGINNINGS: &[&[u8]] = &[b"\xff", b"\xff\xfd", b"\xff\xfa\x18\0xterm\xff", b"\xff\xfaFOO\n"];
/// A server answers 64 options of a connection.
const MORE_THAN_ARE_ANSWERED: u64 = 70;
/// The longest pause between two parts.
const PAUSE_MAX: Time = 300 * MILLISECOND;
