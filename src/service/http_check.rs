//! What the HTTP interface needs besides the herd file: tokens and a certificate, read at the start and on SIGHUP.

use std::rc::Rc;

use super::config::HerdFile;
use crate::access::Tokens;
use crate::herd::WebSettings;
use crate::keys::{Expiry, HttpKeys};
use crate::places::trust::server_config;
use crate::protocol::TlsSettings;
use crate::tls;

/// Reads the tokens and the certificate. The error is one line that names the key of the herd file.
pub(super) fn read(herd: &HerdFile) -> Result<(WebSettings, Option<Expiry>), String> {
    let tokens = herd.http.tokens.as_deref().map(Tokens::read).transpose();
    let tokens = tokens.map_err(|error| format!("http.tokens: {error}"))?;
    let Some(files) = &herd.http.certificate else {
        return Ok((WebSettings { has_listener: true, tokens, tls: None, certificate_end: None }, None));
    };
    let HttpKeys { chain, key, end } = HttpKeys::load(files)?;
    let config = server_config(chain, key).map_err(|error| format!("http.certificate: {error}"))?;
    let tls: Option<Rc<dyn TlsSettings>> = Some(Rc::new(tls::Server::new(config)));
    let certificate_end = end.as_ref().map(|end| end.not_after);
    Ok((WebSettings { has_listener: true, tokens, tls, certificate_end }, end))
}
