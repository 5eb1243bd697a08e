//! A fake Google Places that takes little processor time: it gives the same answer to each question.
//!
//! The first segment of the path selects the behaviour: `/kept` keeps the connection open, `/closed` closes
//! it after each answer, `/hanging` never answers, `/count` returns the number of questions.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

/// Serves until it is killed.
pub fn serve(address: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(address)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Slab<Connection> = Slab::new();
    let answers = Answers::new();
    let mut questions = 0;
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let entry = connections.vacant_entry();
                    poll.registry().register(&mut stream, Token(entry.key()), Interest::READABLE)?;
                    entry.insert(Connection { stream, input: Vec::new() });
                }
            } else if let Some(connection) = connections.get_mut(event.token().0)
                && connection.ready(&answers, &mut questions).is_err()
            {
                connections.remove(event.token().0);
            }
        }
    }
}

impl Connection {
    fn ready(&mut self, answers: &Answers, questions: &mut u64) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            if !self.input.ends_with(b"\r\n\r\n") {
                continue;
            }
            let path = self.input.split(|&byte| byte == b' ').nth(1).unwrap_or_default().to_vec();
            self.input.clear();
            *questions += u64::from(!path.starts_with(b"/count"));
            // An answer fits the socket buffer, so the write does not block.
            if path.starts_with(b"/count") {
                let body = questions.to_string();
                let length = body.len();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
                self.stream.write_all(answer.as_bytes())?;
            } else if path.starts_with(b"/closed") {
                self.stream.write_all(&answers.closed)?;
                return Err(ErrorKind::UnexpectedEof.into());
            } else if !path.starts_with(b"/hanging") {
                self.stream.write_all(&answers.kept)?;
            }
        }
    }
}

struct Answers {
    kept: Vec<u8>,
    closed: Vec<u8>,
}

impl Answers {
    fn new() -> Answers {
        let body = body();
        let answer = |connection: &str| {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\n\
                 Content-Length: {}\r\nConnection: {connection}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        };
        Answers { kept: answer("keep-alive"), closed: answer("close") }
    }
}

/// An answer with twenty results, formatted like Google's and about as long.
fn body() -> String {
    let result = |number: u32| {
        format!(
            "      {{\n         \"geometry\" : {{\n            \"location\" : {{\n               \
             \"lat\" : 34.0{number:02}6893,\n               \"lng\" : -118.4{number:02}5127\n            }},\n            \
             \"viewport\" : {{\n               \"northeast\" : {{ \"lat\" : 34.07, \"lng\" : -118.44 }},\n               \
             \"southwest\" : {{ \"lat\" : 34.06, \"lng\" : -118.45 }}\n            }}\n         }},\n         \
             \"icon\" : \"https://maps.gstatic.com/mapfiles/place_api/icons/v1/png_71/school-71.png\",\n         \
             \"name\" : \"Place number {number} [in the \\\"middle\\\" of the herd]\",\n         \
             \"opening_hours\" : {{ \"open_now\" : true }},\n         \
             \"place_id\" : \"ChIJ7aVxnOTHwoARx{number:02}IssO2AVyQ\",\n         \
             \"plus_code\" : {{ \"compound_code\" : \"3H94+C2 Los Angeles, California\", \"global_code\" : \
             \"85633H94+C2\" }},\n         \"rating\" : 4.{},\n         \"reference\" : \
             \"ChIJ7aVxnOTHwoARx{number:02}IssO2AVyQ\",\n         \"types\" : [ \"university\", \
             \"point_of_interest\", \"establishment\" ],\n         \"vicinity\" : \"Los Angeles\"\n      }}",
            number % 10
        )
    };
    let results: Vec<_> = (0..20).map(result).collect();
    format!(
        "{{\n   \"html_attributions\" : [],\n   \"next_page_token\" : \"CpQCAgEAAFxg8o\",\n   \
         \"results\" : [\n{}\n   ],\n   \"status\" : \"OK\"\n}}\n",
        results.join(",\n")
    )
}

const LISTENER: Token = Token(usize::MAX);
