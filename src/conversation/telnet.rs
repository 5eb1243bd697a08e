//! The telnet commands of one client (docs/protocol.md, section 1).

use crate::text::telnet::{Effect, IAC, command, subnegotiation};

/// The telnet commands of one client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Telnet {
    used: bool,
    negotiating: bool,
    /// The number of options that were refused.
    answers: u8,
}

impl Telnet {
    /// Whether the client has sent a command, so that CR NUL ends its lines as well.
    pub(super) fn was_used(self) -> bool {
        self.used
    }

    /// Whether a subnegotiation has begun and not ended.
    pub(super) fn is_negotiating(self) -> bool {
        self.negotiating
    }

    /// Reads the commands at the front of `input`, and appends the answers to `output`. Returns how many bytes
    /// were read, and whether the last command is complete.
    pub(super) fn read(&mut self, input: &[u8], output: &mut Vec<u8>) -> (usize, bool) {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            if self.negotiating {
                let (length, ended) = subnegotiation(rest);
                used += length;
                self.negotiating = !ended;
                if !ended {
                    return (used, false);
                }
            } else if rest.first() == Some(&IAC) {
                let Some((length, effect)) = command(rest) else { return (used, false) };
                used += length;
                self.used = true;
                match effect {
                    Effect::Dropped => {}
                    Effect::Subnegotiation => self.negotiating = true,
                    Effect::Answer(answer) if self.answers < ANSWERS_MAX => {
                        self.answers += 1;
                        output.extend_from_slice(&answer);
                    }
                    Effect::Answer(_) => {}
                }
            } else {
                return (used, true);
            }
        }
    }
}

/// Options that are refused on one connection: more than a client has, and few enough that two programs that
/// answer each other come to an end.
const ANSWERS_MAX: u8 = 64;
