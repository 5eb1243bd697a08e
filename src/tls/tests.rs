//! The keys of links: two sessions that talk to each other, without a loop.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};

use super::LinkKeys;
use super::testing::Authority;
use crate::keys::ServerKeys;
use crate::protocol::{TlsKeys, TlsPeer, TlsSession};

/// The two sides of a connection.
struct Pair {
    dialler: Box<dyn TlsSession>,
    acceptor: Box<dyn TlsSession>,
}

impl Pair {
    fn new(dialler: &LinkKeys, name: &str, acceptor: &LinkKeys) -> Pair {
        Pair {
            dialler: dialler.dialling(name).session().unwrap(),
            acceptor: acceptor.accepting().session().unwrap(),
        }
    }

    /// Carries bytes between the sides until there are none. The error is that of the side that failed first.
    fn exchange(&mut self) -> Result<(), String> {
        loop {
            let (to_acceptor, to_dialler) = (output(&mut self.dialler), output(&mut self.acceptor));
            if to_acceptor.is_empty() && to_dialler.is_empty() {
                return Ok(());
            }
            let accepted =
                give(&mut self.acceptor, &to_acceptor).map_err(|error| format!("acceptor: {error}"));
            accepted
                .and(give(&mut self.dialler, &to_dialler).map_err(|error| format!("dialler: {error}")))?;
        }
    }
}

fn output(session: &mut Box<dyn TlsSession>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while session.has_output() {
        session.send(&mut bytes).unwrap();
    }
    bytes
}

fn give(session: &mut Box<dyn TlsSession>, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        session.receive(&mut bytes)?;
    }
    Ok(())
}

fn link_keys(authority: &Authority, name: &str) -> LinkKeys {
    LinkKeys::new(&authority.keys(name)).unwrap()
}

/// The outcome when Riley dials Jaquez: the names that each side has seen, or the error.
fn dial(dialler: &LinkKeys, acceptor: &LinkKeys) -> Result<(Vec<String>, Vec<String>), String> {
    let mut pair = Pair::new(dialler, "Jaquez", acceptor);
    pair.exchange()?;
    assert!(!pair.dialler.is_handshaking() && !pair.acceptor.is_handshaking());
    let names = |session: &Box<dyn TlsSession>| session.peer().map(|peer| peer.names);
    let both = (names(&pair.dialler), names(&pair.acceptor));
    Ok((both.0.map_err(|error| error.to_string())?, both.1.map_err(|error| error.to_string())?))
}

#[test]
fn each_side_learns_the_names_of_the_other() {
    let authority = Authority::new();
    let (riley, jaquez) = (link_keys(&authority, "Riley"), link_keys(&authority, "Jaquez"));
    let expected = (vec!["Jaquez".to_owned()], vec!["Riley".to_owned()]);
    assert_eq!(dial(&riley, &jaquez), Ok(expected.clone()));
    assert_eq!(dial(&riley, &jaquez), Ok(expected), "resumed");
}

#[test]
fn a_redial_resumes_the_session() {
    let authority = Authority::new();
    let (riley, jaquez) = (link_keys(&authority, "Riley"), link_keys(&authority, "Jaquez"));
    let mut flights = Vec::new();
    for _ in 0..3 {
        let mut pair = Pair::new(&riley, "Jaquez", &jaquez);
        let hello = output(&mut pair.dialler);
        give(&mut pair.acceptor, &hello).unwrap();
        let answer = output(&mut pair.acceptor);
        flights.push(answer.len());
        give(&mut pair.dialler, &answer).unwrap();
        pair.exchange().unwrap();
    }
    // The first answer has a certificate, the others do not.
    assert!(flights[1] < flights[0] && flights[2] == flights[1], "{flights:?}");
}

#[test]
fn a_certificate_of_another_name_authority_or_time_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (riley, jaquez) = (link_keys(&authority, "Riley"), link_keys(&authority, "Jaquez"));
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut parameters = CertificateParams::new(vec!["Jaquez".to_owned()]).unwrap();
        change(&mut parameters);
        let (certificate, key) = authority.sign_with(parameters);
        let keys = ServerKeys { authorities: vec![authority.certificate()], chain: vec![certificate], key };
        LinkKeys::new(&keys).unwrap()
    };
    let of_other = {
        let keys = other.keys("Jaquez");
        LinkKeys::new(&ServerKeys { authorities: vec![authority.certificate()], ..keys }).unwrap()
    };
    let expired = with(&|parameters| {
        (parameters.not_before, parameters.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    });
    let early = with(&|parameters| parameters.not_before = date_time_ymd(4000, 1, 1));
    let nameless = with(&|parameters| parameters.subject_alt_names.clear());
    let server_only =
        with(&|parameters| parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    for (keys, as_server, as_client) in [
        (&of_other, "its certificate is of no authority in herd-ca.pem", Some("of no authority in")),
        (&expired, "its certificate has expired", Some("its certificate has expired")),
        (&early, "its certificate is not valid yet", Some("its certificate is not valid yet")),
        (&nameless, "its certificate has another name", None),
        (&link_keys(&authority, "Juzang"), "its certificate has another name", None),
        (&link_keys(&authority, "*.Jaquez"), "its certificate has another name", None),
        (&server_only, "", Some("needs serverAuth and clientAuth")),
    ] {
        match dial(&riley, keys) {
            Err(error) => assert!(error.contains(as_server) && !as_server.is_empty(), "{error}"),
            Ok(_) => assert!(as_server.is_empty()),
        }
        match (dial(keys, &jaquez), as_client) {
            (Err(error), Some(words)) => assert!(error.contains(words), "{error}"),
            (done, words) => assert!(done.is_ok() && words.is_none(), "{done:?}"),
        }
    }
}

#[test]
fn a_client_without_a_certificate_is_let_in_without_a_name() {
    let authority = Authority::new();
    let jaquez = link_keys(&authority, "Jaquez");
    let client = super::Client::new(authority.client(), "Jaquez".try_into().unwrap());
    let mut pair = Pair::new(&jaquez, "Jaquez", &jaquez);
    pair.dialler = crate::protocol::TlsSettings::session(&client).unwrap();
    pair.exchange().unwrap();
    assert_eq!(pair.acceptor.peer().unwrap(), TlsPeer::default());
}

#[test]
fn a_session_of_removed_keys_is_not_resumed() {
    let (old, new) = (Authority::new(), Authority::new());
    let riley = {
        let mut keys = old.keys("Riley");
        keys.authorities.push(new.certificate());
        LinkKeys::new(&keys).unwrap()
    };
    let both = {
        let mut keys = old.keys("Jaquez");
        keys.authorities.push(new.certificate());
        keys
    };
    assert!(dial(&riley, &LinkKeys::new(&both).unwrap()).is_ok());
    let only_new = ServerKeys { authorities: vec![new.certificate()], ..both };
    let error = dial(&riley, &LinkKeys::new(&only_new).unwrap()).unwrap_err();
    assert_eq!(error, "acceptor: its certificate is of no authority in herd-ca.pem");
}

#[test]
fn the_certificate_of_a_link_is_verified_against_new_authorities() {
    let (old, new) = (Authority::new(), Authority::new());
    let (riley, jaquez) = (link_keys(&old, "Riley"), link_keys(&old, "Jaquez"));
    let mut pair = Pair::new(&riley, "Jaquez", &jaquez);
    pair.exchange().unwrap();
    for peer in [pair.dialler.peer().unwrap(), pair.acceptor.peer().unwrap()] {
        assert!(riley.verify(&peer).is_ok());
        let error = link_keys(&new, "Riley").verify(&peer).unwrap_err();
        assert_eq!(error.to_string(), "its certificate is of no authority in herd-ca.pem");
    }
    assert!(riley.verify(&TlsPeer::default()).is_err());
}

#[test]
fn a_name_that_is_no_dns_name_cannot_be_dialled() {
    let riley = link_keys(&Authority::new(), "Riley");
    for name in ["", "zwei!", "São", "127.0.0.1", "a..b"] {
        let error = riley.dialling(name).session().err().unwrap().to_string();
        assert!(error.contains("cannot be a DNS name"), "{error}");
    }
    assert!(riley.dialling("a_b-c.d").session().is_ok());
}

#[test]
fn older_versions_of_tls_are_refused() {
    let authority = Authority::new();
    let jaquez = link_keys(&authority, "Jaquez");
    let old = super::Client::new(authority.old_client(), "Jaquez".try_into().unwrap());
    let mut pair = Pair::new(&jaquez, "Jaquez", &jaquez);
    pair.dialler = crate::protocol::TlsSettings::session(&old).unwrap();
    assert_eq!(pair.exchange().unwrap_err(), "acceptor: it does not speak TLS 1.3");
}
