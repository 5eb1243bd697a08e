//! `herd serve`: one server.

use super::arguments::{Arguments, CommandOption, Subcommand};
use super::loaded_herd::LoadedHerd;
use super::{Failure, end_with_parent};
use crate::service;

/// The row of this command in the table of commands.
pub(super) const COMMAND: Subcommand = Subcommand {
    name: "serve",
    usage: "serve NAME [-c FILE]",
    summary: "one server, in the foreground",
    help: HELP,
    options: &[CommandOption::HERD_FILE],
    operands: &["NAME"],
    run,
};

fn run(arguments: &Arguments) -> Result<(), Failure> {
    end_with_parent()?;
    let name = &arguments.operands[0];
    let loaded = LoadedHerd::find(arguments)?;
    loaded.server(name)?;
    service::serve(&loaded.herd, name, loaded.file).map_err(Failure::at_run_time)
}

const HELP: &str = "\
herd serve NAME [-c FILE]

Runs one server of a herd in the foreground. It listens for clients and
neighbours at its address in the herd file, dials its neighbours until they
answer, and logs to a file. herd run-all starts all servers at once.

Arguments
  NAME         the name of the server in the herd file

Options
  -c FILE      the herd file; without it herd.json in the current folder, or
               the built-in herd
  -h, --help   this help

Signals
  SIGINT (Ctrl-C), SIGTERM   shut down gracefully: answer what was received,
                             then close; a second one ends the server at once
  SIGHUP                     reopen the log file, read the herd file again; from
                             a terminal that was closed, it ends the server

Example
  herd places                          in one terminal
  herd serve Riley                     in a second
  herd serve Jaquez                    in a third
  herd send Riley 'IAMAT kiwi.cs.ucla.edu +34.0689-118.4451 1621464827.959'
  herd send Jaquez 'WHATSAT kiwi.cs.ucla.edu 10 5'

Exit status
  0  shut down gracefully
  1  the port is taken, or another failure at run time
  2  the command line or the herd file is wrong
";
