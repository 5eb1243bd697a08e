//! Workload (v): clients over HTTP, beside nginx that returns a fixed response, and beside Node.js.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::field::Field;
use super::{Bench, steady};
use crate::comparison::Comparison;
use crate::load::dialect::{Dialect, Messages};
use crate::load::{Generator, Load, Measured};
use crate::process::{Affinity, free_address};
use crate::report::{Bound, Section};
use crate::servers::nginx::Configuration;
use crate::servers::{Kind, NAME, SingleServer};

/// Runs workload (v).
pub fn web(bench: &mut Bench) -> io::Result<()> {
    let field = start()?;
    let mut section = Section::new("(v) Fifty connections over HTTP");
    section.paragraph(
        "`GET` and `PUT /v1/clients/ID` on fifty keep-alive connections, each of which waits for its response. nginx looks at \
         nothing and returns a fixed 200: the body of the herd's response. Node.js does the herd's work with its own `http` \
         module: it takes the path apart, keeps the clients in a Map, and writes the same JSON. One process of each has a \
         processor to itself. The logs are off where they are not mentioned; the log of nginx is its access log, with a \
         buffer.",
    );
    for (method, whatsat_every) in [("GET", 1), ("PUT", 0)] {
        let load = Load { whatsat_every, ..steady::load(50, 1) };
        let comparison = Comparison::of(&field.servers, bench.effort, |server| {
            let mut generator = Generator::connect(load_over_http(server, load))?;
            let mut measured =
                generator.measure(server.process.id(), bench.effort.warm_up, bench.effort.time)?;
            measured.log = server.log_lines(generator.sent())?;
            Ok(measured)
        })?;
        section.paragraph(&format!("**{method}**"));
        field.table(&mut section, &comparison, HERD, "it ÷ herd");
        for (title, other, least) in
            [(HERD, NGINX, TO_NGINX), (HERD_LOGS, NGINX_LOGS, TO_NGINX), (HERD, NODE, TO_NODE)]
        {
            let ratio = field.ratio(&comparison, title, other, Measured::rate);
            let name = format!("(v) {method}: rate, {title} ÷ {other}");
            bench.report.goal(&name, Bound::AtLeast, least, "×", ratio);
        }
    }
    bench.report.add(section);
    Ok(())
}

/// Starts the servers that are installed, and reports all clients to them.
fn start() -> io::Result<Field> {
    let mut field = Field::default();
    for (title, log_level) in [(HERD, "off"), (HERD_LOGS, "traffic")] {
        let server = SingleServer::start(Kind::Herd, |herd| {
            herd.log_level = log_level;
            herd.set_http(NAME, free_address());
        })?;
        field.add(title, server);
    }
    let address = field.servers[0].web_address();
    let mut put = Vec::new();
    Messages::new(Dialect::Web, 1).statement(&mut put);
    let mut get = Vec::new();
    Messages::new(Dialect::Web, 1).whatsat(&mut get);
    let (put, get) = (body_of_response(address, &put)?, body_of_response(address, &get)?);
    let fixed = format!(
        "default_type application/json; if ($request_method = PUT) {{ return 200 '{put}'; }} return 200 '{get}';"
    );
    for (title, kind, has_log) in
        [(NGINX, Kind::Nginx, false), (NGINX_LOGS, Kind::Nginx, true), (NODE, Kind::NodeHttp, false)]
    {
        if !kind.is_present() {
            eprintln!("  {} is left out: {} is not installed", kind.name(), kind.program().display());
            continue;
        }
        let server = SingleServer::start_on(Affinity::OwnProcessor, kind, |herd, logs| {
            if kind != Kind::Nginx {
                return Ok(());
            }
            let folder = logs.parent().expect("the folder of the server");
            Configuration { address: herd.address(NAME), http: "", location: &fixed, has_log }.write(folder)
        })?;
        field.add(title, server);
    }
    for server in &field.servers {
        // All clients are known, and just-in-time compilers have finished.
        for whatsat_every in [0, 1] {
            let load = Load { whatsat_every, ..steady::load(50, 4) };
            Generator::connect(load_over_http(server, load))?.send(30_000)?;
        }
        server.empty_log()?;
    }
    Ok(field)
}

fn load_over_http(server: &SingleServer, load: Load) -> Load {
    Load { address: server.web_address(), dialect: Dialect::Web, ..load }
}

/// The body of the response to a request.
fn body_of_response(address: SocketAddr, request: &[u8]) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request)?;
    let mut response = [0; 4096];
    // So short a response arrives whole.
    let length = stream.read(&mut response)?;
    let text = String::from_utf8_lossy(&response[..length]);
    match text.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("expected a 200 of the herd, got {text}"))),
    }
}

const HERD: &str = "herd";
const HERD_LOGS: &str = "herd, with its log";
const NGINX: &str = "nginx, a fixed 200";
const NGINX_LOGS: &str = "nginx, with its log";
const NODE: &str = "Node.js http";
/// The least ratios to the rates of nginx and of Node.js.
const TO_NGINX: f64 = 0.8;
const TO_NODE: f64 = 3.0;
