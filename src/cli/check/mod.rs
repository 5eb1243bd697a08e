//! `herd check`: reads the herd file and draws the herd.

mod drawing;
mod failures;
mod http;
mod keys;
#[cfg(test)]
mod testing;

pub use drawing::draw;
pub(super) use drawing::{counted, logs, stores, tidy};

use super::Failure;
use super::arguments::{Arguments, CommandOption, Subcommand};
use super::loaded_herd::LoadedHerd;
use super::output::print;
use crate::service;
use rustls::pki_types::UnixTime;

/// The row of this command in the table of commands.
pub(super) const COMMAND: Subcommand = Subcommand {
    name: "check",
    usage: "check [-c FILE]",
    summary: "reads the herd file, draws the herd",
    help: HELP,
    options: &[CommandOption::HERD_FILE],
    operands: &[],
    run,
};

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let loaded = LoadedHerd::find(arguments)?;
    service::check_places(&loaded.herd).map_err(Failure::at_run_time)?;
    service::check_stores(&loaded.herd).map_err(Failure::at_run_time)?;
    let http = service::check_http(&loaded.herd).map_err(Failure::at_run_time)?;
    let now = UnixTime::now();
    let http = http::report(&loaded.herd, &http, now);
    let (keys, failure) = keys::report(&loaded.herd, &loaded.option(arguments), now);
    print((draw(&loaded.herd) + &keys + &http).as_bytes())?;
    failure.map_or(Ok(()), Err)
}

const HELP: &str = "\
herd check [-c FILE]

Reads a herd file, the files that it names, and the key of Places. If one of
them is wrong, prints the place and the reason in one line. Otherwise draws the
servers and the edges between them, and names the servers whose failure would
cut off others, the Places service, the log files, the stores on disk, how HTTP
is protected, and the keys. Says which keys are missing, cannot be used, or end
within 30 days. Starts nothing.

Options
  -c FILE      the herd file; without it herd.json in the current folder, or
               the built-in herd
  -h, --help   this help

Example
  herd check -c herds/report-003.json

Exit status
  0  the files are valid
  1  places.trust, the key of Places, a key in run/keys, a folder in store.dir
     or a file of the section http is not usable, or nothing can be printed
  2  the command line or the herd file is wrong
";
