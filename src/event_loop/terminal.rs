//! The terminal from which the program was started, and whether it has gone.

use std::fs::{self, File};

/// The controlling terminal of the process, as it was at the start.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// SIGHUP can tell that the terminal has gone: there is one, and the process was not started by `nohup`.
    hangs_up: bool,
}

impl Terminal {
    /// The terminal at the start of the program. Must be called before SIGHUP gets a handler.
    pub fn at_start() -> Terminal {
        Terminal { hangs_up: is_there() && !ignores_hangup() }
    }

    /// Whether the terminal has gone since the start, so that SIGHUP ends the program.
    pub fn has_gone(self) -> bool {
        self.hangs_up && !is_there()
    }
}

/// Whether the process has a controlling terminal whose other side is open.
fn is_there() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether SIGHUP is ignored, as `nohup` does it. `false` where the system does not say.
fn ignores_hangup() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| ignored_in(&status))
}

/// `SigIgn` of proc(5): a mask, in which SIGHUP, signal 1, is the lowest bit.
fn ignored_in(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_found() {
        assert!(ignored_in("Name:\therd\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n"));
        assert!(!ignored_in("SigIgn:\t0000000000001000\n") && !ignored_in(""));
    }

    #[test]
    fn a_process_without_a_terminal_loses_none() {
        assert!(!Terminal { hangs_up: false }.has_gone());
    }
}
