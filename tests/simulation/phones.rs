//! Phones: each has a queue of points, and sends a message again until it is answered with a status of success. Their
//! clocks are wrong, and they repeat what they have sent.

use std::collections::VecDeque;

use crate::chance::Chance;
use crate::scripts::Vocabulary;
use crate::web_requests::{Ask, Request, encoded, json_degrees, of_degrees};
use crate::web_scripts::WebAct;
use crate::world::{MILLISECOND, SECOND, WALL_AT_START};

/// An app, by the form of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    OwnTracks,
    /// Parameters in the query, in a form, or in JSON.
    Query,
    Form,
    Json,
    Overland,
}

/// A point in the queue of a phone, and what an IAMAT says of it.
#[derive(Clone, Debug)]
pub struct Point {
    pub id: Vec<u8>,
    pub location: Vec<u8>,
    /// Empty: the time of receipt.
    pub time_text: Vec<u8>,
    /// It has a time that a server takes.
    pub has_good_time: bool,
    degrees: (String, String),
    time: Option<String>,
}

/// What a phone has to send.
#[derive(Debug)]
pub struct Phone {
    app: App,
    id: Vec<u8>,
    pub queue: VecDeque<Point>,
    pub chance: Chance,
}

impl Phone {
    pub fn new(vocabulary: &Vocabulary, mut chance: Chance) -> Phone {
        let id = chance.pick(&vocabulary.ids).clone();
        // That app writes all letters in lower case.
        let is_lower = !id.iter().any(u8::is_ascii_uppercase);
        let apps = [App::Query, App::Form, App::Json, App::Overland, App::OwnTracks];
        let app = *chance.pick(&apps[..if is_lower { 5 } else { 4 }]);
        Phone { app, id, queue: VecDeque::new(), chance }
    }

    /// What happens to the phone: it takes points, and waits.
    pub fn script(&mut self, vocabulary: &Vocabulary) -> VecDeque<WebAct> {
        let mut acts = VecDeque::new();
        let pause_max = self.chance.magnitude(MILLISECOND, 4 * SECOND);
        for _ in 0..self.chance.magnitude(1, 40) {
            acts.push_back(WebAct::Point(Box::new(self.point(vocabulary))));
            if self.chance.one_in(2) {
                acts.push_back(WebAct::Wait(self.chance.below(pause_max)));
            }
        }
        acts
    }

    fn point(&mut self, vocabulary: &Vocabulary) -> Point {
        let chance = &mut self.chance;
        let degrees = json_degrees(chance.pick::<&str>(&vocabulary.locations));
        let after_start = chance.below(vocabulary.times);
        let seconds = WALL_AT_START / SECOND + after_start;
        let (time, time_text) = match chance.below(9) {
            0 => (None, String::new()),
            1 => (Some("0".to_owned()), String::new()),
            // Too far ahead, and no time at all: nothing is stored.
            2 => (Some("99999999999".to_owned()), "-".to_owned()),
            3 => (Some("yesterday".to_owned()), "-".to_owned()),
            4 => (Some("86400".to_owned()), "86400".to_owned()),
            5 => (Some(format!("{seconds}500")), format!("{seconds}.500")),
            6 if after_start + START_OF_DAY < DAY => {
                let of_day = after_start + START_OF_DAY;
                let (hours, minutes, rest) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
                (Some(format!("2021-05-19T{hours:02}:{minutes:02}:{rest:02}.25Z")), format!("{seconds}.25"))
            }
            _ => {
                let text = format!("{seconds}{}", chance.pick(&["", ".5", ".959498503"]));
                (Some(text.clone()), text)
            }
        };
        Point {
            id: self.id.clone(),
            location: of_degrees(&degrees.0, &degrees.1).into_bytes(),
            has_good_time: time_text != "-",
            time_text: time_text.into_bytes(),
            degrees,
            time,
        }
    }

    /// The message that is sent next.
    pub fn message(&mut self) -> Option<Request> {
        let chance = &mut self.chance;
        let most = if self.app == App::Overland { chance.between(1, 5) as usize } else { 1 };
        let points: Vec<Point> = self.queue.iter().take(most).cloned().collect();
        let point = points.first()?.clone();
        let id = String::from_utf8_lossy(&self.id).into_owned();
        let (latitude, longitude) = &point.degrees;
        let ask = Ask::Report(self.app, points.clone());
        let pair = |name: &str, text: &str| format!("&{name}={}", encoded(text.as_bytes(), false));
        let time = |name: &str| point.time.as_ref().map(|time| pair(name, time)).unwrap_or_default();
        let member = |name: &str| point.time.as_ref().map(|text| json_member(name, text)).unwrap_or_default();
        let json = "Content-Type: application/json; charset=utf-8\r\n";
        Some(match self.app {
            App::Query => {
                let id = encoded(&self.id, false);
                let target = format!("/?id={id}&lat={latitude}&lon={longitude}{}", time("timestamp"));
                // What asks for the head only must not store.
                let method = *chance.pick(&["GET", "GET", "POST", "HEAD"]);
                let body = if method == "POST" { Some("") } else { None };
                Request::with_body(ask, (method, &target, ""), body, chance)
            }
            App::Form => {
                let body = format!("latitude={latitude}&longitude={longitude}{}", time("time"));
                let body = format!("deviceid={}&{body}", encoded(&self.id, true));
                Request::with_body(ask, ("POST", "/osmand", ""), Some(&body), chance)
            }
            App::Json => {
                let time = member("timestamp");
                let body = format!(r#"{{"device_id":"{id}","lat":"{latitude}","lon":{longitude}{time}}}"#);
                Request::with_body(ask, ("POST", "/traccar", json), Some(&body), chance)
            }
            App::OwnTracks => {
                let time = member("tst");
                let body = format!(
                    r#"{{"_type":"location","tid":"{id}","lat":{latitude},"lon":{longitude}{time},"acc":5}}"#
                );
                Request::with_body(ask, ("POST", "/pub", json), Some(&body), chance)
            }
            App::Overland => {
                let locations: Vec<String> = points.iter().map(|point| feature(point, &id)).collect();
                let body = format!(r#"{{"locations":[{}]}}"#, locations.join(","));
                Request::with_body(ask, ("POST", "/overland", json), Some(&body), chance)
            }
        })
    }

    /// A message with so many points was answered with success. Sometimes the phone does not notice.
    pub fn delivered(&mut self, points: usize) {
        if !self.chance.one_in(6) {
            self.queue.drain(..points.min(self.queue.len()));
        }
    }
}

fn feature(point: &Point, id: &str) -> String {
    let (latitude, longitude) = &point.degrees;
    let time = point.time.as_ref().map(|text| json_member("timestamp", text)).unwrap_or_default();
    format!(
        r#"{{"type":"Feature","geometry":{{"type":"Point","coordinates":[{longitude},{latitude}]}},"properties":{{"device_id":"{id}"{time}}}}}"#
    )
}

/// A further member with a time: a number, or a text.
fn json_member(name: &str, text: &str) -> String {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let quote = if is_number { "" } else { "\"" };
    format!(r#","{name}":{quote}{text}{quote}"#)
}

/// The time of day at the start of a simulation, in seconds.
const START_OF_DAY: u64 = 82_427;
const DAY: u64 = 86_400;
