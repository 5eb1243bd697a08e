//! A client over HTTP: it follows its script, or has the queue of a phone, and has its responses checked. One that reads
//! a stream of events, or has a queue, comes back when its connection is lost.

mod transport;

use std::collections::VecDeque;

use crate::client::ServerLimits;
use crate::connection::{Progress, Side};
use crate::event_streams::EventStream;
use crate::oracle::Oracle;
use crate::phones::Phone;
use crate::scripts::Reading;
use crate::web_lists::Pages;
use crate::web_requests::{Ask, Request};
use crate::web_scripts::WebAct;
use crate::witness::{Sent, Witness};
use crate::world::{Actor, Happening, MILLISECOND, SECOND, Time, World, show};

pub struct WebClient {
    pub number: usize,
    host: usize,
    pub limits: ServerLimits,
    pub witness: Witness,
    pub script: VecDeque<WebAct>,
    outgoing: VecDeque<u8>,
    /// The requests whose responses are pending, with the one that is being sent.
    exchanges: VecDeque<Exchange>,
    received: Vec<u8>,
    reading: Reading,
    wait_until: Time,
    /// The last request of the connection was sent, or is being sent.
    is_over: bool,
    over_since: Time,
    sent_after_end: bool,
    pub half_closed_at: Option<Time>,
    read_at: Time,
    active_at: Time,
    has_response: bool,
    is_excused: bool,
    /// The list that it reads.
    pub pages: Option<Pages>,
    /// The stream of events that it reads, or resumes.
    pub stream: Option<EventStream>,
    pub phone: Option<Phone>,
    /// When it connects again.
    comes_back_at: Option<Time>,
    is_finishing: bool,
    pub is_gone: bool,
}

/// A request without its response.
pub struct Exchange {
    pub request: Request,
    /// The command that it is; `None`: it was not sent whole.
    pub sent: Option<Sent>,
    unsent: usize,
    /// When its first byte was sent.
    begun_at: Time,
}

impl WebClient {
    pub fn new(
        world: &mut World,
        number: usize,
        limits: ServerLimits,
        script: VecDeque<WebAct>,
    ) -> WebClient {
        let host = world.add_host(Some(Actor::Web(number)));
        let mut client = WebClient {
            number,
            host,
            limits,
            witness: Witness::new(limits.server, usize::MAX),
            script,
            outgoing: VecDeque::new(),
            exchanges: VecDeque::new(),
            received: Vec::new(),
            reading: Reading::Everything,
            wait_until: 0,
            is_over: false,
            over_since: Time::MAX,
            sent_after_end: false,
            half_closed_at: None,
            read_at: world.now,
            active_at: world.now,
            has_response: false,
            is_excused: false,
            pages: None,
            stream: None,
            phone: None,
            comes_back_at: None,
            is_finishing: false,
            is_gone: false,
        };
        client.connect(world);
        client
    }

    /// Makes a connection, the first one or a further one.
    fn connect(&mut self, world: &mut World) {
        let address = world.web_address_of(self.limits.server);
        // Never an error: the host of a client has descriptors enough.
        let connection = world.connect(self.host, address).unwrap_or(usize::MAX);
        self.witness = Witness::new(self.limits.server, connection);
        self.outgoing.clear();
        self.exchanges.clear();
        self.received.clear();
        (self.is_over, self.over_since, self.sent_after_end) = (false, Time::MAX, false);
        (self.half_closed_at, self.has_response, self.is_excused) = (None, false, false);
        (self.read_at, self.active_at) = (world.now, world.now);
        (self.comes_back_at, self.pages) = (None, None);
        if let Some(request) = self.stream.as_mut().and_then(|stream| stream.resumed()) {
            self.begin(request);
        }
    }

    /// Continues as far as possible.
    pub fn step(&mut self, world: &mut World, oracle: &mut Oracle) {
        if self.is_gone {
            return;
        }
        if let Some(at) = self.comes_back_at {
            if world.now >= at {
                self.connect(world);
            }
            return;
        }
        match world.connections[self.witness.connection].endpoints[0].progress {
            Progress::Connecting => return,
            Progress::Failed(_) => return self.leave(world),
            Progress::Connected => {}
        }
        self.excuse_if_too_slow(world.now);
        let connection = self.witness.connection;
        self.read(world, oracle);
        while !self.is_gone
            && self.comes_back_at.is_none()
            && self.witness.connection == connection
            && self.write(world, oracle)
            && world.now >= self.wait_until
        {
            let Some(act) = self.next_act() else { break };
            match act {
                WebAct::Send(request) => self.begin(*request),
                WebAct::SendInParts(mut request, length, pause) => {
                    let rest = request.bytes.split_off(length);
                    let whole = request.bytes.len() + rest.len();
                    self.script.push_front(WebAct::Bytes(rest));
                    self.script.push_front(WebAct::Wait(pause));
                    self.begin_part(*request, whole);
                }
                WebAct::Bytes(bytes) => self.outgoing.extend(bytes),
                WebAct::Wait(time) => self.wait(world, time),
                WebAct::Read(reading) => {
                    self.reading = reading;
                    self.read(world, oracle);
                }
                WebAct::Await if self.exchanges.is_empty() => {}
                WebAct::Await => {
                    self.script.push_front(WebAct::Await);
                    break;
                }
                WebAct::NextPage => {
                    if let Some(request) = self.pages.as_ref().and_then(Pages::next_request) {
                        self.script.push_front(WebAct::NextPage);
                        self.script.push_front(WebAct::Await);
                        self.begin(request);
                    }
                }
                WebAct::News => {
                    if let Some(pages) = self.pages.as_mut().and_then(Pages::news) {
                        let request = pages.first_request();
                        self.pages = Some(pages);
                        self.script.push_front(WebAct::Await);
                        self.begin(request);
                    }
                }
                WebAct::List(pages) => {
                    let request = pages.first_request();
                    self.pages = Some(*pages);
                    self.begin(request);
                }
                WebAct::Point(point) => {
                    self.phone.iter_mut().for_each(|phone| phone.queue.push_back((*point).clone()));
                }
                WebAct::Again => {
                    self.close(world);
                    return self.connect(world);
                }
                WebAct::HalfClose => self.half_close(world),
                WebAct::Close => self.leave(world),
            }
        }
    }

    /// The next act: of the script, or of a phone, which sends one message after the other.
    fn next_act(&mut self) -> Option<WebAct> {
        if let Some(phone) = &mut self.phone
            && self.exchanges.is_empty()
            && !self.is_over
            && let Some(request) = phone.message()
        {
            if phone.chance.one_in(8) {
                let length = phone.chance.between(1, request.bytes.len() as u64 - 1) as usize;
                return Some(WebAct::SendInParts(Box::new(request), length, 50 * MILLISECOND));
            }
            return Some(WebAct::Send(Box::new(request)));
        }
        if let Some(act) = self.script.pop_front() {
            return Some(act);
        }
        let is_done = self.phone.is_some() && self.exchanges.is_empty() && self.is_finishing;
        (is_done && self.half_closed_at.is_none()).then_some(WebAct::HalfClose)
    }

    fn wait(&mut self, world: &mut World, time: Time) {
        self.wait_until = world.now + time;
        world.schedule_in(time, Happening::WebActs { client: self.number });
    }

    fn half_close(&mut self, world: &mut World) {
        self.half_closed_at = Some(world.now);
        if let Some(last) = self.exchanges.back_mut().filter(|last| last.unsent > 0) {
            if last.begun_at == Time::MAX {
                self.exchanges.pop_back();
            } else {
                let status = if let Ask::Refused(status) = last.request.ask { status } else { 400 };
                (last.request.ask, last.request.is_last) = (Ask::Cut(status), true);
                (last.request.is_head, last.unsent) = (false, 0);
            }
        }
        (self.is_over, self.over_since) = (true, self.over_since.min(world.now));
        if world.shut_down_writing(self.witness.connection, Side::Dialler).is_err() {
            self.leave(world);
        }
    }

    pub fn complain(&self, world: &mut World, why: &str) {
        let received = self.received.escape_ascii().to_string();
        let (number, server) = (self.number, self.limits.server);
        world.violate(|| format!("web client {number} of server {server}: {why}; it has '{received}'"));
    }

    /// Whether no response is pending.
    pub fn has_no_pending(&self) -> bool {
        self.exchanges.is_empty()
    }

    /// Whether promises about its connection do not hold.
    pub fn is_excused(&self, world: &World) -> bool {
        self.is_excused || world.connections[self.witness.connection].faulted
    }

    fn ended(&mut self, world: &mut World, oracle: &mut Oracle, how: &str) {
        let connection = &world.connections[self.witness.connection];
        let was_not_awaited =
            self.sent_after_end && world.now > self.over_since.saturating_add(END_AWAITED_MAX);
        let was_full = !self.has_response && connection.others >= self.limits.connections_max;
        let is_complete = self.exchanges.is_empty() && self.received.is_empty();
        let was_silent = is_complete && world.now + connection.latency >= self.active_at + IDLE_MAX;
        let is_excused = self.is_excused(world) || was_not_awaited || was_full || was_silent;
        if !is_excused && (!is_complete || !self.is_over) {
            let first = self.exchanges.front().map(|first| first.request.title());
            let why = format!("{how}, active until {}, with {first:?} pending", show(self.active_at));
            self.complain(world, &why);
        }
        if was_full && self.is_finishing {
            // Streams that go on take all places: the queue of a phone stays.
            self.phone = None;
        }
        if !is_excused
            && let Some(why) =
                self.stream.as_ref().and_then(|stream| stream.end_difference(self, world, oracle))
        {
            self.complain(world, &format!("its stream has ended: {why}"));
        }
        self.leave(world);
    }

    /// Closes the connection. Comes back later, if there is a queue to send or a stream to resume.
    fn leave(&mut self, world: &mut World) {
        let has_ended_stream = self.half_closed_at.is_some();
        self.close(world);
        let has_queue = self
            .phone
            .as_ref()
            .is_some_and(|phone| !phone.queue.is_empty() || !self.is_finishing && !self.script.is_empty());
        let has_stream = self.stream.is_some() && !self.is_finishing && !has_ended_stream;
        if has_queue || has_stream {
            let pause = COMES_BACK_AFTER;
            self.comes_back_at = Some(world.now + pause);
            // What was not sent whole is not sent on.
            if let Some(WebAct::Wait(_)) = self.script.front()
                && let Some(WebAct::Bytes(_)) = self.script.get(1)
            {
                self.script.pop_front();
            }
            while let Some(WebAct::Bytes(_)) = self.script.front() {
                self.script.pop_front();
            }
            world.schedule_in(pause, Happening::WebActs { client: self.number });
        } else {
            self.is_gone = true;
        }
    }

    fn close(&mut self, world: &mut World) {
        self.outgoing.clear();
        self.exchanges.clear();
        self.received.clear();
        self.stream.iter_mut().for_each(|stream| stream.has_begun = false);
        world.close(self.witness.connection, Side::Dialler);
    }

    /// Ends the script: sends nothing more but the queue of a phone, receives the pending responses, and closes.
    pub fn finish(&mut self, world: &mut World, oracle: &mut Oracle) {
        if self.is_gone {
            return;
        }
        (self.is_finishing, self.wait_until) = (true, 0);
        self.reading = Reading::Everything;
        self.script.retain(|act| matches!(act, WebAct::Bytes(_)) && self.phone.is_some());
        let connection = &world.connections[self.witness.connection];
        let is_connecting = connection.endpoints[0].progress == Progress::Connecting;
        if self.comes_back_at.is_some() || connection.faulted || is_connecting {
            self.leave(world);
            return;
        }
        self.excuse_if_too_slow(world.now);
        if self.phone.is_none() && self.half_closed_at.is_none() {
            self.script.push_back(WebAct::HalfClose);
        }
        self.step(world, oracle);
    }

    /// Goes on with a stream, if there is one that must work. Returns whether there is.
    pub fn goes_on_streaming(&mut self, world: &mut World, oracle: &mut Oracle) -> bool {
        let is_streaming = self.stream.as_ref().is_some_and(|stream| stream.has_begun);
        let works = is_streaming && self.half_closed_at.is_none() && self.comes_back_at.is_none();
        if self.is_gone || !works || self.is_excused(world) || !self.outgoing.is_empty() {
            return false;
        }
        self.script.clear();
        self.reading = Reading::Everything;
        self.step(world, oracle);
        !self.is_gone && self.comes_back_at.is_none()
    }

    /// Why it is not gone.
    pub fn complaint(&self) -> String {
        let first = self.exchanges.front().map(|first| first.request.title());
        let queue = self.phone.as_ref().map_or(0, |phone| phone.queue.len());
        format!(
            "web client {} of server {} still waits for {} responses or the end, first for {first:?}, with {queue} \
             points in its queue",
            self.number,
            self.limits.server,
            self.exchanges.len()
        )
    }

    /// A phone sends its message again later.
    pub fn sends_later(&mut self, world: &mut World) {
        self.wait(world, SECOND);
    }
}

/// How long after a loss a client comes back.
const COMES_BACK_AFTER: Time = 300 * MILLISECOND;
/// How long a server awaits the end of a client after the last response, at least.
const END_AWAITED_MAX: Time = 1500 * MILLISECOND;
/// The time limit of a connection without a request (docs/protocol.md, section 8).
const IDLE_MAX: Time = 75 * SECOND;
