//! The hosts: network namespaces on one bridge, each with a folder, and stand-ins for `ssh` and `scp` that reach them.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub struct Hosts {
    names: Vec<String>,
    /// The test has failed unless this is set at its end.
    has_succeeded: bool,
}

impl Hosts {
    /// Makes hosts with these names and addresses. All is in a file system that only this process and its children
    /// see.
    pub fn make(hosts: &[(&str, &str)]) -> Hosts {
        let names = hosts.iter().map(|(name, _)| (*name).to_owned()).collect();
        let made = Hosts { names, has_succeeded: false };
        shell("mount -t tmpfs tmpfs /run && mkdir /run/bin");
        shell("ip link set lo up && ip link add bridge0 type bridge && ip link set bridge0 up");
        for (number, (name, address)) in hosts.iter().enumerate() {
            fs::create_dir_all(folder(name)).unwrap();
            shell(&format!(
                "ip netns add {name} && ip link add port{number} type veth peer name eth0 netns {name}"
            ));
            shell(&format!("ip link set port{number} master bridge0 up"));
            made.run(
                name,
                &format!("ip link set lo up; ip addr add {address}/24 dev eth0; ip link set eth0 up"),
            )
            .unwrap();
        }
        let program = std::env::var_os("HERD_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_herd").into());
        symlink(fs::canonicalize(program).unwrap(), bin("herd")).unwrap();
        for (name, script) in [("ssh", SSH), ("scp", SCP)] {
            fs::write(bin(name), script).unwrap();
            fs::set_permissions(bin(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        made
    }

    /// Runs shell commands on a host, in its folder. Returns what they print, or if one fails, all of it and standard
    /// error.
    pub fn run(&self, host: &str, commands: &str) -> Result<String, String> {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{host}"))
            .args(["sh", "-euc", commands])
            .current_dir(folder(host));
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{BIN}:{path}")).env_remove("PLACES_API_KEY").stdin(Stdio::null());
        let output = command.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(printed);
        }
        Err(format!("on {host}: {commands}\n{printed}{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Writes a file into the folder of a host.
    pub fn write(&self, host: &str, file: &str, text: &str) {
        fs::write(folder(host).join(file), text).unwrap();
    }

    /// Connects from a host. A connection that the other side does not answer fails.
    pub fn connect(&self, from: &str, to: &str) -> std::io::Result<TcpStream> {
        let namespace = File::open(format!("/run/netns/{from}")).unwrap();
        let to: SocketAddr = to.parse().unwrap();
        // The thread has the network of the host, and so has the socket that it makes.
        thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let stream = TcpStream::connect_timeout(&to, UNANSWERED)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        })
        .join()
        .unwrap()
    }

    /// Makes a TLS connection from a host to the port of neighbours of Riley, with these options of openssl, and waits
    /// for its end.
    pub fn try_tls(&self, from: &str, options: &str) {
        let command = format!("openssl s_client -connect 192.0.2.11:12336 -quiet {options} || true");
        self.run(from, &command).unwrap();
    }

    /// The serial number of the certificate that is shown at this address.
    pub fn shown_serial(&self, address: &str) -> String {
        self.run(
            "operator",
            &format!("openssl s_client -connect {address} 2> /dev/null | openssl x509 -noout -serial"),
        )
        .unwrap()
    }

    /// The serial number of the certificate in the folder of a server.
    pub fn serial(&self, name: &str) -> String {
        self.run(name, &format!("openssl x509 -noout -serial -in herd/run/keys/{name}.pem")).unwrap()
    }

    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(folder(name).join(format!("herd/logs/{name}.log"))).unwrap_or_default()
    }

    /// Reports a location to a server, from its own host.
    pub fn report(&self, server: &str, id: &str, location: &str) {
        self.run(server, &format!("cd herd; herd send {server} 'IAMAT {id} {location} now'")).unwrap();
    }

    /// The AT line that a server has stored for a client; `None`: the client is unknown,
    /// or the server does not listen yet. It is asked from its own host.
    pub fn stored(&self, server: &str, id: &str) -> Option<String> {
        let replies =
            self.run(server, &format!("cd herd; herd send {server} 'WHATSAT {id} 1 0' || true")).unwrap();
        let line = replies.lines().next().unwrap_or_default();
        assert!(
            ["", "AT", "?"].contains(&line.split(' ').next().unwrap()),
            "{server} is asked for {id}: {replies}"
        );
        line.starts_with("AT ").then(|| line.to_owned())
    }

    /// Waits until all these servers have stored the same statement of a client. Returns the AT line.
    pub fn await_agreement(&self, servers: &[&str], id: &str) -> String {
        let mut lines = Vec::new();
        until(&format!("{servers:?} agree on {id}"), || {
            lines = servers.iter().map(|server| self.stored(server, id)).collect();
            lines[0].is_some() && lines.iter().all(|line| *line == lines[0])
        });
        lines.remove(0).unwrap()
    }

    /// The end of the test, after which nothing is shown.
    pub fn succeeded(&mut self) {
        self.has_succeeded = true;
    }
}

impl Drop for Hosts {
    /// Shows the ends of the logs of a failed test, since the files do not outlive it.
    fn drop(&mut self) {
        for name in self.names.iter().filter(|_| !self.has_succeeded) {
            let log = self.log(name);
            let lines: Vec<&str> = log.lines().collect();
            let errors = fs::read_to_string(folder(name).join("herd/serve.out")).unwrap_or_default();
            let last = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            eprintln!("--- {name}: {errors}\n{}", last.join("\n"));
        }
    }
}

/// Polls until `condition` is true. Panics when it is still false after [`PATIENCE`].
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "still waiting after {PATIENCE:?} until {what}");
        thread::sleep(POLL_INTERVAL);
    }
}

fn folder(host: &str) -> PathBuf {
    Path::new("/run/hosts").join(host)
}

fn bin(name: &str) -> PathBuf {
    Path::new(BIN).join(name)
}

fn shell(commands: &str) {
    let output = Command::new("sh").args(["-ec", commands]).output().unwrap();
    assert!(output.status.success(), "{commands}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The folder of the program and the stand-ins.
const BIN: &str = "/run/bin";

/// Runs a command in the folder and the network of a host.
const SSH: &str = r#"#!/bin/sh
host=$1
shift
cd "/run/hosts/$host" || exit 255
exec nsenter --net="/run/netns/$host" sh -c "$*"
"#;

/// Copies as scp does: the options that the page uses mean the same to cp.
const SCP: &str = r#"#!/bin/sh
for word do
  shift
  case $word in
    *:*) word=/run/hosts/${word%%:*}/${word#*:} ;;
  esac
  set -- "$@" "$word"
done
exec cp "$@"
"#;

const PATIENCE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How long a connection is waited for that a firewall drops. On a bridge of one machine an answer takes microseconds.
const UNANSWERED: Duration = Duration::from_millis(500);

/// Lines of each log that are shown after a failure.
const LINES_SHOWN: usize = 15;
