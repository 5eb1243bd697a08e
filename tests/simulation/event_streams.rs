//! Streams of events: each event is the line of a FOLLOW that means the same, and is judged like it.

use crate::chance::Chance;
use crate::followers::{Marked, Received, Stream, Streamer};
use crate::oracle::Oracle;
use crate::rules::{Record, Whom};
use crate::web_client::WebClient;
use crate::web_json::{client_json, id_json, line_of};
use crate::web_requests::{Ask, Request};
use crate::web_scripts::changes_request;
use crate::witness::Witness;
use crate::world::{Time, World};

/// A stream of events that a client reads, or resumes.
pub struct EventStream {
    whom: Whom,
    text: Vec<u8>,
    stream: Stream,
    /// Its last mark, and what was known there.
    marked: Option<Marked>,
    /// It can be resumed at its last mark.
    is_resumable: bool,
    has_retry: bool,
    /// Its head was received on this connection.
    pub has_begun: bool,
    chance: Chance,
}

impl EventStream {
    /// The stream of a request that was answered.
    pub fn new(
        whom: &Whom,
        text: &[u8],
        from: Option<Marked>,
        (chance, is_resumable): (Chance, bool),
    ) -> EventStream {
        EventStream {
            whom: whom.clone(),
            text: text.to_vec(),
            stream: Stream::new(whom.clone(), from),
            marked: None,
            is_resumable,
            has_retry: false,
            has_begun: true,
            chance,
        }
    }

    /// Goes on with the request that resumes a stream. Returns whether this is that stream.
    pub fn begins_again(&mut self, from: Option<Marked>) {
        self.stream = Stream::new(self.whom.clone(), from);
        (self.has_begun, self.has_retry) = (true, false);
    }

    /// The request that resumes it.
    pub fn resumed(&mut self) -> Option<Request> {
        let from = self.marked.clone().filter(|_| self.is_resumable);
        Some(changes_request(&self.whom, &self.text, from, "GET", &mut self.chance))
    }

    /// Whether this is the stream of these operands.
    pub fn is_of(&self, text: &[u8]) -> bool {
        self.text == text
    }

    /// Takes the events at the front.
    pub fn receive(
        &mut self,
        received: &mut Vec<u8>,
        witness: &Witness,
        world: &World,
        oracle: &mut Oracle,
    ) -> Result<(), String> {
        while let Some(end) = received.windows(2).position(|part| part == b"\n\n") {
            let block: Vec<u8> = received.drain(..end + 2).collect();
            let block = String::from_utf8(block).map_err(|error| error.to_string())?;
            let lines: Vec<&str> = block.lines().filter(|line| !line.is_empty() && *line != ":").collect();
            if lines == ["retry: 1000"] && !std::mem::replace(&mut self.has_retry, true) {
                continue;
            }
            let line = event_line(&lines).map_err(|why| format!("the event '{block}': {why}"))?;
            self.line_received(&line, witness, world, oracle)
                .map_err(|why| format!("the event '{block}': {why}"))?;
        }
        Ok(())
    }

    fn line_received(
        &mut self,
        line: &[u8],
        witness: &Witness,
        world: &World,
        oracle: &mut Oracle,
    ) -> Result<(), String> {
        if !self.has_retry {
            return Err("the time of reconnection should come first".into());
        }
        let server = witness.server;
        let incarnation = world.connections[witness.connection].incarnation;
        let streamer = Streamer { oracle, server, incarnation, wall: world.wall(server) };
        let received = self.stream.receive(line, &streamer)?;
        if Record::parse(line).is_some_and(|record| !streamer.has_stored(&record)) {
            return Err("the server has not stored it".into());
        }
        if let (Received::Mark, Some((epoch, sequence))) = (received, &self.stream.marked) {
            let known = self.stream.knows();
            let marked = Marked { epoch: epoch.clone(), sequence: *sequence, known };
            oracle.note_marked(server, &self.text, marked.clone());
            self.marked = Some(marked);
        }
        Ok(())
    }

    /// How the stream differs from what its server knows; `None`: it does not.
    pub fn difference(&self, client: &WebClient, world: &World, oracle: &Oracle) -> Option<String> {
        let wall = world.wall(client.limits.server);
        let content = oracle.content(client.limits.server);
        let text = String::from_utf8_lossy(&self.text);
        let difference = self.stream.difference(content, oracle.lifetimes, wall, |_| true);
        let difference =
            difference.or_else(|| self.stream.marked.is_none().then(|| "it has no mark".to_owned()));
        difference.map(|difference| format!("'{text}' at server {}: {difference}", client.limits.server))
    }

    /// What it lacks at its end after a half-close: of what its server knew then and knows now. `None`: nothing.
    pub fn end_difference(&self, client: &WebClient, world: &World, oracle: &Oracle) -> Option<String> {
        let since: Time = client.half_closed_at.filter(|_| self.has_begun)?;
        if self.stream.marked.is_none() {
            return Some("it has no mark".into());
        }
        let server = client.limits.server;
        let incarnation = world.connections[client.witness.connection].incarnation;
        let content = oracle.records(server, incarnation).map(|record| (record.id.clone(), record.clone()));
        let is_stable = |id: &[u8]| !oracle.has_changed(server, incarnation, id, since);
        self.stream.difference(&content.collect(), oracle.lifetimes, world.wall(server), is_stable)
    }
}

/// The line that an event means.
fn event_line(lines: &[&str]) -> Result<Vec<u8>, String> {
    match *lines {
        ["event: at", data] => {
            let data = data.strip_prefix("data: ").ok_or("it has no data")?;
            let line = line_of(data)?;
            let record =
                Record::parse(&line).filter(|record| !record.is_gone()).ok_or("it has no AT line")?;
            if client_json(&record) == data {
                Ok(line)
            } else {
                Err("its members differ from its line".into())
            }
        }
        ["event: left", data] => {
            let id = data.strip_prefix("data: {\"id\":\"").and_then(|rest| rest.strip_suffix("\"}"));
            let id = id.ok_or("it has no ID")?;
            if data != format!("data: {{\"id\":{}}}", id_json(id.as_bytes())) {
                return Err("its ID has another form".into());
            }
            Ok(format!("LEFT {id}\n").into_bytes())
        }
        [id, "event: mark", data] => {
            let position = id.strip_prefix("id: ").and_then(|id| id.rsplit_once('-'));
            let (epoch, number) = position.ok_or("it has no position")?;
            let expected = format!("data: {{\"epoch\":\"{epoch}\",\"sequence\":{number}}}");
            if data != expected {
                return Err("its position and its data differ".into());
            }
            Ok(format!("MARK {epoch} {number}\n").into_bytes())
        }
        _ => Err("it is none of the events".into()),
    }
}

impl WebClient {
    /// A request for a stream was answered with one.
    pub fn stream_begins(&mut self, request: &Request, is_resumable: bool) {
        let Ask::Changes { whom, text, from } = &request.ask else { return };
        match &mut self.stream {
            Some(stream) if stream.is_of(text) => stream.begins_again(from.clone()),
            _ => {
                let chance = Chance::new(self.number as u64);
                let stream = EventStream::new(whom, text, from.clone(), (chance, is_resumable));
                self.stream = Some(stream);
            }
        }
    }

    /// How its stream differs from what its server knows; `None`: it does not, or nothing can be said.
    pub fn stream_difference(&self, world: &World, oracle: &Oracle) -> Option<String> {
        let stream = self.stream.as_ref().filter(|stream| stream.has_begun)?;
        if self.is_gone || self.is_excused(world) {
            return None;
        }
        stream.difference(self, world, oracle)
    }
}
