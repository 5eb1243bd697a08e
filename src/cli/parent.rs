//! Ends a child process when its parent ends.

use super::Failure;
use super::failure::in_words;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::env;

/// The environment variable in which `herd run-all` passes its process ID to its children.
pub const PARENT_VARIABLE: &str = "HERD_PARENT";

/// Asks the operating system to send SIGTERM to this process when `herd run-all`, its parent, ends, even by
/// SIGKILL. Does nothing in a process that the user started.
pub fn end_with_parent() -> Result<(), Failure> {
    let Some(parent) = env::var_os(PARENT_VARIABLE) else { return Ok(()) };
    let parent = parent.to_str().and_then(|text| text.parse().ok()).and_then(Pid::from_raw);
    let Some(parent) = parent else {
        return Err(Failure::usage(format!(
            "the environment variable {PARENT_VARIABLE} is not a process ID: herd run-all sets it for its \
             servers; unset it"
        )));
    };
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(|error| {
        Failure::at_run_time(format!("cannot watch the parent process: {}", in_words(&error.into())))
    })?;
    // The parent may have ended before the request above.
    if getppid() != Some(parent) {
        return Err(Failure::at_run_time(format!(
            "process {parent}, named in {PARENT_VARIABLE}, is not the parent of this process, or has ended; \
             unset the variable to start a server by hand"
        )));
    }
    Ok(())
}
