//! The oracle of responses over HTTP. Each response is translated into the reply to the line that means the same, and that
//! is judged as it is for a client of lines: a PUT is an IAMAT, a DELETE is a FORGET.

use crate::oracle::Oracle;
use crate::phones::{App, Point};
use crate::rules::{Meaning, Record, coordinates};
use crate::services::Asked;
use crate::web_client::{Exchange, WebClient};
use crate::web_json::{between, client_json, client_json_with, geojson, id_json, line_of, objects};
use crate::web_requests::{Ask, Request};
use crate::web_responses::Response;
use crate::witness::{Sent, Witness, check_json};
use crate::world::World;

impl Ask {
    /// The line that means the same, as far as it has a meaning for the checks.
    fn meaning(&self) -> Meaning {
        match self.clone() {
            Ask::Put { id, location, time_text } => Meaning::IamAt { id, location, time_text },
            Ask::Delete { id } => Meaning::Forget { id },
            Ask::Near { centre, radius, bound } => Meaning::Near { centre, radius, bound },
            Ask::Places { id, radius, bound } => Meaning::WhatsAt { id, radius, bound },
            Ask::Get { id, .. } => Meaning::WhatsAt { id, radius: Vec::new(), bound: 0 },
            _ => Meaning::Http,
        }
    }
}

impl Request {
    /// Notes that it was sent whole, so that the server may carry it out from now on.
    pub fn sent(&self, witness: &Witness, world: &World, oracle: &mut Oracle) -> Sent {
        let is_head = self.is_head;
        if let Ask::Report(_, points) = &self.ask {
            for point in points.iter().filter(|point| point.has_good_time && !is_head) {
                oracle.note_sent(witness.server, &point.id, &point.location, &point.time_text);
            }
        }
        witness.sent(world, oracle, (self.ask.meaning(), b"REQUEST".to_vec()), 0)
    }
}

impl WebClient {
    /// Checks a response. The error says what is wrong with it.
    pub fn check_response(
        &mut self,
        world: &mut World,
        oracle: &mut Oracle,
        exchange: &Exchange,
        response: &Response,
    ) -> Result<(), String> {
        let request = &exchange.request;
        response.check_fields()?;
        // The response after which nothing follows a half-close may end the connection, too.
        let may_close = self.is_excused(world) || self.half_closed_at.is_some() && self.has_no_pending();
        if response.closes != request.is_last && !(response.closes && may_close) {
            return Err(format!("the connection should end after it: {}", request.is_last));
        }
        if response.status >= 400 && !request.is_head && !matches!(request.ask, Ask::Page(_)) {
            let text = response.text()?;
            let words = between(text, "{\"error\":\"", "\"}\n").ok_or("its error has another form")?;
            if words.is_empty() {
                return Err("its error is empty".into());
            }
        }
        let sent = match (&exchange.sent, &request.ask) {
            (Some(sent), _) => sent.clone(),
            (None, Ask::Refused(status)) if *status == response.status => return Ok(()),
            (None, Ask::Cut(status)) if [400, *status].contains(&response.status) => return Ok(()),
            (None, Ask::Cut(_)) => return Err("a part of a request is no request".into()),
            (None, _) => return Err("it came before the whole request was sent".into()),
        };
        if request.is_head {
            return self.check_head(world, oracle, (request, &sent), response);
        }
        let may_refuse = oracle.may_refuse(self.limits.server, sent.since);
        match (&request.ask, response.status) {
            (Ask::Put { .. } | Ask::Delete { .. } | Ask::Report(..), 503) if may_refuse => {
                self.refused(world, oracle, &request.ask);
                Ok(())
            }
            (Ask::Put { time_text, .. }, 200) => {
                let time_text = time_text.clone();
                self.check_put(world, oracle, (sent, &time_text), response.text()?)
            }
            (Ask::Put { .. }, 400) | (Ask::Delete { .. }, 404) => {
                self.witness.check(world, oracle, &sent, b"? REQUEST\n")
            }
            (Ask::Delete { id }, 200) => {
                let text = response.text()?;
                let line = line_of(text)?;
                let shown = String::from_utf8_lossy(&line[..line.len() - 1]);
                if text != format!("{{\"id\":{},\"line\":\"{shown}\"}}\n", id_json(id)) {
                    return Err("it has another form".into());
                }
                self.witness.check(world, oracle, &sent, &line)
            }
            (Ask::Get { id, .. } | Ask::Places { id, .. }, 404) => {
                self.witness.check_unknown(world, oracle, &sent, id)
            }
            (Ask::Get { id, is_geojson }, 200) => {
                let text = response.text()?;
                let line = line_of(text)?;
                let record = self.witness.check_statement(world, oracle, &sent, (id, &line))?;
                let form = if *is_geojson { geojson(&record) } else { client_json(&record) };
                if text != form + "\n" {
                    return Err("it has another form".into());
                }
                self.witness.note_seen(record);
                Ok(())
            }
            (Ask::Near { centre, .. }, 404) if coordinates(centre).is_none() => {
                self.witness.check(world, oracle, &sent, b"? REQUEST\n")
            }
            (Ask::Near { .. }, 200) => {
                let reply = near_reply(response.text()?)?;
                self.witness.check(world, oracle, &sent, &reply)
            }
            (Ask::Places { id, radius, bound }, 200) => {
                self.check_places(world, oracle, (&sent, id, radius, *bound), &response.body)
            }
            (Ask::List { .. }, 503) if oracle.was_reading(self.limits.server, sent.since) => Ok(()),
            (Ask::List { is_first, .. }, 200) => {
                let pages = self.pages.as_mut().ok_or("no list is read")?;
                pages.page_received(&self.witness, world, oracle, (&sent, *is_first), response.text()?)
            }
            (Ask::Changes { .. }, 200) if response.is_stream => {
                let is_remembered =
                    oracle.lifetimes.remember_gone_s == crate::rules::Lifetimes::default().remember_gone_s;
                self.stream_begins(request, is_remembered);
                Ok(())
            }
            (Ask::Page(path), status) => self.check_page(path, status, response),
            (Ask::Report(app, points), 200) => {
                check_answer(*app, response)?;
                self.check_points(world, oracle, points)?;
                self.phone.iter_mut().for_each(|phone| phone.delivered(points.len()));
                Ok(())
            }
            (Ask::Refused(expected), status) if *expected == status => Ok(()),
            _ => Err("it has a wrong status".into()),
        }
    }

    /// A response without a body.
    fn check_head(
        &mut self,
        world: &World,
        oracle: &Oracle,
        (request, sent): (&Request, &Sent),
        response: &Response,
    ) -> Result<(), String> {
        match (&request.ask, response.status) {
            (Ask::Get { id, .. }, 404) => self.witness.check_unknown(world, oracle, sent, id),
            (Ask::Near { centre, .. }, 404) if coordinates(centre).is_none() => {
                self.witness.check_unknown(world, oracle, sent, centre)
            }
            (Ask::List { .. }, 503) if oracle.was_reading(self.limits.server, sent.since) => Ok(()),
            (Ask::Page("/readyz"), 503) => Ok(()),
            (Ask::Refused(expected), status) if *expected == status => Ok(()),
            (Ask::Refused(_), _) => Err("it has a wrong status".into()),
            (_, 200) => Ok(()),
            _ => Err("it has a wrong status".into()),
        }
    }

    /// A statement was refused because the disk fails. It may be stored all the same.
    fn refused(&mut self, world: &mut World, oracle: &mut Oracle, ask: &Ask) {
        if !matches!(ask, Ask::Delete { .. }) {
            oracle.promises_of(self.limits.server).iter_mut().for_each(|promises| promises.refused += 1);
        }
        if self.phone.is_some() {
            self.sends_later(world);
        }
    }

    fn check_put(
        &mut self,
        world: &World,
        oracle: &mut Oracle,
        (mut sent, time_text): (Sent, &[u8]),
        text: &str,
    ) -> Result<(), String> {
        let line = line_of(text)?;
        let record = Record::parse(&line).ok_or("its line is no AT line")?;
        let was_stored = text.ends_with(",\"stored\":true}\n");
        if text != client_json_with(&record, "stored", if was_stored { "true" } else { "false" }) + "\n" {
            return Err("it has another form".into());
        }
        if let Meaning::IamAt { time_text: own, .. } = &mut sent.meaning
            && time_text.is_empty()
        {
            if record.time != record.received {
                return Err("its time is not that of receipt".into());
            }
            own.clone_from(&record.time_text);
        }
        self.witness.check(world, oracle, &sent, &line)?;
        let (server, incarnation) =
            (self.limits.server, world.connections[self.witness.connection].incarnation);
        let had = oracle.records_since(server, incarnation, &record.id, sent.since);
        let is_over = |had: &Record| had.is_over(oracle.lifetimes, world.wall(server));
        // What it had when this was sent it has had all the time, or something that wins over it.
        let loses = had.first().is_some_and(|(at, had)| {
            *at < sent.since && had.beats(&record) && !oracle.lifetimes.are_short() && !is_over(had)
        });
        let best = oracle.best(server, incarnation, &record.id);
        let wins = best.is_none_or(|best| best.line == record.line);
        match was_stored {
            true if loses => Err("it cannot have been stored".into()),
            false if wins && had.iter().all(|(at, own)| *at >= sent.since || own.line != record.line) => {
                Err("it must have been stored".into())
            }
            _ => Ok(()),
        }
    }

    fn check_places(
        &self,
        world: &World,
        oracle: &Oracle,
        (sent, id, radius, bound): (&Sent, &[u8], &[u8], usize),
        body: &[u8],
    ) -> Result<(), String> {
        let incarnation = world.connections[self.witness.connection].incarnation;
        let may_fail = self.witness.places_may_fail(world, oracle, sent);
        let json = [body, b"\n"].concat();
        let mut result = Err("its client is unknown".to_owned());
        // A statement that was replaced in its turn is not known here.
        let had = oracle.records_since(self.limits.server, incarnation, id, sent.since);
        for record in had.iter().map(|(_, record)| record).filter(|record| !record.is_gone()) {
            let asked =
                Asked::about(oracle.dialect, &record.location, radius).ok_or("its location is bad")?;
            result = check_json(&json, oracle.dialect, &asked, bound, may_fail);
            if result.is_ok() {
                return Ok(());
            }
        }
        if oracle.has_changed(self.limits.server, incarnation, id, sent.since) { Ok(()) } else { result }
    }

    fn check_page(&self, path: &str, status: u16, response: &Response) -> Result<(), String> {
        let text = response.text()?;
        let name = format!("\"name\":\"Server{}\"", self.limits.server);
        let is_right = match (path, status) {
            ("/livez", 200) => text == "alive\n",
            ("/readyz" | "/healthz", 200 | 503) => text.ends_with('\n'),
            ("/v1/herd", 200) => text.starts_with("{\"herd\":\"simulated\",") && text.contains(&name),
            ("/metrics", 200) => text.starts_with("# ") && text.ends_with('\n'),
            _ => false,
        };
        if is_right { Ok(()) } else { Err("it is not what the page has".into()) }
    }

    /// A message of a phone was answered with success: each point is in force, or has lost.
    fn check_points(&mut self, world: &World, oracle: &mut Oracle, points: &[Point]) -> Result<(), String> {
        let (server, connection) = (self.limits.server, self.witness.connection);
        let incarnation = world.connections[connection].incarnation;
        for point in points.iter().filter(|point| point.has_good_time) {
            // Which statement of the time of receipt is that of this point is not certain.
            let is_own = |record: &&Record| {
                record.location == point.location
                    && record.time_text == point.time_text
                    && record.server == oracle.names[server].as_bytes()
            };
            let history = oracle.records_since(server, incarnation, &point.id, 0);
            let mut all_own = history.iter().map(|(_, record)| record).filter(is_own);
            // Which of several without a time this answer is about is not known: the first of them was stored in any case.
            let own = if point.time_text.is_empty() { all_own.next() } else { all_own.next_back() }.cloned();
            let best = oracle.best(server, incarnation, &point.id);
            let time = crate::rules::time_ns(&point.time_text);
            let is_there = best.is_some_and(|best| time.is_none_or(|time| best.time >= time));
            if !is_there {
                return Err(format!("the point {point:?} is not stored"));
            }
            if let Some(own) = own {
                oracle.note_answered(server, incarnation, world.now, &own);
            }
        }
        Ok(())
    }
}

/// The reply to a NEAR that means the same.
fn near_reply(text: &str) -> Result<Vec<u8>, String> {
    let clients = between(text, "{\"clients\":[", "]}\n").ok_or("it has another form")?;
    let mut reply = Vec::new();
    for object in objects(clients)? {
        let (_, km) = object.rsplit_once(",\"km\":").ok_or("a client has no distance")?;
        let km = km.strip_suffix('}').ok_or("a client has no end")?;
        let line = line_of(object)?;
        let record = Record::parse(&line).ok_or("a line is no AT line")?;
        if client_json_with(&record, "km", km) != object {
            return Err("a client has another form".into());
        }
        reply.extend_from_slice(format!("{km} ").as_bytes());
        reply.extend_from_slice(&line);
    }
    reply.push(b'\n');
    Ok(reply)
}

/// Checks what the app of a phone takes as delivered.
fn check_answer(app: App, response: &Response) -> Result<(), String> {
    let expected = match app {
        App::OwnTracks => "[]",
        App::Overland => "{\"result\":\"ok\"}",
        App::Query | App::Form | App::Json => "",
    };
    if response.text()? == expected { Ok(()) } else { Err("the app expects another answer".into()) }
}
