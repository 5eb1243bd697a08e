//! The configuration of nginx.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::found;

/// The content of a configuration.
pub struct Configuration<'a> {
    /// The address that it listens on.
    pub address: SocketAddr,
    /// Directives of the `http` block.
    pub http: &'a str,
    /// Directives for all paths.
    pub location: &'a str,
    /// Whether it writes an access log.
    pub has_log: bool,
}

impl Configuration<'_> {
    /// Writes `nginx.conf` in `folder`, and has nginx check it. One process serves, without a master.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let Configuration { address, http, location, has_log } = self;
        let (file, path) = (folder.join("nginx.conf"), folder.display());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("    {kind}_temp_path {path}/{kind};\n"))
            .concat();
        let log = match has_log {
            true => format!("{path}/logs/access.log combined buffer=128k flush=1s"),
            false => "off".to_owned(),
        };
        fs::create_dir_all(folder.join("logs"))?;
        fs::write(
            &file,
            format!(
                "daemon off;\nmaster_process off;\npid {path}/nginx.pid;\nerror_log {path}/error.log;\n\
                 events {{ worker_connections 4096; }}\nhttp {{\n{temporary}    access_log {log};\n    \
                 keepalive_requests 100000000;\n    {http}\n    server {{\n        listen {address} backlog=4096;\n        \
                 location / {{\n            {location}\n        }}\n    }}\n}}\n"
            ),
        )?;
        let checked = Command::new(found("nginx")).arg("-t").arg("-c").arg(&file).output()?;
        if !checked.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&checked.stderr).into_owned()));
        }
        Ok(())
    }
}
