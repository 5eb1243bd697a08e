//! A connection of the bench, in plain text or over TLS, with the keys of the herd under test.

use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

use crate::servers::Kind;

/// The keys of a herd whose links are TLS. With them the bench passes for a neighbour.
pub struct Keys {
    folder: PathBuf,
}

impl Keys {
    /// The keys that the herd under test has made for `herd.json` in `folder`.
    pub fn in_folder(folder: &Path) -> Keys {
        Keys { folder: folder.join("run/keys") }
    }

    /// Has the herd under test make the keys that are missing for `herd.json` in `folder`.
    pub fn make(folder: &Path) -> io::Result<Keys> {
        let made = Command::new(Kind::Herd.program())
            .args(["keys", "-c", "herd.json"])
            .current_dir(folder)
            .output()
            .map_err(|error| io::Error::new(error.kind(), format!("herd keys: {error}")))?;
        if !made.status.success() {
            let reason = String::from_utf8_lossy(&made.stderr);
            return Err(io::Error::other(format!("herd keys: {}", reason.trim())));
        }
        Ok(Keys::in_folder(folder))
    }

    /// The settings of the neighbour `name` for connections that it accepts.
    pub fn accepting(&self, name: &str) -> io::Result<Arc<ServerConfig>> {
        let (chain, key) = self.of(name)?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        Ok(Arc::new(config.map_err(io::Error::other)?))
    }

    /// The settings of the neighbour `name` for connections that it dials.
    pub fn dialling(&self, name: &str) -> io::Result<ClientConfig> {
        let (chain, key) = self.of(name)?;
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
        let builder = builder.map_err(io::Error::other)?.with_root_certificates(self.roots()?);
        builder.with_client_auth_cert(chain, key).map_err(io::Error::other)
    }

    /// The settings of a client, which shows no certificate.
    pub fn client(&self) -> io::Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
        let builder = builder.map_err(io::Error::other)?.with_root_certificates(self.roots()?);
        Ok(builder.with_no_client_auth())
    }

    fn roots(&self) -> io::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let pem = fs::read(self.folder.join("herd-ca.pem"))?;
        for authority in CertificateDer::pem_slice_iter(&pem) {
            roots.add(authority.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        Ok(roots)
    }

    fn of(&self, name: &str) -> io::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let file = |ending: &str| self.folder.join(format!("{name}.{ending}"));
        let certificate = CertificateDer::from_pem_file(file("pem")).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_file(file("key")).map_err(io::Error::other)?;
        Ok((vec![certificate], key))
    }
}

/// Settings with which no session is resumed.
pub fn without_resumption(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// The first bytes of a TLS client.
pub fn client_hello(config: Arc<ClientConfig>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ClientConnection::new(config, name_of("Riley")?).map_err(io::Error::other)?.write_tls(&mut bytes)?;
    Ok(bytes)
}

/// The key exchange is the one that links of the herd choose.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { kx_groups: vec![kx_group::X25519], ..aws_lc_rs::default_provider() })
}

fn name_of(server: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(server.to_owned()).map_err(io::Error::other)
}

/// A connection.
pub enum Wire<S: Read + Write> {
    /// In plain text.
    Plain(S),
    /// Over TLS, accepted.
    Accepted(Box<StreamOwned<ServerConnection, Buffered<S>>>),
    /// Over TLS, dialled.
    Dialled(Box<StreamOwned<ClientConnection, Buffered<S>>>),
}

impl<S: Read + Write> Wire<S> {
    /// A connection that was accepted; `None`: in plain text. The handshake is part of the first reads.
    pub fn accepted(socket: S, config: Option<&Arc<ServerConfig>>) -> io::Result<Wire<S>> {
        let Some(config) = config else {
            return Ok(Wire::Plain(socket));
        };
        let session = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        Ok(Wire::Accepted(Box::new(StreamOwned::new(session, buffered(socket)))))
    }

    /// A connection that was dialled to the server of this name; `None`: in plain text. The handshake is part of
    /// the first write.
    pub fn dialled(socket: S, name: &str, config: Option<&Arc<ClientConfig>>) -> io::Result<Wire<S>> {
        let Some(config) = config else {
            return Ok(Wire::Plain(socket));
        };
        let session = ClientConnection::new(config.clone(), name_of(name)?).map_err(io::Error::other)?;
        Ok(Wire::Dialled(Box::new(StreamOwned::new(session, buffered(socket)))))
    }

    /// Whether the session was resumed.
    pub fn is_resumed(&self) -> bool {
        let kind = match self {
            Wire::Plain(_) => None,
            Wire::Accepted(stream) => stream.conn.handshake_kind(),
            Wire::Dialled(stream) => stream.conn.handshake_kind(),
        };
        kind == Some(HandshakeKind::Resumed)
    }
}

impl<S: Read + Write> Read for Wire<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.read(buffer),
            Wire::Accepted(stream) => stream.read(buffer),
            Wire::Dialled(stream) => stream.read(buffer),
        }
    }
}

impl<S: Read + Write> Write for Wire<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.write(bytes),
            Wire::Accepted(stream) => stream.write(bytes),
            Wire::Dialled(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(socket) => socket.flush(),
            Wire::Accepted(stream) => stream.flush(),
            Wire::Dialled(stream) => stream.flush(),
        }
    }
}

fn buffered<S: Read>(socket: S) -> Buffered<S> {
    Buffered(BufReader::with_capacity(READ_MAX, socket))
}

/// A socket that is read in large portions. rustls reads 4 KiB at a time, which would make the bench a slower
/// neighbour than a server of the herd.
pub struct Buffered<S>(BufReader<S>);

impl<S: Read> Read for Buffered<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<S: Write> Write for Buffered<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}

/// Bytes of one read, as in the herd.
const READ_MAX: usize = 64 * 1024;
