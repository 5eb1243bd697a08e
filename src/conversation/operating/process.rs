//! The figures of the process that a server runs in. They are read by the program, not here.

/// The figures of a process. `None`: the operating system did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessFigures {
    /// Processor time of all threads, in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Memory in use, in bytes.
    pub resident_bytes: Option<u64>,
    /// Address space, in bytes.
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// The limit of open file descriptors; `None` also without a limit.
    pub max_fds: Option<u64>,
}
