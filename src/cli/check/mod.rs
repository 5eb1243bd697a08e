//! `herd check`: reads the herd file and draws the herd.

mod drawing;
mod failures;
#[cfg(test)]
mod testing;

pub use drawing::draw;
pub(super) use drawing::{counted, logs};

use super::Failure;
use super::arguments::{Command, Given, Takes};
use super::output::print;
use super::which_herd::WhichHerd;

/// Its row in the table of commands.
pub(super) const COMMAND: Command = Command {
    name: "check",
    usage: "check [-c FILE]",
    summary: "reads the herd file, draws the herd",
    help: HELP,
    option: Takes::HerdFile,
    operands: &[],
    run,
};

fn run(given: &Given) -> Result<(), Failure> {
    let which = WhichHerd::find(given)?;
    print(draw(&which.herd).as_bytes()).map(drop)
}

const HELP: &str = "\
herd check [-c FILE]

Reads a herd file. If it is wrong, says in one line where and why. Else draws
who talks to whom, and says which server's failure would cut others off, where
WHATSAT is answered, and where the logs are. Nothing is started.

Options
  -c FILE      the herd file; without it herd.json in the current folder, or
               the built-in herd
  -h, --help   this help

Example
  herd check -c herds/report-003.json

Exit status
  0  the file is right
  1  the drawing could not be printed
  2  the command line or the herd file is wrong
";
