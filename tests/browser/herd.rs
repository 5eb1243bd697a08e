//! A herd of two servers with the live map, in its own folder.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub const SERVERS: [&str; 2] = ["Riley", "Jaquez"];

pub struct Herd {
    pub folder: PathBuf,
    /// The content of the herd file.
    pub config: Value,
    running: [Option<Child>; 2],
    /// The ports for lines and for HTTP.
    ports: [[u16; 2]; 2],
}

impl Herd {
    /// Makes a herd in an empty folder. No server runs yet.
    pub fn new(name: &str) -> Herd {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let ports = [[free_port(), free_port()], [free_port(), free_port()]];
        let server = |server: usize, talks_to: &[&str]| {
            let [listen, http] = ports[server].map(|port| format!("127.0.0.1:{port}"));
            json!({ "listen": listen, "http": http, "talks_to": talks_to })
        };
        let config = json!({
            "herd": "family",
            "servers": { "Riley": server(0, &["Jaquez"]), "Jaquez": server(1, &[]) },
            "peers": { "tls": false },
            "places": { "url": places() },
        });
        Herd { folder, config, running: [None, None], ports }
    }

    /// Makes a herd and starts both servers.
    pub fn running(name: &str) -> Herd {
        let mut herd = Herd::new(name);
        herd.start("Riley");
        herd.start("Jaquez");
        herd
    }

    /// The command `herd` in the folder, with a herd file.
    fn command(&self) -> Command {
        fs::write(self.folder.join("herd.json"), self.config.to_string()).unwrap();
        let mut command =
            Command::new(std::env::var("HERD_BIN").unwrap_or(env!("CARGO_BIN_EXE_herd").to_owned()));
        command
            .env("PLACES_API_KEY", "browser-test")
            .current_dir(&self.folder)
            .stdout(Stdio::null())
            .stdin(Stdio::null());
        command
    }

    /// Starts a server and waits until it listens.
    pub fn start(&mut self, server: &str) {
        let output = fs::File::create(self.folder.join(format!("{server}.out"))).unwrap();
        let mut child =
            self.command().args(["serve", "-c", "herd.json", server]).stderr(output).spawn().unwrap();
        let index = index(server);
        let end = Instant::now() + Duration::from_secs(20);
        while self.ports[index].iter().any(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err()) {
            let output = fs::read_to_string(self.folder.join(format!("{server}.out"))).unwrap();
            let has_ended = child.try_wait().unwrap().is_some();
            assert!(!has_ended && Instant::now() < end, "{server} does not listen: {output}");
            thread::sleep(Duration::from_millis(10));
        }
        self.running[index] = Some(child);
    }

    /// Kills a server.
    pub fn kill(&mut self, server: &str) {
        let mut child = self.running[index(server)].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The address of the live map of a server.
    pub fn url(&self, server: &str) -> String {
        format!("http://127.0.0.1:{}/", self.ports[index(server)][1])
    }

    /// Makes a token.
    pub fn token(&mut self, name: &str, may: &[&str]) -> String {
        let mut command = self.command();
        command.args(["token", "-c", "herd.json", name]).stdout(Stdio::piped());
        may.iter().for_each(|scope| {
            command.args(["--may", scope]);
        });
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
    }

    /// Sends lines to a server, and waits for a reply to each.
    pub fn tell(&self, server: &str, lines: &[String]) -> Vec<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports[index(server)][0])).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let mut copy = stream.try_clone().unwrap();
        let writer = thread::spawn(move || copy.write_all(text.as_bytes()).unwrap());
        let mut reader = BufReader::new(&mut stream);
        let mut line = || {
            let mut reply = String::new();
            reader.read_line(&mut reply).unwrap();
            reply.trim_end().to_owned()
        };
        let replies = lines.iter().map(|_| line()).collect();
        writer.join().unwrap();
        replies
    }

    /// Reports a location at the present time.
    pub fn report(&self, server: &str, id: &str, location: &str) {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let line = format!("IAMAT {id} {location} {}.{:09}", now.as_secs(), now.subsec_nanos());
        let replies = self.tell(server, &[line]);
        assert!(replies[0].starts_with("AT "), "{replies:?}");
    }

    /// Kibibytes of resident memory of a process and its descendants, as far as they have this text in their command line.
    pub fn memory_of(text: &str) -> u64 {
        let mut sum = 0;
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            if !read("cmdline").contains(text) {
                continue;
            }
            let status = read("smaps_rollup");
            let line = status.lines().find(|line| line.starts_with("Pss:")).unwrap_or("Pss: 0");
            sum += line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
        }
        sum
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("the files of the failed test are in {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn index(server: &str) -> usize {
    SERVERS.iter().position(|name| *name == server).unwrap()
}

/// Returns a free port, and each port at most once.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let port = FIRST_PORT + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Above the ports of the other tests, and below the system's ephemeral ports.
const FIRST_PORT: u16 = 32_100;

/// Starts a Places service that knows two towns. Returns its address.
fn places() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let place = |name: &str, latitude: f64| {
        json!({
            "name": name, "vicinity": "California", "place_id": name, "types": ["locality"],
            "geometry": { "location": { "lat": latitude, "lng": -118.45 } },
        })
    };
    let answer = json!({
        "status": "OK",
        "html_attributions": ["Towns: <a href=\"https://places.example/\">Someone</a> &amp; others"],
        "results": [place("Bel Air", 34.08), place("<b>Westwood</b>", 34.05)],
    });
    let body = serde_json::to_string_pretty(&answer).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), body) = (stream, body.clone()) else { continue };
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|length| length > 0) {
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
                    if stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}
