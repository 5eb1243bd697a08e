//! `herd keys`: makes the keys of a herd.

use super::Failure;
use super::arguments::{Arguments, CommandOption, Subcommand};
use super::check::tidy;
use super::loaded_herd::{LoadedHerd, as_operand, in_a_shell};
use super::output::print;
use crate::config::{DEFAULT_FILE, ServerSection};
use crate::keys::{AUTHORITIES, AUTHORITY_KEY, KeysError, Made, Mode, Outcome, bundle, folder_of, make};
use rustls::pki_types::UnixTime;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The row of this command in the table of commands.
pub(super) const COMMAND: Subcommand = Subcommand {
    name: "keys",
    usage: "keys [-c FILE]",
    summary: "makes certificates and keys of servers",
    help: HELP,
    options: &[CommandOption::HERD_FILE, RENEW, AUTHORITY, FOR, OUT],
    operands: &[],
    run,
};

const RENEW: CommandOption = CommandOption { name: "renew", value: None };
const AUTHORITY: CommandOption = CommandOption { name: "authority", value: None };
const FOR: CommandOption = CommandOption { name: "for", value: Some("NAME") };
const OUT: CommandOption = CommandOption { name: "out", value: Some("DIR") };

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let loaded = LoadedHerd::find(arguments)?;
    if !loaded.herd.peers.tls {
        return Err(Failure::usage(
            "peers.tls is false: the servers of this herd use no keys; write \"peers\": { \"tls\": true } in the herd \
             file first",
        ));
    }
    let mode = mode(arguments)?;
    let wrong = |problem: &str| Failure::usage(format!("{problem}; see herd keys --help"));
    let host = match (arguments.value(FOR), arguments.value(OUT)) {
        (Some(name), Some(out)) => Some((loaded.server(name)?, Path::new(out))),
        (Some(_), None) => {
            return Err(wrong("--for needs a folder for the files: write --for NAME --out DIR"));
        }
        (None, Some(_)) => return Err(wrong("--out needs a server: write --for NAME --out DIR")),
        (None, None) => None,
    };
    let servers: Vec<&ServerSection> = match host {
        Some((server, _)) => vec![server],
        None => loaded.herd.servers.iter().collect(),
    };
    let failed = |error: KeysError| Failure::at_run_time(error.to_string());
    let now = UnixTime::now();
    let made = make(&loaded.herd, &servers, mode, now).map_err(failed)?;
    let mut text = report(&loaded, &made);
    if let Some((server, out)) = host {
        let files = bundle(&loaded.herd, loaded.file.as_deref(), &server.name, out, now).map_err(failed)?;
        text += &copies(&loaded, server, out, &files, mode);
    } else {
        text += &advice(&loaded, &loaded.option(arguments), mode);
    }
    print(text.as_bytes()).map(drop)
}

fn mode(arguments: &Arguments) -> Result<Mode, Failure> {
    match (arguments.has(RENEW), arguments.has(AUTHORITY)) {
        (false, false) => Ok(Mode::Missing),
        (true, false) => Ok(Mode::RenewServers),
        (true, true) if arguments.has(FOR) => {
            Err(Failure::usage("--authority is for all servers: leave out --for; see herd keys --help"))
        }
        (true, true) => Ok(Mode::RenewAuthority),
        (false, true) => Err(Failure::usage(
            "--authority begins a change of it: write --renew --authority; see herd keys --help",
        )),
    }
}

/// The folder, and a line for the authority and each server.
fn report(loaded: &LoadedHerd, made: &[Made]) -> String {
    let folder = folder_of(&loaded.herd);
    let has_key = folder.join(AUTHORITY_KEY).exists();
    let files = |made: &Made| match &made.server {
        Some(name) => format!("{name}.pem, {name}.key"),
        None if has_key => format!("{AUTHORITIES}, {AUTHORITY_KEY}"),
        None => AUTHORITIES.to_owned(),
    };
    let width = made.iter().map(|made| files(made).chars().count()).max().unwrap_or(0);
    let mut text = format!("{}\n", tidy(&folder).display());
    for made in made {
        let outcome = match made.outcome {
            Outcome::Kept => "kept",
            Outcome::Made => "made",
            Outcome::Renewed => "renewed",
        };
        let _ = writeln!(text, "  {:width$}  {outcome}, valid to {}", files(made), made.last_day);
    }
    text
}

/// What to do with the files of all servers.
fn advice(loaded: &LoadedHerd, option: &str, mode: Mode) -> String {
    let is_on_loopback = loaded.herd.is_on_loopback();
    let bring = if is_on_loopback {
        "All servers are on this machine: no file needs to be copied."
    } else {
        "Each host needs herd-ca.pem and the two files of its own server, which\n\
         herd keys --for NAME --out DIR puts together. herd-ca.key stays here: a\n\
         program that has it can pass for any server."
    };
    let then = match mode {
        Mode::Missing => String::new(),
        Mode::RenewServers if is_on_loopback => "Running servers take new keys on SIGHUP.\n".to_owned(),
        Mode::RenewServers => {
            "Until a host has the new keys of its server, the server keeps the old ones, which stay\n\
             good to their end. It takes new ones on SIGHUP.\n"
                .to_owned()
        }
        Mode::RenewAuthority => format!(
            "The new authority stands before the old one in herd-ca.pem. To end the change\n  \
             1. bring this herd-ca.pem to every host, and send SIGHUP to every server;\n  \
             2. herd keys --renew{option}, bring the new keys to every host, SIGHUP again;\n  \
             3. remove all certificates but the first from herd-ca.pem, here and on every host,\n     \
                for example with openssl x509 -in herd-ca.pem -out first.pem; SIGHUP once more.\n"
        ),
    };
    format!("\n{bring}\n{then}")
}

/// What to do with the files for one host.
fn copies(loaded: &LoadedHerd, server: &ServerSection, out: &Path, files: &[PathBuf], mode: Mode) -> String {
    let folder = in_a_shell(&out.display().to_string());
    let mut text = format!("\n{folder} has what the host of {} needs\n", server.name);
    for file in files {
        let _ = writeln!(text, "  {}", file.display());
    }
    if let Some(trust) = loaded.herd.places.as_ref().and_then(|places| places.trust.as_ref()) {
        let _ = writeln!(text, "It also needs the file of places.trust: {}", trust.display());
    }
    let http = &loaded.herd.http;
    let certificate = http.certificate.iter().flat_map(|pair| [&pair.chain, &pair.key]);
    let of_http: Vec<String> =
        http.tokens.iter().chain(certificate).map(|file| file.display().to_string()).collect();
    if !of_http.is_empty() {
        let _ = writeln!(text, "It also needs the files of HTTP: {}", of_http.join(", "));
    }
    if mode == Mode::RenewServers {
        // scp -r would put the folder into the one that is there.
        let _ = write!(
            text,
            "Copy the keys over those on that host and send SIGHUP to the server, for example\n  \
             scp -p {folder}/run/keys/* HOST:herd/run/keys/\n"
        );
    } else {
        let file = loaded.file.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy());
        let option =
            file.filter(|name| name != DEFAULT_FILE).map(|name| format!(" -c {}", in_a_shell(&name)));
        let _ = write!(
            text,
            "Copy the folder to that host and start the server in it, for example\n  \
             scp -rp {folder} HOST:herd\n  \
             ssh HOST 'cd herd && herd serve {}{}'\n",
            as_operand(&server.name),
            option.unwrap_or_default()
        );
    }
    let _ = writeln!(
        text,
        "Then delete it here: a program that has {}.key can pass for this server.",
        server.name
    );
    text
}

const HELP: &str = "\
herd keys [-c FILE]

Makes the keys with which the servers of a herd know each other: a certificate
authority for the herd, and for each server a certificate and a private key.
They are written to run/keys/ beside the herd file. What is there is kept, so
the command can be run again after a server was added to the file.

A herd wholly on this machine makes its keys by itself when its servers start.
For any other herd run this once, on one machine, and give each host the files
of its own server (--for). Keep herd-ca.key: new servers need it.

The certificates of servers are valid for two years, that of the authority for
ten. herd check and the log warn 30 days before one ends. PEM files of your own
authority work as well: put its certificate into herd-ca.pem, and NAME.pem and
NAME.key beside it, the name of the server as a DNS name in subjectAltName.

Options
  -c FILE        the herd file; without it herd.json in the current folder, or
                 the built-in herd
  --renew        makes new keys for the servers; they take them on SIGHUP
  --renew --authority
                 begins a change of the authority: makes a new one, and keeps
                 the old one trusted until you remove it from herd-ca.pem
  --for NAME     only the keys of this server
  --out DIR      with --for: writes all that its host needs into a new folder
  -h, --help     this help

Example
  herd keys -c herd.json
  herd keys -c herd.json --for Riley --out riley
  scp -rp riley HOST:herd

Exit status
  0  the keys are there
  1  a file cannot be read or written, or herd-ca.key is missing
  2  the command line or the herd file is wrong
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_do_not_fit_together_are_refused() {
        let mode = |given: &[&'static str]| {
            let options = given.iter().map(|&name| (name, "x".to_owned())).collect();
            mode(&Arguments { options, operands: Vec::new() }).map_err(|failure| failure.status)
        };
        assert_eq!(mode(&[]), Ok(Mode::Missing));
        assert_eq!(mode(&["renew", "for"]), Ok(Mode::RenewServers));
        assert_eq!(mode(&["renew", "authority"]), Ok(Mode::RenewAuthority));
        assert_eq!((mode(&["authority"]), mode(&["renew", "authority", "for"])), (Err(2), Err(2)));
    }
}
