//! A fake Places on loopback, which answers every question with one place.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

pub struct Places {
    port: u16,
}

impl Places {
    /// Starts the server. Its threads run until this process ends.
    pub fn start() -> Places {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(stream));
            }
        });
        Places { port }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn answer(mut stream: TcpStream) {
    let Ok(copy) = stream.try_clone() else { return };
    let head_ended = |line: &String| line.is_empty();
    let lines = BufReader::new(copy).lines().map_while(Result::ok);
    for _ in lines.filter(head_ended) {
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len());
        if stream.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

const BODY: &str = r#"{"html_attributions":[],"results":[{"name":"Powell Library"}],"status":"OK"}"#;
