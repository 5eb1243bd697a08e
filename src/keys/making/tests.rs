use super::super::testing::{Authority as Operator, DAY, Folder, NOW, at, issued, set_mode};
use super::super::{Examination, ServerKeys, State, bundle, examine, of_server};
use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;

/// A herd of A and B, whose file would lie in this folder.
fn herd_in(folder: &Folder) -> HerdFile {
    herd_of(
        folder,
        r#""A": { "listen": "127.0.0.1:1", "talks_to": ["B"] }, "B": { "listen": "127.0.0.1:2" }"#,
    )
}

fn herd_of(folder: &Folder, servers: &str) -> HerdFile {
    let text = format!(r#"{{ "herd": "h", "servers": {{ {servers} }}, "peers": {{ "tls": true }} }}"#);
    HerdFile::parse(&text, &folder.path().join("herd.json")).unwrap()
}

fn make_all(herd: &HerdFile, mode: Mode, day: i64) -> Result<Vec<Made>, String> {
    let servers: Vec<&ServerSection> = herd.servers.iter().collect();
    make(herd, &servers, mode, at(NOW + day * DAY)).map_err(|error| error.to_string())
}

fn load(herd: &HerdFile, name: &str, day: i64) -> Result<ServerKeys, String> {
    ServerKeys::load_at(&folder_of(herd), name, at(NOW + day * DAY)).map_err(|error| error.to_string())
}

fn outcomes(made: &[Made]) -> Vec<Outcome> {
    made.iter().map(|made| made.outcome).collect()
}

/// The files of the folder of keys, with their contents.
fn files(herd: &HerdFile) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder_of(herd)).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut files: Vec<_> = entries.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect();
    files.sort();
    files
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn keys_are_made_once_and_kept() {
    let folder = Folder::new("made");
    let herd = herd_in(&folder);
    let made = make_all(&herd, Mode::Missing, 0).unwrap();
    let names: Vec<Option<&str>> = made.iter().map(|made| made.server.as_deref()).collect();
    assert_eq!((names, outcomes(&made)), (vec![None, Some("A"), Some("B")], vec![Outcome::Made; 3]));
    assert_eq!((made[0].last_day.as_str(), made[1].last_day.as_str()), ("2036-11-25", "2028-11-27"));
    let keys = folder_of(&herd);
    assert_eq!(mode_of(&keys), 0o700);
    let before = files(&herd);
    let names: Vec<&str> = before.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["A.key", "A.pem", "B.key", "B.pem", "herd-ca.key", "herd-ca.pem"]);
    for (name, text) in &before {
        let is_key = name.ends_with(".key");
        assert_eq!(mode_of(&keys.join(name)) & 0o077 == 0, is_key, "{name}");
        assert_eq!(text.contains("PRIVATE KEY"), is_key, "{name}");
    }
    let made = make_all(&herd, Mode::Missing, 1).unwrap();
    assert_eq!((outcomes(&made), files(&herd)), (vec![Outcome::Kept; 3], before));
}

#[test]
fn certificates_name_the_server_and_its_hosts() {
    let folder = Folder::new("names");
    let herd = herd_of(
        &folder,
        r#""A": { "listen": "0.0.0.0:1", "peers": "[::1]:2", "address": "a.example.org:2" },
           "B": { "listen": "[::ffff:192.0.2.1]:2", "address": "192.0.2.1:2" }"#,
    );
    make_all(&herd, Mode::Missing, 0).unwrap();
    assert_eq!(load(&herd, "A", 0).unwrap().certificate().unwrap().names(), ["A", "a.example.org"]);
    let address = |text: &str| SubjectName::Address(text.parse().unwrap());
    let dns = |text: &str| SubjectName::Dns(text.to_owned());
    assert_eq!(subject_names(&herd.servers[0]), [dns("A"), dns("a.example.org"), address("::1")]);
    assert_eq!(subject_names(&herd.servers[1]), [dns("B"), address("192.0.2.1")]);
}

#[test]
fn keys_are_valid_for_two_years() {
    let folder = Folder::new("years");
    let herd = herd_in(&folder);
    make_all(&herd, Mode::Missing, 0).unwrap();
    for day in [-1, 0, 730] {
        load(&herd, "A", day).unwrap();
    }
    assert!(load(&herd, "A", -2).unwrap_err().contains("not valid before"));
    assert!(load(&herd, "A", 731).unwrap_err().contains("expired on 2028-11-27"));
}

#[test]
fn a_server_that_is_added_gets_its_own_keys() {
    let folder = Folder::new("added");
    let herd = herd_in(&folder);
    let a = herd.server("A").unwrap();
    make(&herd, &[a], Mode::Missing, at(NOW)).unwrap();
    let before = files(&herd);
    assert_eq!(before.len(), 4);
    let made = make_all(&herd, Mode::Missing, 0).unwrap();
    assert_eq!(outcomes(&made), [Outcome::Kept, Outcome::Kept, Outcome::Made]);
    assert!(before.iter().all(|file| files(&herd).contains(file)));
    load(&herd, "B", 0).unwrap();
}

#[test]
fn renewing_replaces_the_keys_of_servers_and_keeps_the_authority() {
    let folder = Folder::new("renew");
    let herd = herd_in(&folder);
    make_all(&herd, Mode::Missing, 0).unwrap();
    let before = files(&herd);
    let made = make_all(&herd, Mode::RenewServers, 700).unwrap();
    assert_eq!(outcomes(&made), [Outcome::Kept, Outcome::Renewed, Outcome::Renewed]);
    for (old, new) in before.iter().zip(&files(&herd)) {
        assert_eq!(old == new, old.0.starts_with("herd-ca"), "{}", old.0);
    }
    load(&herd, "A", 1400).unwrap();
    // No certificate outlasts its authority.
    let made = make_all(&herd, Mode::RenewServers, 3600).unwrap();
    assert_eq!(made[1].last_day, made[0].last_day);
    let error = make_all(&herd, Mode::RenewServers, 3651).unwrap_err();
    assert!(error.contains("herd-ca.pem: the certificate expired on 2036-11-25; run herd keys"), "{error}");
}

#[test]
fn a_change_of_the_authority_keeps_every_link_trusted() {
    let folder = Folder::new("authority");
    let herd = herd_in(&folder);
    make_all(&herd, Mode::Missing, 0).unwrap();
    let old = load(&herd, "A", 0).unwrap();
    let made = make_all(&herd, Mode::RenewAuthority, 10).unwrap();
    assert_eq!(outcomes(&made), [Outcome::Renewed, Outcome::Kept, Outcome::Kept]);
    let during = load(&herd, "A", 10).unwrap();
    assert_eq!((during.authorities.len(), &during.authorities[1]), (2, &old.authorities[0]));
    assert_eq!(during.chain, old.chain);
    let error = make_all(&herd, Mode::RenewAuthority, 10).unwrap_err();
    assert!(error.contains("herd-ca.pem: a change of the authority is under way"), "{error}");
    // The new authority signs from now on, and the old one can be removed.
    make_all(&herd, Mode::RenewServers, 10).unwrap();
    let file = folder_of(&herd).join(AUTHORITIES);
    let pem = fs::read_to_string(&file).unwrap();
    fs::write(&file, pem.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap()).unwrap();
    assert_eq!(load(&herd, "A", 10).unwrap().authorities, [during.authorities[0].clone()]);
}

/// A process that ends between any two steps leaves one of these states.
#[test]
fn keys_that_were_half_made_are_completed_and_none_is_replaced() {
    let folder = Folder::new("whole");
    let herd = herd_in(&folder);
    make_all(&herd, Mode::Missing, 0).unwrap();
    let whole = files(&herd);
    let text = |name: &str| &whole.iter().find(|(file, _)| file == name).unwrap().1;
    let half = |name: &str| text(name)[..text(name).len() / 2].to_owned();
    let states: [&[(&str, String)]; 8] = [
        &[("herd-ca.key.new", half("herd-ca.key"))],
        &[("herd-ca.key.new", text("herd-ca.key").clone()), ("herd-ca.pem.new", half("herd-ca.pem"))],
        &[("herd-ca.key", text("herd-ca.key").clone()), ("herd-ca.pem.new", text("herd-ca.pem").clone())],
        &[("herd-ca.key", text("herd-ca.key").clone()), ("herd-ca.pem", text("herd-ca.pem").clone())],
        &[
            ("herd-ca.key", text("herd-ca.key").clone()),
            ("herd-ca.pem", text("herd-ca.pem").clone()),
            ("A.key.new", half("A.key")),
        ],
        &[
            ("herd-ca.key", text("herd-ca.key").clone()),
            ("herd-ca.pem", text("herd-ca.pem").clone()),
            ("A.key.new", text("A.key").clone()),
            ("A.pem.new", half("A.pem")),
        ],
        &[
            ("herd-ca.key", text("herd-ca.key").clone()),
            ("herd-ca.pem", text("herd-ca.pem").clone()),
            ("A.key", text("A.key").clone()),
            ("A.pem.new", text("A.pem").clone()),
        ],
        &[
            ("herd-ca.key", text("herd-ca.key").clone()),
            ("herd-ca.pem", text("herd-ca.pem").clone()),
            ("A.key", text("A.key").clone()),
            ("A.pem", text("A.pem").clone()),
        ],
    ];
    for (number, state) in states.into_iter().enumerate() {
        let folder = Folder::new(&format!("half-{number}"));
        let herd = herd_in(&folder);
        let keys = folder_of(&herd);
        fs::create_dir_all(&keys).unwrap();
        for (name, text) in state {
            fs::write(keys.join(name), text).unwrap();
            set_mode(&keys.join(name), 0o600);
        }
        make_all(&herd, Mode::Missing, 0).unwrap_or_else(|error| panic!("{number}: {error}"));
        load(&herd, "A", 0).unwrap_or_else(|error| panic!("{number}: {error}"));
        load(&herd, "B", 0).unwrap_or_else(|error| panic!("{number}: {error}"));
        let after = files(&herd);
        assert_eq!(after.len(), 6, "{number}: {after:?}");
        for (name, text) in state.iter().filter(|(name, _)| !name.ends_with(".new")) {
            assert_eq!(
                after.iter().find(|(file, _)| file == name).map(|(_, text)| text),
                Some(text),
                "{number}"
            );
        }
    }
}

#[test]
fn servers_that_start_at_the_same_time_get_fitting_keys() {
    let folder = Folder::new("race");
    let servers: Vec<String> =
        (1..=8).map(|n| format!(r#""S{n}": {{ "listen": "127.0.0.1:{n}" }}"#)).collect();
    let herd = herd_of(&folder, &servers.join(", "));
    let start = std::sync::Barrier::new(8);
    let authorities: Vec<_> = thread::scope(|scope| {
        let one = |n: usize| {
            start.wait();
            of_server(&herd, &format!("S{n}"), at(NOW)).unwrap().unwrap().authorities
        };
        let started: Vec<_> = (1..=8).map(|n| scope.spawn(move || one(n))).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(authorities.iter().all(|authority| authority.len() == 1 && *authority == authorities[0]));
    assert_eq!(files(&herd).len(), 18);
}

#[test]
fn only_a_herd_on_loopback_makes_its_keys_by_itself() {
    let folder = Folder::new("away");
    let away = herd_of(&folder, r#""A": { "listen": "127.0.0.1:1" }, "B": { "listen": "192.0.2.1:1" }"#);
    let error = of_server(&away, "A", at(NOW)).unwrap_err();
    assert!(error.is_missing() && error.to_string().contains("herd keys makes"), "{error}");
    assert!(!folder_of(&away).exists());
    let mut plain = herd_in(&folder);
    plain.peers.tls = false;
    assert!(of_server(&plain, "A", at(NOW)).unwrap().is_none() && !folder_of(&away).exists());
    make_all(&away, Mode::Missing, 0).unwrap();
    assert!(of_server(&away, "A", at(NOW)).unwrap().is_some());
    // A host needs its own keys only.
    for file in ["B.key", "B.pem", "herd-ca.key"] {
        fs::remove_file(folder_of(&away).join(file)).unwrap();
    }
    assert!(of_server(&away, "A", at(NOW)).unwrap().is_some());
    assert!(of_server(&away, "B", at(NOW)).unwrap_err().is_missing());
}

#[test]
fn nothing_is_made_from_keys_that_do_not_fit() {
    let folder = Folder::new("unfit");
    let herd = herd_in(&folder);
    let keys = folder_of(&herd);
    make_all(&herd, Mode::Missing, 0).unwrap();
    let refused = |mode: Mode, words: &str| {
        let before = files(&herd);
        let error = make_all(&herd, mode, 0).unwrap_err();
        assert!(error.contains(words), "{error}");
        assert_eq!(files(&herd), before);
    };
    let aside = |name: &str| fs::rename(keys.join(name), folder.path().join(name)).unwrap();
    let back = |name: &str| fs::rename(folder.path().join(name), keys.join(name)).unwrap();
    aside("A.key");
    refused(Mode::Missing, "A.key: no such file beside its certificate");
    back("A.key");
    aside("herd-ca.pem");
    refused(Mode::Missing, "herd-ca.pem: no such file, although A.pem is here");
    fs::write(keys.join("herd-ca.pem"), Operator::new("other").pem()).unwrap();
    refused(Mode::Missing, "herd-ca.key: fits no certificate in herd-ca.pem");
    back("herd-ca.pem");
    aside("herd-ca.key");
    refused(Mode::RenewServers, "herd-ca.key: no such file, and only with it");
    refused(Mode::RenewAuthority, "herd-ca.key: no such file");
    assert_eq!(outcomes(&make_all(&herd, Mode::Missing, 0).unwrap()), [Outcome::Kept; 3]);
    back("herd-ca.key");
    set_mode(&keys.join("herd-ca.key"), 0o640);
    refused(Mode::RenewServers, "herd-ca.key: others than its owner");
}

#[test]
fn a_bundle_is_what_one_host_needs() {
    let folder = Folder::new("bundle");
    let herd = herd_in(&folder);
    let file = folder.path().join("my.json");
    fs::write(&file, "{}").unwrap();
    make_all(&herd, Mode::Missing, 0).unwrap();
    let out = folder.path().join("out");
    let bundled =
        |out: &Path| bundle(&herd, Some(&file), "A", out, at(NOW)).map_err(|error| error.to_string());
    let paths = ["my.json", "run/keys/A.key", "run/keys/A.pem", "run/keys/herd-ca.pem"];
    assert_eq!(bundled(&out).unwrap(), paths.map(std::path::PathBuf::from));
    assert_eq!(fs::read(out.join("my.json")).unwrap(), b"{}");
    let there = HerdFile { folder: out.clone(), ..herd.clone() };
    load(&there, "A", 0).unwrap();
    assert_eq!(files(&there).len(), 3);
    assert_eq!((mode_of(&out), mode_of(&out.join("run/keys"))), (0o700, 0o700));
    assert_eq!(mode_of(&out.join("run/keys/A.key")), 0o600);
    assert!(bundled(&out).unwrap_err().contains("out: is not empty"));
    assert!(bundled(folder.path()).unwrap_err().contains("is not empty"));
}

#[test]
fn an_examination_finds_missing_wrong_and_good_keys() {
    let folder = Folder::new("examined");
    let herd = herd_in(&folder);
    let examined = |day: i64| {
        let Examination { authority, servers, .. } = examine(&herd, at(NOW + day * DAY));
        let state = |state: &State| match state {
            State::Good(expiry) => expiry.warning(NOW + day * DAY).unwrap_or("good".into()),
            State::Missing => "missing".to_owned(),
            State::Wrong(error) => error.to_string(),
        };
        (state(&authority), servers.iter().map(|(_, of_server)| state(of_server)).collect::<Vec<_>>())
    };
    assert_eq!(examined(0), ("missing".to_owned(), vec!["missing".to_owned(); 2]));
    let a = herd.server("A").unwrap();
    make(&herd, &[a], Mode::Missing, at(NOW)).unwrap();
    assert_eq!(examined(0), ("good".to_owned(), vec!["good".to_owned(), "missing".to_owned()]));
    assert!(examined(710).1[0].contains("A.pem expires on 2028-11-27, in 20 days"));
    assert!(examined(800).1[0].contains("A.pem: the certificate expired"));
    let keys = folder_of(&herd);
    set_mode(&keys.join("herd-ca.key"), 0o644);
    assert!(examined(0).0.contains("herd-ca.key: others than its owner"));
    set_mode(&keys.join("A.key"), 0o644);
    assert!(examined(0).1[0].contains("A.key: others than its owner"));
    set_mode(&keys.join("A.key"), 0o600);
    fs::remove_file(keys.join("herd-ca.pem")).unwrap();
    let (authority, servers) = examined(0);
    assert!(authority == "missing" && servers[0].contains("herd-ca.pem: no such file"));
}

#[test]
fn an_authority_of_an_operator_is_kept() {
    let folder = Folder::new("operators");
    let herd = herd_in(&folder);
    let keys = folder_of(&herd);
    fs::create_dir_all(&keys).unwrap();
    let operator = Operator::new("operator");
    fs::write(keys.join(AUTHORITIES), operator.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    fs::write(keys.join("A.pem"), operator.sign(issued(&["A"]), &key)).unwrap();
    fs::write(keys.join("A.key"), key.serialize_pem()).unwrap();
    set_mode(&keys.join("A.key"), 0o600);
    let before = files(&herd);
    let error = make_all(&herd, Mode::Missing, 0).unwrap_err();
    assert!(error.contains("can make B.pem and B.key; run it where this file is, or put a pair"), "{error}");
    assert_eq!(files(&herd), before);
    load(&herd, "A", 0).unwrap();
}
