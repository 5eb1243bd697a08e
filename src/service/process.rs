//! The figures of this process, for its metrics. Reading them takes some tens of microseconds.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::conversation::operating::ProcessFigures;

/// Reads the figures of this process: where there is no `/proc`, the processor time and the limit of descriptors only.
pub(super) fn read() -> ProcessFigures {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let cpu_ns = u64::try_from(cpu.tv_sec).ok().zip(u64::try_from(cpu.tv_nsec).ok());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = |name| number(&status, name).map(|number| number * 1024);
    ProcessFigures {
        cpu_ns: cpu_ns.map(|(seconds, nanoseconds)| seconds * 1_000_000_000 + nanoseconds),
        resident_bytes: kibibytes("VmRSS:"),
        virtual_bytes: kibibytes("VmSize:"),
        threads: number(&status, "Threads:"),
        open_fds: open_fds(),
        max_fds: getrlimit(Resource::Nofile).current,
    }
}

/// The first number after a name at the start of a line.
fn number(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The open file descriptors: since Linux 6.2 the size of their folder. Before, its entries are counted, at most
/// [`ENTRIES_MAX`].
fn open_fds() -> Option<u64> {
    let size = fs::metadata("/proc/self/fd").ok()?.size();
    if size > 0 {
        return Some(size);
    }
    let count = fs::read_dir("/proc/self/fd").ok()?.take(ENTRIES_MAX).count();
    // One of them is that of the folder itself.
    (count < ENTRIES_MAX).then_some(count as u64 - 1)
}

/// Descriptors that are counted one by one, in about 10 ms: the loop does not turn meanwhile. Of more there is no figure.
const ENTRIES_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_all_figures() {
        let figures = read();
        assert!(figures.cpu_ns.is_some() && figures.threads >= Some(1), "{figures:?}");
        assert!(figures.resident_bytes > Some(1024 * 1024) && figures.virtual_bytes > figures.resident_bytes);
        // Standard input, output and error; other tests open and close files at the same time.
        assert!(figures.open_fds >= Some(3) && figures.open_fds < figures.max_fds.or(Some(u64::MAX)));
    }

    #[test]
    fn a_number_is_found_by_its_name() {
        let status = "Name:\tVmRSS: 1\nVmRSS:\t    2048 kB\nThreads:\t4\n";
        assert_eq!((number(status, "VmRSS:"), number(status, "Threads:")), (Some(2048), Some(4)));
        assert_eq!((number(status, "VmSize:"), number("VmSize: x kB", "VmSize:")), (None, None));
    }
}
