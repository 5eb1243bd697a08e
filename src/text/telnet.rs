//! Telnet commands at the start of a line (RFC 854; docs/protocol.md, section 1). PuTTY and telnet send them
//! unasked.

/// The byte that begins a telnet command: Interpret As Command.
pub const IAC: u8 = 0xFF;

/// The effect of a telnet command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None.
    Dropped,
    /// These three bytes are sent: the option is refused.
    Answer([u8; 3]),
    /// A subnegotiation begins. Its content is read with [`subnegotiation`].
    Subnegotiation,
}

/// Reads the command at the front of `input`, which begins with [`IAC`]. Returns its length and its effect;
/// `None`: it is not complete. An IAC before LF is a command of one byte, so that a LF always ends a line.
pub fn command(input: &[u8]) -> Option<(usize, Effect)> {
    match *input.get(1)? {
        b'\n' => Some((1, Effect::Dropped)),
        SUBNEGOTIATION => Some((2, Effect::Subnegotiation)),
        WILL => Some((3, Effect::Answer([IAC, DONT, *input.get(2)?]))),
        DO => Some((3, Effect::Answer([IAC, WONT, *input.get(2)?]))),
        WONT | DONT => input.get(2).map(|_| (3, Effect::Dropped)),
        _ => Some((2, Effect::Dropped)),
    }
}

/// Reads the content of a subnegotiation at the front of `input`. Returns how many bytes belong to it, and
/// whether it ended. A final IAC stays unread until the byte after it arrives.
pub fn subnegotiation(input: &[u8]) -> (usize, bool) {
    let mut used = 0;
    while let Some(iac) = memchr::memchr(IAC, &input[used..]) {
        used += iac;
        match input.get(used + 1) {
            None => return (used, false),
            Some(&SUBNEGOTIATION_END) => return (used + 2, true),
            Some(_) => used += 2,
        }
    }
    (input.len(), false)
}

const SUBNEGOTIATION_END: u8 = 0xF0;
const SUBNEGOTIATION: u8 = 0xFA;
const WILL: u8 = 0xFB;
const WONT: u8 = 0xFC;
const DO: u8 = 0xFD;
const DONT: u8 = 0xFE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_its_length_and_effect() {
        for (input, command) in [
            (&b"\xff"[..], None),
            (b"\xff\xfb", None),
            (b"\xff\xfe", None),
            (b"\xff\xfb\x03x", Some((3, Effect::Answer([IAC, 0xFE, 3])))),
            (b"\xff\xfd\n", Some((3, Effect::Answer([IAC, 0xFC, b'\n'])))),
            (b"\xff\xfd\xff", Some((3, Effect::Answer([IAC, 0xFC, 0xFF])))),
            (b"\xff\xfc\x03", Some((3, Effect::Dropped))),
            (b"\xff\xfe\x03", Some((3, Effect::Dropped))),
            (b"\xff\xf4\xff", Some((2, Effect::Dropped))),
            (b"\xff\xff", Some((2, Effect::Dropped))),
            (b"\xff\n", Some((1, Effect::Dropped))),
            (b"\xff\xfa\xff", Some((2, Effect::Subnegotiation))),
        ] {
            assert_eq!(super::command(input), command, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn a_subnegotiation_ends_with_iac_se() {
        for (input, read) in [
            (&b""[..], (0, false)),
            (b"\x1f\n\0", (3, false)),
            (b"\x1f\xff", (1, false)),
            (b"\xff\xf0x", (2, true)),
            (b"\x1f\xff\xff\xf0\xff\xf0x", (6, true)),
            (b"\xff\xfa\xff\xf0", (4, true)),
        ] {
            assert_eq!(subnegotiation(input), read, "{}", input.escape_ascii());
        }
    }
}
