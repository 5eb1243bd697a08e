//! `herd status`: asks every server of the herd how it is.

mod asking;
mod report;

use super::Failure;
use super::arguments::{Arguments, CommandOption, Subcommand};
use super::loaded_herd::LoadedHerd;
use super::output::print;
use crate::config::{HerdFile, ServerSection};
use asking::{Asker, Said};
use report::Report;
use std::thread;
use std::time::Duration;

/// The row of this command in the table of commands.
pub(super) const COMMAND: Subcommand = Subcommand {
    name: "status",
    usage: "status [NAME] [-c FILE]",
    summary: "asks the servers how they are",
    help: HELP,
    options: &[CommandOption::HERD_FILE, TOKEN, JSON],
    operands: &["[NAME]"],
    run,
};

const TOKEN: CommandOption = CommandOption { name: "token", value: Some("TOKEN") };
const JSON: CommandOption = CommandOption { name: "json", value: None };

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let loaded = LoadedHerd::find(arguments)?;
    let servers: Vec<&ServerSection> = match arguments.operands.first() {
        Some(name) => vec![loaded.server(name)?],
        None => loaded.herd.servers.iter().collect(),
    };
    if servers.iter().all(|server| server.http.is_none()) {
        return Err(Failure::usage(format!(
            "no server to ask: {} no address of HTTP; write \"http\": \"127.0.0.1:13326\" beside \"listen\" in the herd file",
            if servers.len() == 1 { "it has" } else { "they have" }
        )));
    }
    let token = token(arguments)?;
    let asker = Asker::new(&loaded.herd, token)?;
    let report = ask(&loaded.herd, &servers, &asker);
    let text = if arguments.has(JSON) { report.json() } else { report.table(&loaded.option(arguments)) };
    print(text.as_bytes())?;
    if report.is_well() { Ok(()) } else { Err(Failure::reported()) }
}

/// The token of `--token`, or of the environment.
fn token(arguments: &Arguments) -> Result<Option<String>, Failure> {
    let (token, source) = match arguments.value(TOKEN) {
        Some(token) => (Some(token.to_owned()), "--token"),
        None => (std::env::var(TOKEN_VARIABLE).ok(), TOKEN_VARIABLE),
    };
    let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
    match &token {
        Some(text) if !text.bytes().all(|byte| byte.is_ascii_graphic()) => Err(Failure::usage(format!(
            "{source}: expected a token as herd token prints it, without spaces; got other characters"
        ))),
        _ => Ok(token),
    }
}

/// Asks the servers, all at the same time. If their numbers of clients differ, some of them may have been asked before a
/// change reached them: they are asked again.
fn ask(herd: &HerdFile, servers: &[&ServerSection], asker: &Asker) -> Report {
    let mut rounds = ROUNDS;
    loop {
        let said: Vec<Said> = thread::scope(|scope| {
            let asked: Vec<_> = servers.iter().map(|server| scope.spawn(|| asker.ask(server))).collect();
            asked.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Said::panicked())).collect()
        });
        let report = Report::new(&herd.name, servers, said);
        rounds -= 1;
        if rounds == 0 || report.has_same_clients() != Some(false) {
            return report;
        }
        thread::sleep(BETWEEN_ROUNDS);
    }
}

/// The environment variable of the token: other users of the machine see the arguments of a program, and not this.
const TOKEN_VARIABLE: &str = "HERD_TOKEN";
/// How often servers are asked whose numbers of clients differ.
const ROUNDS: u32 = 3;
/// The pause before they are asked again: a change reaches all servers of a herd in less.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(500);

const HELP: &str = "\
herd status [NAME] [-c FILE]

Asks every server of the herd that has an address of HTTP (servers.NAME.http)
how it is, and prints a table: whether it is up and ready, its clients, its
connections, its links to and from neighbours, and its backlog: the changes that
neighbours have not acknowledged. Below the table are the reasons of the servers
that are not ready, and whether all have the same number of clients.

With TLS, a server must show the certificate of http.certificate if this machine
has that file, or one that browsers accept for its address. To an address off
this machine that has no TLS (http.behind_proxy) no token is sent.

Arguments
  NAME         the server to ask, instead of all

Options
  -c FILE      the herd file; without it herd.json in the current folder, or
               the built-in herd
  --token TOKEN
               a token that may operate, where http.tokens is set; better in the
               environment variable HERD_TOKEN, which other users cannot see
  --json       the same as JSON, for programs
  -h, --help   this help

Example
  herd status
  HERD_TOKEN=$(cat operator.token) herd status -c campus.json Riley

Exit status
  0  all servers are ready and all links up, and all have as many clients
  1  something is wrong; the table says what. A server without an address of
     HTTP is not asked, and nothing is wrong with that
  2  the command line or the herd file is wrong, or there is no server to ask
";
