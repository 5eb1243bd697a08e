//! The command line as a user sees it: help, errors, exit statuses, and `herd send` to simple servers. Needs
//! no running herd.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// A temporary current folder for the program, without a herd file unless the test writes one.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("herd-command-line-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    /// Writes `herd.json` with one server, Solo, at the address.
    fn with_server(test: &str, address: SocketAddr) -> Folder {
        let folder = Folder::new(test);
        let text = format!(
            r#"{{ "herd": "h", "servers": {{ "Solo": {{ "listen": "{address}" }} }},
                "places": {{ "timeout_ms": 10 }} }}"#
        );
        fs::write(folder.0.join("herd.json"), text).unwrap();
        folder
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_herd"));
        command.args(arguments).current_dir(&self.0).env_remove("HERD_PARENT").stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs the program and returns its error, which is one line.
    fn fails(&self, arguments: &[&str], status: i32) -> String {
        let output = self.run(arguments);
        failure(&output, status)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn failure(output: &Output, status: i32) -> String {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(status), "{error}");
    let line = error.strip_prefix("herd: ").and_then(|rest| rest.strip_suffix('\n')).unwrap_or_default();
    assert!(!line.is_empty() && !line.contains('\n'), "{error:?} is not one line");
    line.to_owned()
}

fn success(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*error), (Some(0), ""));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Accepts one connection and passes it to `act`.
fn serve<T: Send + 'static>(
    listener: TcpListener,
    act: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> JoinHandle<T> {
    thread::spawn(move || act(listener.accept().unwrap().0))
}

#[test]
fn help_and_version_go_to_standard_output() {
    let folder = Folder::new("help");
    let all = success(&folder.run(&["--help"]));
    for command in ["run-all", "send", "serve", "places", "token", "check"] {
        assert!(all.contains(&format!("\n  herd {command} ")), "{all}");
        let help = success(&folder.run(&[command, "--help"]));
        assert!(help.starts_with(&format!("herd {command} ")), "{help}");
        assert_eq!(success(&folder.run(&[command, "-h"])), help);
        assert_eq!(success(&folder.run(&["help", command])), help);
    }
    let version = success(&folder.run(&["--version"]));
    assert_eq!(version, format!("herd {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_closed_pipe_is_success_and_a_full_disk_is_a_failure() {
    let folder = Folder::new("reader");
    for arguments in [&["--help"][..], &["check"], &["serve", "--help"]] {
        let mut child = folder.start(arguments);
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = folder.command(&["--help"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(failure(&output, 1), "standard output cannot be written: No space left on device");
}

#[test]
fn wrong_command_lines_are_explained() {
    let folder = Folder::new("wrong");
    for (arguments, words) in [
        (&[][..], "no command: expected one of run-all, send"),
        (&["fly"], "unknown command \"fly\""),
        (&["serv", "Riley"], "did you mean serve?"),
        (&["--fly"], "unknown option \"--fly\""),
        (&["a\nb\u{1b}[2J"], "unknown command"),
        (&["serve"], "NAME is missing: write herd serve NAME [-c FILE]; see herd serve --help"),
        (&["serve", "Riley", "Jaquez"], "unexpected argument \"Jaquez\""),
        (&["serve", "Riley", "--fly"], "unknown option \"--fly\""),
        (&["serve", "Riley", "-c"], "-c needs a value: write -c FILE"),
        (&["serve", "riley"], "did you mean Riley?"),
        (&["send"], "NAME is missing"),
        (&["send", "Riley"], "LINE is missing"),
        (&["send", "Mallory", "FOO"], "unknown server \"Mallory\" in the built-in herd bruins"),
        (&["send", "Riley", "A\nB"], "LINE 1 contains a line end"),
        (&["check", "herd.json"], "unexpected argument \"herd.json\""),
        (&["check", "-c", "no.json"], "no.json: no such file"),
        (&["run-all", "-c", "no.json"], "no.json: no such file"),
        (&["run-all", "Riley"], "unexpected argument \"Riley\""),
        (&["token"], "NAME is missing: write herd token NAME"),
        (&["token", "ada"], "the herd file has no http.tokens"),
        (&["token", "ada", "--may"], "--may needs a value: write --may SCOPE"),
        (&["token", "ada", "bob"], "unexpected argument \"bob\""),
        (&["places", "-l", "127.0.0.1"], "-l HOST:PORT: \"127.0.0.1\" has no port"),
        (&["places", "-l", "example.org:1"], "is a host name"),
        (&["places", "-c", "herd.json"], "unknown option \"-c\""),
    ] {
        let line = folder.fails(arguments, 2);
        assert!(line.contains(words), "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
    }
}

#[test]
fn an_argument_that_is_not_utf_8_is_refused() {
    let folder = Folder::new("bytes");
    let mut command = folder.command(&["send", "Riley"]);
    let output = command.arg(OsStr::from_bytes(b"\xff")).output().unwrap();
    assert!(failure(&output, 2).contains("is not UTF-8"));
}

#[test]
fn check_draws_the_herd_or_names_the_wrong_place() {
    let folder = Folder::new("check");
    let built_in = success(&folder.run(&["check"]));
    assert!(built_in.starts_with("bruins: 5 servers, 6 edges\n"), "{built_in}");
    let solo = r#"{ "herd": "h", "servers": { "Solo": { "listen": "127.0.0.1:1" } } }"#;
    fs::write(folder.0.join("solo.json"), solo).unwrap();
    assert!(success(&folder.run(&["check", "-c", "solo.json"])).starts_with("h: 1 server, 0 edges\n"));
    fs::write(folder.0.join("herd.json"), solo.replace(":1", "")).unwrap();
    for arguments in [&["check"][..], &["serve", "Solo"], &["run-all"], &["send", "Solo", "FOO"]] {
        let line = folder.fails(arguments, 2);
        assert!(line.starts_with("herd.json: servers.Solo.listen: \"127.0.0.1\" has no port"), "{line}");
    }
}

/// The folder of another server, of a later version, or something else than a folder is found by `check` and at the start of
/// a server, and nothing is changed in it.
#[test]
fn a_store_of_another_server_is_found_at_the_start() {
    let folder = Folder::new("foreign-store");
    let text = r#"{ "herd": "h", "servers": { "Solo": { "listen": "127.0.0.1:0" } }, "places": { "key_env": null,
        "url": "http://127.0.0.1:1" }, "peers": { "tls": false }, "store": { "dir": "store" } }"#;
    // Only a server that is not refused would need a port.
    fs::write(
        folder.0.join("herd.json"),
        text.replace(":0", &format!(":{}", listen().local_addr().unwrap().port())),
    )
    .unwrap();
    let store = folder.0.join("store/Solo");
    let fails = |words: &str| {
        for arguments in [&["check"][..], &["serve", "Solo"]] {
            let line = failure(&folder.run(arguments), 1);
            assert!(
                line.starts_with("the store of Solo in store/Solo cannot be used: ") && line.contains(words),
                "{line}"
            );
        }
    };
    assert!(success(&folder.run(&["check"])).contains("h: 1 server"), "there is no folder yet");
    fs::create_dir(folder.0.join("store")).unwrap();
    fs::write(&store, "").unwrap();
    fails("Not a directory");
    fs::remove_file(&store).unwrap();
    fs::create_dir(&store).unwrap();
    let refused = [
        ("HERD 1 h Other 1 0 0", "00000001.log is of server Other of the herd h"),
        ("HERD 1 bruins Solo 1 0 0", "00000001.log is of server Solo of the herd bruins"),
        ("HERD 2 h Solo 1 0 0 more", "00000001.log has version 2 of the format"),
    ];
    for (header, words) in refused {
        fs::write(store.join("00000001.log"), store_file(header)).unwrap();
        fails(words);
        let names: Vec<_> = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["00000001.log"]);
    }
    fs::write(store.join("00000001.log"), store_file("HERD 1 h Solo 1 0 0")).unwrap();
    success(&folder.run(&["check"]));
}

/// A file of a store with one frame (docs/protocol.md, section 7).
fn store_file(line: &str) -> Vec<u8> {
    let content = format!("{line}\n").into_bytes();
    let (length, number) = ((content.len() as u32).to_le_bytes(), 0u64.to_le_bytes());
    let checksum = crc32c::crc32c(&[&length[..], &number, &content].concat());
    [&length[..], &checksum.to_le_bytes(), &number, &content].concat()
}

/// `herd places --near` prints what it would answer: the embedded places with their source, or those of a file.
#[test]
fn places_near_a_location_are_printed() {
    let folder = Folder::new("near");
    let near = ["places", "--near", "+34.068930-118.445127"];
    let embedded = success(&folder.run(&near));
    assert!(embedded.lines().count() > 2 && embedded.contains("GeoNames"), "{embedded}");
    fs::write(folder.0.join("mine.tsv"), "# mine\nCafe\t34.07\t-118.44\tcafe\tMain St\n").unwrap();
    let with_data = [&near[..], &["--data", "mine.tsv", "--radius", "5"]].concat();
    assert_eq!(success(&folder.run(&with_data)), " 0.5 km  Cafe, Main St\n");
    fs::write(folder.0.join("mine.tsv"), "Cafe\t34.07\t-118.44\nBar\t95\t0\nNo\n").unwrap();
    for arguments in [&with_data[..], &["places", "-l", "127.0.0.1:1", "--data", "mine.tsv"]] {
        let line = folder.fails(arguments, 2);
        assert!(line.starts_with("mine.tsv:2: expected a latitude in degrees"), "{line}");
    }
    assert!(folder.fails(&["places", "--data", "none.tsv"], 2).starts_with("none.tsv: "));
}

/// Faults of the key and of `places.trust` are found by `check` and at the start of a server, and the key is in
/// no message.
#[test]
fn a_key_or_trust_that_is_not_usable_is_found_at_the_start() {
    let folder = Folder::new("places");
    let fails = |places: &str, key: Option<&[u8]>, words: &str| {
        let text = format!(
            r#"{{ "herd": "h", "servers": {{ "Solo": {{ "listen": "127.0.0.1:1" }} }}, "places": {places} }}"#
        );
        fs::write(folder.0.join("herd.json"), text).unwrap();
        for arguments in [&["check"][..], &["serve", "Solo"]] {
            let mut command = folder.command(arguments);
            command.env_remove("PLACES_API_KEY");
            key.map(|key| command.env("PLACES_API_KEY", OsStr::from_bytes(key)));
            let line = failure(&command.output().unwrap(), 1);
            assert!(line.contains(words) && !line.contains("AIza"), "{arguments:?}: {line}");
        }
    };
    let variable = "the key in the environment variable PLACES_API_KEY: expected printable ASCII, got ";
    fails("{}", Some(b"AIzaTestKey12345\r"), &format!("{variable}a line end as byte 17"));
    fails("{}", Some(b"AIza\xffkey"), &format!("{variable}another byte as byte 5"));
    fails(
        r#"{ "trust": "ca.pem" }"#,
        Some(b"AIza"),
        "places.trust: the root certificates in ca.pem cannot be read",
    );
    fs::write(folder.0.join("ca.pem"), "nothing in PEM").unwrap();
    fails(r#"{ "trust": "ca.pem" }"#, Some(b"AIza"), "places.trust: ca.pem holds no certificate");
    let local = r#"{ "url": "https://localhost:21491", "trust": "places-ca-21491.pem""#;
    fails(&format!("{local} }}"), None, "needs none; write \"key_env\": null");
    let missing = "cannot be read: No such file or directory (os error 2); herd places -l HOST:21491 writes";
    fails(&format!("{local}, \"key_env\": null }}"), None, missing);
}

#[test]
fn herd_keys_makes_what_is_missing() {
    let folder = Folder::new("keys");
    let herd = |tls: bool, servers: &str| {
        let text = format!(r#"{{ "herd": "h", "servers": {{ {servers} }}, "peers": {{ "tls": {tls} }} }}"#);
        fs::write(folder.0.join("herd.json"), text).unwrap();
    };
    let (a, b) = (r#""A": { "listen": "127.0.0.1:1" }"#, r#""B": { "listen": "192.0.2.1:2" }"#);
    let keys = folder.0.join("run/keys");
    let said = |arguments: &[&str]| {
        let output = folder.run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && error.is_empty(), "{arguments:?}: {error}");
        for file in fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().path()) {
            let secret = fs::read_to_string(&file).unwrap();
            let mut lines = secret.lines().filter(|line| line.len() > 40);
            assert!(!lines.any(|line| text.contains(line)), "{text}");
        }
        text
    };

    herd(false, a);
    assert!(folder.fails(&["keys"], 2).contains("peers.tls is false"));
    herd(true, a);
    fs::create_dir_all(&keys).unwrap();
    assert!(said(&["check"]).contains("\nKeys    run/keys: none yet; each server makes its own"));
    assert!(said(&["keys"]).contains("  A.pem, A.key              made, valid to "));
    assert!(
        said(&["check"])
            .contains("\nKeys    run/keys: 1 server; the first certificate that ends is A.pem, on ")
    );

    herd(true, &format!("{a}, {b}"));
    assert!(folder.fails(&["serve", "B"], 1).starts_with("run/keys/B.pem: no such file; herd keys makes"));
    assert!(said(&["check"]).contains("1 of 2 servers; on this host are none of B"));
    let text = said(&["keys"]);
    assert!(
        text.contains("A.key              kept, ") && text.contains("B.key              made, "),
        "{text}"
    );
    let text = said(&["keys", "--for", "B", "--out", "b"]);
    assert!(text.contains("  run/keys/B.key\n"), "{text}");
    assert!(text.contains("  scp -rp b HOST:herd\n  ssh HOST 'cd herd && herd serve B'\n"), "{text}");
    assert!(folder.0.join("b/run/keys/B.key").exists() && !folder.0.join("b/run/keys/herd-ca.key").exists());
    assert!(folder.fails(&["keys", "--for", "B", "--out", "b"], 1).starts_with("b: is not empty"));
    assert!(folder.fails(&["keys", "--for", "B"], 2).contains("write --for NAME --out DIR"));
    assert!(folder.fails(&["keys", "--out", "b"], 2).contains("write --for NAME --out DIR"));
    assert!(folder.fails(&["keys", "--for", "C", "--out", "c"], 2).starts_with("unknown server \"C\""));
    assert!(said(&["keys", "--renew"]).contains("B.key              renewed, "));
    // A folder copied as a whole would end up within the one that is there.
    let text = said(&["keys", "--renew", "--for", "B", "--out", "renewed"]);
    assert!(text.contains("  scp -p renewed/run/keys/* HOST:herd/run/keys/\n"), "{text}");
    assert!(!said(&["check"]).contains("a change of the authority is under way"));
    assert!(said(&["keys", "--renew", "--authority"]).contains("To end the change\n  1. bring "));
    let text = said(&["check"]);
    assert!(
        text.contains("herd-ca.pem holds 2 certificates: a change of the authority is under way"),
        "{text}"
    );
    assert!(
        folder
            .fails(&["keys", "--renew", "--authority"], 1)
            .contains("a change of the authority is under way")
    );

    fs::write(keys.join("A.pem"), fs::read(keys.join("B.pem")).unwrap()).unwrap();
    let line = failure(&folder.run(&["check"]), 1);
    assert!(line.starts_with("run/keys/A.key: does not fit the certificate beside it"), "{line}");
    fs::remove_dir_all(&keys).unwrap();
    let line = failure(&folder.run(&["check"]), 1);
    assert!(line.starts_with("run/keys: no server of this herd has keys here; run herd keys"), "{line}");
}

/// A token is printed once; the file has its hash, and is always complete and its owner's.
#[test]
fn herd_token_makes_lists_and_removes_tokens() {
    let folder = Folder::new("token");
    let text = r#"{ "herd": "h", "servers": { "Solo": { "listen": "127.0.0.1:1", "http": "127.0.0.1:2" } },
        "http": { "tokens": "secret/tokens.json" } }"#;
    fs::create_dir(folder.0.join("config")).unwrap();
    fs::write(folder.0.join("config/herd.json"), text).unwrap();
    let file = folder.0.join("config/secret/tokens.json");
    fn token<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
        [&["token", "-c", "config/herd.json"][..], arguments].concat()
    }
    let said = |arguments: &[&str]| success(&folder.run(&token(arguments)));
    let fails = |arguments: &[&str], status: i32| folder.fails(&token(arguments), status);

    assert!(
        fails(&["--list"], 1)
            .starts_with("config/secret/tokens.json: no such file; herd token NAME makes it")
    );
    let ada = said(&["ada"]);
    let secret = ada.strip_suffix('\n').unwrap();
    assert!(secret.len() == 32 && !secret.contains(char::is_whitespace), "{ada:?}");
    let kept = fs::read_to_string(&file).unwrap();
    assert!(!kept.contains(secret) && kept.contains(r#""may":["report:ada*","read:ada*"]"#), "{kept}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_ne!(said(&["monitor", "--may", "operate", "--may", "read:*", "--may", "operate"]), ada);
    assert_eq!(said(&["--list"]), "ada      report:ada* read:ada*\nmonitor  operate read:*\n");

    assert!(
        fails(&["ada"], 1).contains("there is a token \"ada\" in config/secret/tokens.json; run herd token")
    );
    assert!(fails(&["bob", "--may", "raed:*"], 2).starts_with("--may: expected report:PREFIX*"));
    assert!(fails(&["a b"], 1).contains("has white space"));
    assert!(fails(&["zoe", "--remove"], 1).contains("there is no token \"zoe\" in it"));
    let all = said(&["bob", "--qr"]);
    let secret = all.lines().next().unwrap();
    assert!(all.contains(&format!("server URL http://127.0.0.1:2/t/{secret}/\n")), "{all}");
    assert!(all.contains("OwnTracks: scan this on the phone\n"), "{all}");
    assert_eq!(said(&["ada", "--remove"]), "ada is removed; servers refuse it after SIGHUP\n");
    assert_eq!(said(&["--list"]), "monitor  operate read:*\nbob      report:bob* read:bob*\n");
    let names: Vec<_> =
        fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["tokens.json"]);

    let kept = fs::read_to_string(&file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(fails(&["eve"], 1).contains("others than its owner may use this file (mode 644); run chmod 600"));
    assert_eq!(fs::read_to_string(&file).unwrap(), kept);
}

/// Tokens that are made at the same time are all in the file.
#[test]
fn tokens_made_at_the_same_time_are_all_kept() {
    let folder = Folder::new("tokens");
    let text =
        r#"{ "herd": "h", "servers": { "Solo": { "listen": "127.0.0.1:1" } }, "http": { "tokens": "t" } }"#;
    fs::write(folder.0.join("herd.json"), text).unwrap();
    let children: Vec<Child> = (0..8).map(|n| folder.start(&["token", &format!("n{n}")])).collect();
    for child in children {
        success(&child.wait_with_output().unwrap());
    }
    assert_eq!(success(&folder.run(&["token", "--list"])).lines().count(), 8);
}

#[test]
fn run_all_does_not_start_a_second_herd_on_the_same_ports() {
    let listener = listen();
    let folder = Folder::with_server("taken", listener.local_addr().unwrap());
    let line = folder.fails(&["run-all"], 1);
    let address = listener.local_addr().unwrap();
    assert!(
        line.starts_with(&format!("Solo cannot listen on {address}: Address already in use; ")),
        "{line}"
    );
}

#[test]
fn a_child_without_its_parent_does_not_start() {
    let folder = Folder::new("orphan");
    for arguments in [&["serve", "Riley"][..], &["places"]] {
        let mut command = folder.command(arguments);
        let line = failure(&command.env("HERD_PARENT", "1").output().unwrap(), 1);
        assert!(line.starts_with("process 1, named in HERD_PARENT, is not the parent"), "{line}");
        let line = failure(&command.env("HERD_PARENT", "Riley").output().unwrap(), 2);
        assert!(line.contains("unset it"), "{line}");
    }
}

#[test]
fn send_sends_each_line_and_prints_the_replies() {
    let listener = listen();
    let folder = Folder::with_server("send", listener.local_addr().unwrap());
    let server = serve(listener, |mut stream| {
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        stream.write_all(b"AT Solo +1 a +1-1 5\n? \xff\nlast").unwrap();
        received
    });
    let output = folder.run(&["send", "Solo", "FOO bar", "", "-", "--", "-x"]);
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
    assert_eq!(output.stdout, b"AT Solo +1 a +1-1 5\n? \xff\nlast");
    assert_eq!(server.join().unwrap(), b"FOO bar\n\n-\n-x\n");
}

/// The reason stands on standard error, one line for each refused command.
#[test]
fn send_explains_refusals() {
    let refused = |test: &str, lines: &[&str]| {
        let listener = listen();
        let folder = Folder::with_server(test, listener.local_addr().unwrap());
        let server = serve(listener, |mut stream| {
            let mut received = String::new();
            stream.read_to_string(&mut received).unwrap();
            let replies: String = received.lines().map(|line| format!("? {line}\n")).collect();
            stream.write_all(replies.as_bytes()).unwrap();
            replies
        });
        let output = folder.run(&[&["send", "Solo"], lines].concat());
        assert_eq!(String::from_utf8_lossy(&output.stdout), server.join().unwrap());
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let error = refused("mistakes", &["IAMAT kiwi 34-118 5", "WHATSAT kiwi 10 21"]);
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(lines[0].starts_with("herd: Solo refused \"IAMAT kiwi 34-118 5\": location: "), "{error}");
    assert!(lines[1].starts_with("herd: Solo refused \"WHATSAT kiwi 10 21\": bound: "), "{error}");
    let error = refused("unquoted", &["IAMAT", "kiwi", "+34-118", "5"]);
    assert!(error.contains("in quotes") && error.lines().count() == 1, "{error}");
    let error = refused("unknown", &["FOO"]);
    assert_eq!(
        error,
        "herd: Solo refused \"FOO\": unknown command \"FOO\": expected IAMAT, WHATSAT, NEAR, FOLLOW or FORGET\n"
    );
}

#[test]
fn send_replaces_now_by_the_present() {
    let listener = listen();
    let folder = Folder::with_server("now", listener.local_addr().unwrap());
    let server = serve(listener, |mut stream| {
        let mut received = String::new();
        stream.read_to_string(&mut received).unwrap();
        received
    });
    success(&folder.run(&["send", "Solo", "IAMAT kiwi +34-118 now"]));
    let line = server.join().unwrap();
    let time: f64 = line.strip_prefix("IAMAT kiwi +34-118 ").unwrap().trim_end().parse().unwrap();
    let present = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((present - 600.0..=present).contains(&time), "{line}");
}

#[test]
fn send_reads_standard_input_to_its_end() {
    let listener = listen();
    let folder = Folder::with_server("stdin", listener.local_addr().unwrap());
    let server = serve(listener, |mut stream| {
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        stream.write_all(&received).unwrap();
    });
    let mut child = folder.start(&["send", "Solo", "-"]);
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"a\xff\n").unwrap();
    thread::sleep(Duration::from_millis(100));
    input.write_all(b"no line end").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
    assert_eq!(output.stdout, b"a\xff\nno line end");
    server.join().unwrap();
}

#[test]
fn send_reads_replies_while_it_sends() {
    // More in both directions than the socket buffers hold, so that each side blocks unless the other reads.
    const BYTES: usize = 32 << 20;
    let listener = listen();
    let folder = Folder::with_server("much", listener.local_addr().unwrap());
    let server = serve(listener, |mut stream| {
        let (mut received, mut buffer) = (0, vec![0; 1 << 16]);
        loop {
            let length = stream.read(&mut buffer).unwrap();
            if length == 0 {
                return received;
            }
            received += length;
            stream.write_all(&buffer[..length]).unwrap();
        }
    });
    let lines = folder.0.join("lines");
    fs::write(&lines, vec![b'x'; BYTES]).unwrap();
    let mut command = folder.command(&["send", "Solo", "-"]);
    let output = command.stdin(fs::File::open(&lines).unwrap()).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), BYTES));
    assert_eq!(server.join().unwrap(), BYTES);
}

#[test]
fn send_names_a_server_that_cannot_be_reached() {
    // A socket that is bound but does not listen refuses connections, and keeps its port.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let folder = Folder::with_server("refused", address);
    assert_eq!(
        folder.fails(&["send", "Solo", "FOO"], 1),
        format!("cannot reach Solo at {address}: Connection refused; start it with herd serve Solo")
    );
    assert!(
        folder
            .fails(&["send", "-c", "herd.json", "Solo", "FOO"], 1)
            .ends_with("start it with herd serve -c herd.json Solo")
    );
}

#[test]
fn send_fails_when_a_connection_ends_early() {
    let end = |test: &str, act: fn(TcpStream)| {
        let listener = listen();
        let folder = Folder::with_server(test, listener.local_addr().unwrap());
        let server = serve(listener, act);
        let mut child = folder.start(&["send", "Solo", "-"]);
        // Kept open, so that standard input does not end.
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"FOO\n").unwrap();
        let output = child.wait_with_output().unwrap();
        server.join().unwrap();
        assert_eq!(output.stdout, b"half a reply");
        failure(&output, 1)
    };
    let closed = end("closed", |mut stream| {
        stream.write_all(b"half a reply").unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
    });
    assert!(closed.contains(" closed the connection before everything was sent; its log has"), "{closed}");
    let reset = end("reset", |mut stream| {
        stream.write_all(b"half a reply").unwrap();
        stream.read_exact(&mut [0; 1]).unwrap();
        thread::sleep(Duration::from_millis(300));
    });
    assert!(reset.contains(" failed: Connection reset by peer; the log of the server"), "{reset}");
}
