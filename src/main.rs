//! The executable `herd`. All code is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    herd::cli::main(std::env::args_os().skip(1))
}
