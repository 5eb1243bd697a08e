//! `herd token`: makes, lists and removes access tokens for HTTP.

mod phones;

use super::Failure;
use super::arguments::{Arguments, CommandOption, Subcommand};
use super::loaded_herd::{LoadedHerd, as_operand};
use super::output::print;
use crate::access::{Digest, Entry, Scope, Token, TokensFile};
use crate::config::words::quoted;
use std::fmt::Write;
use std::path::Path;

/// The row of this command in the table of commands.
pub(super) const COMMAND: Subcommand = Subcommand {
    name: "token",
    usage: "token NAME [-c FILE]",
    summary: "makes an access token for HTTP",
    help: HELP,
    options: &[CommandOption::HERD_FILE, MAY, LIST, REMOVE, QR, URL],
    operands: &["[NAME]"],
    run,
};

const MAY: CommandOption = CommandOption { name: "may", value: Some("SCOPE…") };
const LIST: CommandOption = CommandOption { name: "list", value: None };
const REMOVE: CommandOption = CommandOption { name: "remove", value: None };
const QR: CommandOption = CommandOption { name: "qr", value: None };
const URL: CommandOption = CommandOption { name: "url", value: Some("URL") };

fn run(arguments: &Arguments) -> Result<(), Failure> {
    check(arguments)?;
    let loaded = LoadedHerd::find(arguments)?;
    let Some(file) = &loaded.herd.http.tokens else {
        return Err(Failure::usage(
            "the herd file has no http.tokens: its HTTP needs no token; write \"http\": { \"tokens\": \"tokens.json\" }",
        ));
    };
    if arguments.has(LIST) {
        return print(listed(file)?.as_bytes()).map(drop);
    }
    let name = &arguments.operands[0];
    if arguments.has(REMOVE) { remove(file, name) } else { make(arguments, &loaded, file, name) }
}

/// Refuses options that do not fit together.
fn check(arguments: &Arguments) -> Result<(), Failure> {
    let wrong = |problem: String| Err(Failure::usage(format!("{problem}; see herd token --help")));
    let name = arguments.operands.first();
    if arguments.has(LIST) && arguments.has(REMOVE) {
        return wrong("--list and --remove are two commands: give one of them".to_owned());
    }
    let of_new = [MAY, QR, URL].into_iter().find(|option| arguments.has(*option));
    for other in [LIST, REMOVE].into_iter().filter(|option| arguments.has(*option)) {
        if let Some(of_new) = of_new {
            let problem = format!("--{} is for a new token: leave it out, or --{}", of_new.name, other.name);
            return wrong(problem);
        }
    }
    match name {
        Some(name) if arguments.has(LIST) => {
            wrong(format!("--list takes no name: leave out {}", quoted(name)))
        }
        None if !arguments.has(LIST) => wrong("NAME is missing: write herd token NAME".to_owned()),
        _ if arguments.has(URL) && !arguments.has(QR) => {
            wrong("--url is for --qr: write --qr --url URL".to_owned())
        }
        _ => Ok(()),
    }
}

/// Adds a token to the file, and prints it.
fn make(arguments: &Arguments, loaded: &LoadedHerd, file: &Path, name: &str) -> Result<(), Failure> {
    let mut scopes = Vec::new();
    for text in arguments.values(MAY) {
        let scope: Scope = text
            .parse()
            .map_err(|problem| Failure::usage(format!("--may: {problem}; see herd token --help")))?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if scopes.is_empty() {
        scopes = Scope::default_of(name);
    }
    // Everything that can be wrong is found before the file has a token that was never shown.
    let base = if arguments.has(QR) { Some(phones::base(&loaded.herd, arguments.value(URL))?) } else { None };
    let token = Token::new().map_err(|why| Failure::at_run_time(format!("no token can be made: {why}")))?;
    let entry = Entry { name: name.to_owned(), digest: Digest::of(token.text().as_bytes()), scopes };
    TokensFile::change(file, |file| file.add(entry)).map_err(Failure::at_run_time)?;
    let text = match base {
        None => format!("{}\n", token.text()),
        Some(base) => phones::settings(&base, name, token.text())?,
    };
    print(text.as_bytes()).map(drop)
}

fn remove(file: &Path, name: &str) -> Result<(), Failure> {
    let change = |file: &mut TokensFile| match file.remove(name) {
        true => Ok(()),
        false => Err(format!("there is no token {} in it; herd token --list prints the names", quoted(name))),
    };
    TokensFile::change(file, change)
        .map_err(|problem| Failure::at_run_time(format!("{}: {problem}", file.display())))?;
    print(format!("{} is removed; servers refuse it after SIGHUP\n", as_operand(name)).as_bytes()).map(drop)
}

/// A line for each token: its name, and what it may.
fn listed(file: &Path) -> Result<String, Failure> {
    let read = TokensFile::read(file).map_err(|error| Failure::at_run_time(error.to_string()))?;
    let entries = read.entries();
    let width = entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Entry { name, scopes, .. } in entries {
        let may: Vec<String> = scopes.iter().map(Scope::to_string).collect();
        let _ = writeln!(text, "{}", format!("{name:width$}  {}", may.join(" ")).trim_end());
    }
    Ok(text)
}

const HELP: &str = "\
herd token NAME [-c FILE]

Makes an access token for the HTTP interface and prints it, once. The file of
http.tokens in the herd file gets its SHA-256, its name and what it may do; the
file is made with the first token. Send SIGHUP to the servers: they read the
file again. On a herd of several hosts copy it to each of them (scp -p).

The name is one word. It is the ID of a phone that reports none.

Options
  --may SCOPE    what it may do; can be given several times. Without it,
                 report:NAME* and read:NAME*
                   report:PREFIX*  report locations of clients whose ID begins
                                   with PREFIX; report:* of all
                   read:PREFIX*    read them, follow them, see them on the map
                   forget:PREFIX*  delete them
                   places          ask what is near those that it may read
                   operate         read metrics and the state of the herd
  --qr           print what each phone app needs, as text and as QR codes
  --url URL      with --qr: where phones reach a server, if not at the address
                 of the first one with HTTP in the herd file
  --list         print the names, and what each may do; it has no token
  --remove       remove the token of this name
  -c FILE        the herd file; without it herd.json in the current folder
  -h, --help     this help

Examples
  herd token ada --qr --url https://herd.example.org
  herd token family --may 'read:*' --may places
  herd token monitor --may operate
  herd token ada --remove

Exit status
  0  done
  1  the file cannot be read or written, or there is (no) token of that name
  2  the command line or the herd file is wrong, or it has no http.tokens
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_do_not_fit_together_are_refused() {
        let check = |options: &[&'static str], operands: &[&str]| {
            let options = options.iter().map(|&name| (name, "x".to_owned())).collect();
            let operands = operands.iter().map(|&text| text.to_owned()).collect();
            check(&Arguments { options, operands }).err().map(|failure| {
                assert_eq!(failure.status, 2);
                failure.to_string()
            })
        };
        assert_eq!(check(&["may", "qr", "url"], &["ada"]), None);
        assert_eq!((check(&["list"], &[]), check(&["remove"], &["ada"])), (None, None));
        for (options, operands, words) in [
            (&[][..], &[][..], "NAME is missing: write herd token NAME"),
            (&["remove"], &[], "NAME is missing"),
            (&["list"], &["ada"], "--list takes no name: leave out \"ada\""),
            (&["list", "remove"], &[], "give one of them"),
            (&["list", "may"], &[], "--may is for a new token: leave it out, or --list"),
            (&["remove", "qr"], &["ada"], "--qr is for a new token: leave it out, or --remove"),
            (&["url"], &["ada"], "write --qr --url URL"),
        ] {
            let problem = check(options, operands).unwrap();
            assert!(problem.contains(words), "{problem}");
        }
    }
}
