//! A stand-in for TLS without cryptography: certificates that name an authority, a handshake in several
//! flights, resumption, close_notify, and records with a checksum. The simulated network can read all of it, for
//! its checks (`tap.rs`).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;

use herd::protocol::{TlsKeys, TlsPeer, TlsSession, TlsSettings};

use crate::connection::Side;
use crate::world::Time;

/// A certificate that an authority has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub name: String,
    pub authority: u8,
    /// The end of its validity, in virtual time.
    pub until: Time,
}

/// A session that can be resumed, as the accepting side hands it out.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The number of the keys that accept it.
    pub serial: u64,
    /// The certificates of the first handshake, by side.
    pub shown: [Option<Certificate>; 2],
}

/// A message of the handshake.
#[derive(Clone, Debug)]
pub enum Message {
    ClientHello(Option<Ticket>),
    /// `None`: the session of the ticket is resumed.
    ServerHello(Option<Certificate>),
    /// The last flight of the dialling side: its certificate, if it has one, unless the session is resumed.
    Finished(Option<Certificate>),
    NewTicket(Ticket),
}

/// The keys of one party.
pub struct Keys {
    /// Distinguishes keys: a ticket of others is not accepted.
    pub serial: u64,
    pub own: Option<Certificate>,
    /// The authorities; `None`: the certificate of the peer is not verified.
    pub trusted: Option<BTreeSet<u8>>,
    /// Bytes of plain text in one record, at most.
    pub record_max: usize,
    pub clock: Rc<Cell<Time>>,
    /// For each name that was dialled, the session to resume and the certificate of the peer.
    tickets: RefCell<BTreeMap<String, Ticket>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys {}: {:?}, trusting {:?}", self.serial, self.own, self.trusted)
    }
}

impl Keys {
    pub fn new(
        serial: u64,
        own: Option<Certificate>,
        trusted: Option<BTreeSet<u8>>,
        record_max: usize,
        clock: Rc<Cell<Time>>,
    ) -> Keys {
        Keys { serial, own, trusted, record_max, clock, tickets: RefCell::default() }
    }

    fn accepts(&self, certificate: &Certificate) -> Result<(), &'static str> {
        match &self.trusted {
            Some(trusted) if !trusted.contains(&certificate.authority) => Err("unknown authority"),
            Some(_) if certificate.until < self.clock.get() => Err("certificate expired"),
            _ => Ok(()),
        }
    }
}

/// The keys of a server, as its herd has them. As in rustls, the name that is dialled chooses the session to
/// resume. Unlike rustls, the stand-in does not compare it with the certificate: the program's own comparison
/// is the one to test.
#[derive(Debug)]
pub struct HerdKeys(pub Rc<Keys>);

struct Accepting(Rc<Keys>);

struct Dialling(Rc<Keys>, String);

impl TlsKeys for HerdKeys {
    fn accepting(&self) -> Rc<dyn TlsSettings> {
        Rc::new(Accepting(self.0.clone()))
    }

    fn dialling(&self, name: &str) -> Rc<dyn TlsSettings> {
        Rc::new(Dialling(self.0.clone(), name.to_owned()))
    }

    fn verify(&self, peer: &TlsPeer) -> io::Result<()> {
        let certificate = peer.certificates.first().and_then(|bytes| Reader(bytes).certificate());
        let certificate = certificate.ok_or_else(|| io::Error::other("no certificate was shown"))?;
        self.0.accepts(&certificate).map_err(io::Error::other)
    }
}

impl TlsSettings for Accepting {
    fn session(&self) -> io::Result<Box<dyn TlsSession>> {
        Ok(Box::new(Session::new(self.0.clone(), Side::Acceptor, "")))
    }
}

impl TlsSettings for Dialling {
    fn session(&self) -> io::Result<Box<dyn TlsSession>> {
        Ok(Box::new(Session::new(self.0.clone(), Side::Dialler, &self.1)))
    }
}

/// One side of a connection.
pub struct Session {
    keys: Rc<Keys>,
    side: Side,
    /// The name that was dialled.
    name: String,
    state: State,
    /// The ticket that was offered, by this side or the peer.
    offered: Option<Ticket>,
    /// The certificates of both sides, as far as they are known.
    shown: [Option<Certificate>; 2],
    input: Records,
    output: VecDeque<u8>,
    sent: u64,
    plain: VecDeque<u8>,
    has_closed: bool,
    peer_has_closed: bool,
    has_ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next flight of the peer is awaited.
    Hello,
    Finished,
    Complete,
}

impl Session {
    pub fn new(keys: Rc<Keys>, side: Side, name: &str) -> Session {
        let mut session = Session {
            keys,
            side,
            name: name.to_owned(),
            state: State::Hello,
            offered: None,
            shown: [None, None],
            input: Records::default(),
            output: VecDeque::new(),
            sent: 0,
            plain: VecDeque::new(),
            has_closed: false,
            peer_has_closed: false,
            has_ended: false,
        };
        if side == Side::Dialler {
            session.offered = session.keys.tickets.borrow_mut().remove(name);
            let hello = Message::ClientHello(session.offered.clone());
            session.queue(HANDSHAKE, &hello.bytes());
        }
        session
    }

    fn queue(&mut self, kind: u8, payload: &[u8]) {
        self.output.extend(seal(kind, payload, self.sent));
        self.sent += 1;
    }

    fn fail(&mut self, why: &str) -> io::Error {
        if !self.has_closed {
            self.queue(ALERT, why.as_bytes());
        }
        io::Error::new(io::ErrorKind::InvalidData, format!("stand-in for TLS: {why}"))
    }

    /// Whether the peer has announced its end.
    pub fn peer_has_closed(&self) -> bool {
        self.peer_has_closed
    }

    fn record_received(&mut self, kind: u8, payload: Vec<u8>) -> Result<(), String> {
        match kind {
            HANDSHAKE => {
                let message = Message::read(&payload).ok_or("a message is malformed")?;
                self.message_received(message)
            }
            DATA if self.state == State::Complete && !self.peer_has_closed => {
                self.plain.extend(payload);
                Ok(())
            }
            ALERT if payload == CLOSE_NOTIFY => {
                self.peer_has_closed = true;
                Ok(())
            }
            ALERT => Err(format!("the peer has sent the alert '{}'", payload.escape_ascii())),
            _ => Err("a record was not expected".into()),
        }
    }

    fn message_received(&mut self, message: Message) -> Result<(), String> {
        let (own, peer) = (self.side as usize, self.side.other() as usize);
        match (message, self.side, self.state) {
            (Message::ClientHello(offered), Side::Acceptor, State::Hello) => {
                let resumed = offered.filter(|ticket| ticket.serial == self.keys.serial);
                self.shown = match &resumed {
                    Some(ticket) => ticket.shown.clone(),
                    None => [None, self.keys.own.clone()],
                };
                let certificate = if resumed.is_some() { None } else { self.keys.own.clone() };
                self.offered = resumed;
                self.queue(HANDSHAKE, &Message::ServerHello(certificate).bytes());
                self.state = State::Finished;
            }
            (Message::ServerHello(certificate), Side::Dialler, State::Hello) => {
                let last = match (certificate, self.offered.take()) {
                    (None, Some(ticket)) => {
                        self.shown = ticket.shown;
                        None
                    }
                    (None, None) => return Err("no session was offered".into()),
                    (Some(certificate), _) => {
                        self.keys.accepts(&certificate)?;
                        self.shown[peer] = Some(certificate);
                        self.shown[own] = self.keys.own.clone();
                        self.keys.own.clone()
                    }
                };
                self.queue(HANDSHAKE, &Message::Finished(last).bytes());
                self.state = State::Complete;
            }
            (Message::Finished(certificate), Side::Acceptor, State::Finished) => {
                if self.offered.is_none() {
                    if let Some(certificate) = &certificate {
                        self.keys.accepts(certificate)?;
                    }
                    self.shown[peer] = certificate;
                }
                self.state = State::Complete;
                if self.shown[peer].is_some() {
                    let ticket = Ticket { serial: self.keys.serial, shown: self.shown.clone() };
                    self.queue(HANDSHAKE, &Message::NewTicket(ticket).bytes());
                }
            }
            (Message::NewTicket(ticket), Side::Dialler, State::Complete) => {
                self.keys.tickets.borrow_mut().insert(self.name.clone(), ticket);
            }
            _ => return Err("a message was not expected".into()),
        }
        Ok(())
    }
}

impl TlsSession for Session {
    fn receive(&mut self, input: &mut &[u8]) -> io::Result<()> {
        if input.is_empty() {
            self.has_ended = true;
            return Ok(());
        }
        if self.plain.len() > PLAIN_MAX {
            return Err(self.fail("plain text is not read"));
        }
        // One record at most.
        let length = self.input.missing().min(input.len());
        let (taken, rest) = input.split_at(length);
        *input = rest;
        let result = match self.input.push(taken) {
            Ok(None) => Ok(()),
            Ok(Some((kind, payload))) => self.record_received(kind, payload),
            Err(why) => Err(why.to_owned()),
        };
        result.map_err(|why| self.fail(&why))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.plain.is_empty() {
            return match (self.peer_has_closed, self.has_ended) {
                (true, _) => Ok(0),
                (false, true) => Err(io::ErrorKind::UnexpectedEof.into()),
                (false, false) => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let length = self.plain.len().min(buffer.len());
        for (to, byte) in buffer.iter_mut().zip(self.plain.drain(..length)) {
            *to = byte;
        }
        Ok(length)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_handshaking() || self.has_closed {
            return Err(io::Error::other(
                "plain text was written before the handshake or after close_notify",
            ));
        }
        let length = bytes.len().min(self.keys.record_max);
        if length > 0 {
            self.queue(DATA, &bytes[..length]);
        }
        Ok(length)
    }

    fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    fn send(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        let length = socket.write(self.output.make_contiguous())?;
        self.output.drain(..length);
        Ok(length)
    }

    fn is_handshaking(&self) -> bool {
        self.state != State::Complete
    }

    fn close(&mut self) {
        if !std::mem::replace(&mut self.has_closed, true) {
            self.queue(ALERT, CLOSE_NOTIFY);
        }
    }

    fn peer(&self) -> TlsPeer {
        let certificate = self.shown[self.side.other() as usize].as_ref();
        let bytes = |certificate: &Certificate| {
            let mut bytes = Vec::new();
            certificate.write(&mut bytes);
            bytes
        };
        TlsPeer {
            names: certificate.iter().map(|certificate| certificate.name.clone()).collect(),
            certificates: certificate.into_iter().map(bytes).collect(),
        }
    }
}

/// Incoming bytes, cut into records.
#[derive(Debug, Default)]
pub struct Records {
    begun: Vec<u8>,
    received: u64,
}

impl Records {
    /// Bytes that complete the header, and then those that complete the record.
    pub fn missing(&self) -> usize {
        let length = match self.begun[..] {
            [_, _, high, low, ..] => HEADER + usize::from(u16::from_be_bytes([high, low])) + CHECKSUM,
            _ => HEADER,
        };
        length - self.begun.len()
    }

    /// Appends at most the missing bytes. Returns the record that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<(u8, Vec<u8>)>, &'static str> {
        self.begun.extend_from_slice(bytes);
        if self.begun.len() == HEADER && (!KINDS.contains(&self.begun[0]) || self.begun[1] != VERSION) {
            return Err("this is no record");
        }
        if self.missing() > 0 || self.begun.len() == HEADER {
            return Ok(None);
        }
        let record = std::mem::take(&mut self.begun);
        let payload = &record[HEADER..record.len() - CHECKSUM];
        if seal(record[0], payload, self.received) != record {
            return Err("a record was altered");
        }
        self.received += 1;
        Ok(Some((record[0], payload.to_vec())))
    }
}

/// A record: kind, version, length, payload, and a checksum that its number is part of.
pub fn seal(kind: u8, payload: &[u8], number: u64) -> Vec<u8> {
    let mut record = vec![kind, VERSION];
    record.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    record.extend_from_slice(payload);
    let bytes = record.iter().copied().chain(number.to_le_bytes());
    let sum = bytes.fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    record.extend_from_slice(&sum.to_be_bytes());
    record
}

impl Certificate {
    fn write(&self, to: &mut Vec<u8>) {
        to.push(self.name.len() as u8);
        to.extend_from_slice(self.name.as_bytes());
        to.push(self.authority);
        to.extend_from_slice(&self.until.to_le_bytes());
    }
}

impl Ticket {
    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.serial.to_le_bytes());
        self.shown.iter().for_each(|shown| write_option(shown.as_ref(), to));
    }
}

fn write_option(certificate: Option<&Certificate>, to: &mut Vec<u8>) {
    to.push(u8::from(certificate.is_some()));
    if let Some(certificate) = certificate {
        certificate.write(to);
    }
}

impl Message {
    pub fn bytes(&self) -> Vec<u8> {
        let mut to = Vec::new();
        match self {
            Message::ClientHello(None) => to.push(1),
            Message::ClientHello(Some(ticket)) => {
                to.push(2);
                ticket.write(&mut to);
            }
            Message::ServerHello(certificate) => {
                to.push(3);
                write_option(certificate.as_ref(), &mut to);
            }
            Message::Finished(certificate) => {
                to.push(4);
                write_option(certificate.as_ref(), &mut to);
            }
            Message::NewTicket(ticket) => {
                to.push(5);
                ticket.write(&mut to);
            }
        }
        to
    }

    pub fn read(payload: &[u8]) -> Option<Message> {
        let mut reader = Reader(payload);
        let message = match reader.byte()? {
            1 => Message::ClientHello(None),
            2 => Message::ClientHello(Some(reader.ticket()?)),
            3 => Message::ServerHello(reader.option()?),
            4 => Message::Finished(reader.option()?),
            5 => Message::NewTicket(reader.ticket()?),
            _ => return None,
        };
        reader.0.is_empty().then_some(message)
    }
}

/// The rest of a message.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*first))
    }

    fn certificate(&mut self) -> Option<Certificate> {
        let length = usize::from(self.byte()?);
        let (name, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        let name = String::from_utf8(name.to_vec()).ok()?;
        Some(Certificate { name, authority: self.byte()?, until: self.number()? })
    }

    fn option(&mut self) -> Option<Option<Certificate>> {
        if self.byte()? == 0 { Some(None) } else { self.certificate().map(Some) }
    }

    fn ticket(&mut self) -> Option<Ticket> {
        Some(Ticket { serial: self.number()?, shown: [self.option()?, self.option()?] })
    }
}

/// The content types of records (RFC 8446, section 5.1).
pub const ALERT: u8 = 0x15;
pub const HANDSHAKE: u8 = 0x16;
pub const DATA: u8 = 0x17;
const KINDS: [u8; 3] = [ALERT, HANDSHAKE, DATA];
const VERSION: u8 = 3;
const HEADER: usize = 4;
const CHECKSUM: usize = 4;
const CLOSE_NOTIFY: &[u8] = b"close_notify";
/// Bytes of plain text that a session keeps before it refuses more, as rustls does.
const PLAIN_MAX: usize = 16 * 1024;
