//! `herd serve`: one server.

use super::arguments::{Command, Given, Takes};
use super::which_herd::WhichHerd;
use super::{Failure, end_with_parent};
use crate::service;

/// Its row in the table of commands.
pub(super) const COMMAND: Command = Command {
    name: "serve",
    usage: "serve NAME [-c FILE]",
    summary: "one server, in the foreground",
    help: HELP,
    option: Takes::HerdFile,
    operands: &["NAME"],
    run,
};

fn run(given: &Given) -> Result<(), Failure> {
    end_with_parent()?;
    let name = &given.operands[0];
    let which = WhichHerd::find(given)?;
    which.server(name)?;
    service::serve(&which.herd, name, which.file).map_err(Failure::at_run_time)
}

const HELP: &str = "\
herd serve NAME [-c FILE]

Runs one server of a herd in the foreground. It listens for clients and
neighbours on its port of the herd file, dials its neighbours until they are
there, and logs to a file. herd run-all starts all servers at once.

Arguments
  NAME         the server, as it is called in the herd file

Options
  -c FILE      the herd file; without it herd.json in the current folder, or
               the built-in herd
  -h, --help   this help

Signals
  SIGINT (Ctrl-C), SIGTERM   end in order: answer what was received, then close;
                             a second one ends at once
  SIGHUP                     open the log file anew, read the herd file again

Example
  herd places                          in one terminal
  herd serve Riley                     in a second
  herd serve Jaquez                    in a third
  herd send Riley 'IAMAT kiwi.cs.ucla.edu +34.0689-118.4451 1621464827.959'
  herd send Jaquez 'WHATSAT kiwi.cs.ucla.edu 10 5'

Exit status
  0  ended in order
  1  the port is taken, or the server failed otherwise
  2  the command line or the herd file is wrong
";
