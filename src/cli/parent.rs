//! A child process that does not outlive the one that started it.

use super::Failure;
use super::failure::in_words;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::env;

/// The environment variable by which `herd run-all` tells its children its process id.
pub const PARENT_VARIABLE: &str = "HERD_PARENT";

/// Makes the system end this process in order (SIGTERM) when `herd run-all`, which started it, is gone,
/// even if that was killed. A process that was started by hand is left as it is.
pub fn end_with_parent() -> Result<(), Failure> {
    let Some(parent) = env::var_os(PARENT_VARIABLE) else { return Ok(()) };
    let parent = parent.to_str().and_then(|text| text.parse().ok()).and_then(Pid::from_raw);
    let Some(parent) = parent else {
        return Err(Failure::of_the_question(format!(
            "the environment variable {PARENT_VARIABLE} is not the number of a process: herd run-all sets it \
             for its servers; unset it"
        )));
    };
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(|error| {
        Failure::at_run_time(format!("cannot be tied to herd run-all: {}", in_words(&error.into())))
    })?;
    // The parent may have ended before the line above.
    if getppid() != Some(parent) {
        return Err(Failure::at_run_time(format!(
            "process {parent}, named in {PARENT_VARIABLE}, did not start this one or has ended: nothing is \
             started; unset the variable to start a server by hand"
        )));
    }
    Ok(())
}
