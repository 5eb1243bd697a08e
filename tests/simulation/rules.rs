//! The rules for clients, written a second time from docs/protocol.md. They use no code of the program, so
//! that it and the simulator do not make the same mistake.

use std::collections::VecDeque;

/// The meaning of a line for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    Blank,
    IamAt {
        id: Vec<u8>,
        location: Vec<u8>,
        time_text: Vec<u8>,
    },
    WhatsAt {
        id: Vec<u8>,
        radius: Vec<u8>,
        bound: usize,
    },
    /// The position is that of `FROM`.
    Follow {
        whom: Whom,
        text: Vec<u8>,
        from: Option<(Vec<u8>, u64)>,
    },
    /// The centre is an ID or a location.
    Near {
        centre: Vec<u8>,
        radius: Vec<u8>,
        bound: usize,
    },
    Forget {
        id: Vec<u8>,
    },
    Http,
    Hello,
    Telnet,
    Invalid,
}

pub fn is_white(byte: u8) -> bool {
    [b' ', b'\t', b'\r', b'\n', 12, 11].contains(&byte)
}

fn words(line: &[u8]) -> Vec<&[u8]> {
    line.split(|&byte| is_white(byte)).filter(|word| !word.is_empty()).collect()
}

pub fn trimmed(line: &[u8]) -> Vec<u8> {
    let mut line = line.to_vec();
    while line.last().is_some_and(|&byte| is_white(byte)) {
        line.pop();
    }
    let leading = line.iter().take_while(|&&byte| is_white(byte)).count();
    line.split_off(leading)
}

pub fn meaning(line: &[u8]) -> Meaning {
    let words = words(line);
    match words[..] {
        [] => Meaning::Blank,
        [b"IAMAT", id, location, time] if coordinates(location).is_some() && time_ns(time).is_some() => {
            Meaning::IamAt { id: id.to_vec(), location: location.to_vec(), time_text: time.to_vec() }
        }
        [b"WHATSAT", id, radius, bound]
            if is_at_most(radius, 50) && is_digits(bound) && is_at_most(bound, 20) =>
        {
            let bound = bound.iter().fold(0, |value, digit| value * 10 + usize::from(digit - b'0'));
            Meaning::WhatsAt { id: id.to_vec(), radius: radius.to_vec(), bound }
        }
        [b"FOLLOW", ref operands @ ..] if follow(operands).is_some() => {
            let Some((whom, text, from)) = follow(operands) else { return Meaning::Invalid };
            Meaning::Follow { whom, text, from }
        }
        [b"NEAR", centre, radius, bound]
            if is_at_most(radius, 20_100) && is_digits(bound) && is_at_most(bound, 1000) =>
        {
            let bound = bound.iter().fold(0, |value, digit| value * 10 + usize::from(digit - b'0'));
            Meaning::Near { centre: centre.to_vec(), radius: radius.to_vec(), bound }
        }
        [b"FORGET", id] if ![&b"HTTP/1.0"[..], b"HTTP/1.1"].contains(&id) => {
            Meaning::Forget { id: id.to_vec() }
        }
        [.., b"HTTP/1.0" | b"HTTP/1.1"] => Meaning::Http,
        [first, ..] if is_method(first) => Meaning::Http,
        [b"HELLO", version, ..] if version.starts_with(b"herd/") && version.len() > 5 => Meaning::Hello,
        _ => Meaning::Invalid,
    }
}

/// The clients that a FOLLOW names.
#[derive(Clone, Debug, PartialEq)]
pub enum Whom {
    Client(Vec<u8>),
    Prefix(Vec<u8>),
    Area { latitude: f64, longitude: f64, km: f64 },
}

impl Eq for Whom {}

/// Whether a client matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    Inside,
    /// Only a client that was inside still matches; or rounding decides.
    Margin,
    Outside,
}

impl Whom {
    pub fn parse(operands: &[&[u8]]) -> Option<Whom> {
        match *operands {
            [text] => Some(match text.strip_suffix(b"*") {
                Some(prefix) => Whom::Prefix(prefix.to_vec()),
                None => Whom::Client(text.to_vec()),
            }),
            [location, radius] if is_at_most(radius, 20_100) => {
                let (latitude, longitude) = degrees(location)?;
                let km = String::from_utf8_lossy(radius).parse().ok()?;
                Some(Whom::Area { latitude, longitude, km })
            }
            _ => None,
        }
    }

    pub fn zone(&self, id: &[u8], location: &[u8]) -> Zone {
        match self {
            Whom::Client(own) if own == id => Zone::Inside,
            Whom::Prefix(prefix) if id.starts_with(prefix) => Zone::Inside,
            Whom::Client(_) | Whom::Prefix(_) => Zone::Outside,
            Whom::Area { latitude, longitude, km } => {
                let Some((other_latitude, other_longitude)) = degrees(location) else { return Zone::Outside };
                let distance = distance_km((*latitude, *longitude), (other_latitude, other_longitude));
                if distance < km - ROUNDING_KM || distance == 0.0 {
                    Zone::Inside
                } else if distance <= (km * 1.1).max(km + 0.02) + ROUNDING_KM {
                    Zone::Margin
                } else {
                    Zone::Outside
                }
            }
        }
    }
}

/// The operands of a FOLLOW: whom, their text, and the position of FROM.
type Operands = (Whom, Vec<u8>, Option<(Vec<u8>, u64)>);

fn follow(operands: &[&[u8]]) -> Option<Operands> {
    match *operands {
        [text, b"FROM", epoch, number] if is_digits(number) => {
            let number = String::from_utf8_lossy(number).parse().unwrap_or(u64::MAX);
            Some((Whom::parse(&[text])?, text.to_vec(), Some((epoch.to_vec(), number))))
        }
        _ => Some((Whom::parse(operands)?, operands.join(&b' '), None)),
    }
}

fn degrees(location: &[u8]) -> Option<(f64, f64)> {
    let (latitude, longitude) = coordinates(location)?;
    let number = |text: &[u8]| String::from_utf8_lossy(text).parse::<f64>().ok();
    Some((number(latitude)?, number(longitude)?))
}

/// The great-circle distance by the spherical law of Vincenty.
fn distance_km(one: (f64, f64), other: (f64, f64)) -> f64 {
    let [(p, l), (q, m)] =
        [one, other].map(|(latitude, longitude)| (latitude.to_radians(), longitude.to_radians()));
    let across = (q.cos() * (m - l).sin()).hypot(p.cos() * q.sin() - p.sin() * q.cos() * (m - l).cos());
    let along = p.sin() * q.sin() + p.cos() * q.cos() * (m - l).cos();
    if one == other { 0.0 } else { 6371.0088 * across.atan2(along) }
}

/// Far more than the errors of rounding in distances.
const ROUNDING_KM: f64 = 1e-6;

/// Whether an over-long line is an HTTP request by its first or last word.
pub fn is_like_http(line: &[u8]) -> bool {
    let words = words(line);
    matches!(words[..], [.., b"HTTP/1.0" | b"HTTP/1.1"]) || words.first().is_some_and(|word| is_method(word))
}

fn is_method(word: &[u8]) -> bool {
    let methods: [&[u8]; 9] =
        [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"];
    methods.contains(&word)
}

fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// `D+(.D+)?` split at its point.
fn decimal(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = text.splitn(2, |&byte| byte == b'.');
    let whole = parts.next()?;
    let fraction = parts.next();
    let is_good = is_digits(whole) && fraction.is_none_or(is_digits);
    is_good.then_some((whole, fraction.unwrap_or(b"")))
}

fn is_at_most(text: &[u8], limit: u32) -> bool {
    let Some((whole, fraction)) = decimal(text) else {
        return false;
    };
    let significant = String::from_utf8_lossy(whole).trim_start_matches('0').to_owned();
    let value: u32 = match significant.len() {
        0 => 0,
        1..=9 => significant.parse().unwrap_or(u32::MAX),
        _ => u32::MAX,
    };
    value < limit || value == limit && fraction.iter().all(|&digit| digit == b'0')
}

/// Latitude and longitude with their signs.
pub fn coordinates(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let second_sign = text.iter().skip(1).position(|byte| b"+-".contains(byte))? + 1;
    let (latitude, longitude) = text.split_at(second_sign);
    let is_good = |text: &[u8], digits_max: usize, limit: u32| {
        b"+-".contains(&text[0])
            && decimal(&text[1..]).is_some_and(|(whole, _)| whole.len() <= digits_max)
            && is_at_most(&text[1..], limit)
    };
    (is_good(latitude, 2, 90) && is_good(longitude, 3, 180)).then_some((latitude, longitude))
}

/// `D{1,18}(.D{1,9})?` in nanoseconds.
pub fn time_ns(text: &[u8]) -> Option<i128> {
    let (whole, fraction) = decimal(text)?;
    if whole.len() > 18 || fraction.len() > 9 {
        return None;
    }
    let digits = format!("{}{:0<9}", String::from_utf8_lossy(whole), String::from_utf8_lossy(fraction));
    digits.parse().ok()
}

/// How long statements count, in seconds from their server time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of an AT; 0: for ever.
    pub expire_s: u32,
    /// Of a GONE.
    pub remember_gone_s: u32,
}

impl Default for Lifetimes {
    fn default() -> Lifetimes {
        Lifetimes { expire_s: 0, remember_gone_s: 604_800 }
    }
}

impl Lifetimes {
    /// Whether statements may end while a simulation lasts.
    pub fn are_short(self) -> bool {
        self != Lifetimes::default()
    }
}

/// The fields of an AT or GONE line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// With its LF.
    pub line: Vec<u8>,
    pub server: Vec<u8>,
    pub id: Vec<u8>,
    /// Empty: the line is a GONE.
    pub location: Vec<u8>,
    pub time_text: Vec<u8>,
    pub time: i128,
    /// The time of receipt by the clock of `server`, in ns since 1970.
    pub received: i128,
}

impl Record {
    /// Parses a line with its LF.
    pub fn parse(line: &[u8]) -> Option<Record> {
        let parts: Vec<&[u8]> = line.strip_suffix(b"\n")?.split(|&byte| byte == b' ').collect();
        let (server, skew, id, location, time_text) = match parts[..] {
            [b"AT", server, skew, id, location, time_text] => {
                coordinates(location)?;
                (server, skew, id, location, time_text)
            }
            [b"GONE", server, skew, id, time_text] => {
                let point = time_text.len().checked_sub(10)?;
                let is_exact = time_text[point] == b'.' && (point == 1 || time_text[0] != b'0');
                (server, skew, id, is_exact.then_some(&b""[..])?, time_text)
            }
            _ => return None,
        };
        let time = time_ns(time_text)?;
        let (sign, size) = skew.split_first()?;
        if size.len() < 11 || size[size.len() - 10] != b'.' {
            return None;
        }
        let size = time_ns(size)?;
        let skew = if *sign == b'-' { -size } else { size };
        Some(Record {
            line: line.to_vec(),
            server: server.to_vec(),
            id: id.to_vec(),
            location: location.to_vec(),
            time_text: time_text.to_vec(),
            time,
            received: time + skew,
        })
    }

    pub fn is_gone(&self) -> bool {
        self.location.is_empty()
    }

    /// Whether this record is over at this time of a server's clock, in ns since 1970.
    pub fn is_over(&self, lifetimes: Lifetimes, wall: u64) -> bool {
        let seconds = if self.is_gone() { lifetimes.remember_gone_s } else { lifetimes.expire_s };
        seconds > 0 && self.received + i128::from(seconds) * 1_000_000_000 < i128::from(wall)
    }

    /// Whether this record wins over another one of the same client.
    pub fn beats(&self, other: &Record) -> bool {
        if self.time != other.time {
            return self.time > other.time;
        }
        if self.is_gone() != other.is_gone() {
            return self.is_gone();
        }
        let rest = |record: &Record| {
            (record.received, record.server.clone(), record.location.clone(), record.time_text.clone())
        };
        rest(self) < rest(other)
    }
}

/// The input of a client, split into lines as a server does it.
#[derive(Debug)]
pub struct Lines {
    max_line: usize,
    begun: Vec<u8>,
    /// This line is over-long: its beginning was answered already.
    is_too_long: bool,
    has_command: bool,
    /// Later input is ignored.
    pub is_over: bool,
    /// The beginning of a byte order mark; `None`: more than a mark was received.
    mark: Option<Vec<u8>>,
    /// The telnet command that has begun before a line.
    telnet: Vec<u8>,
    has_negotiated: bool,
    refusals: usize,
    /// Lines that were complete or over-long, blank ones included.
    pub count: u64,
    /// For each command that was returned, the number of lines up to it.
    pub numbers: VecDeque<u64>,
}

/// A line that is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Line(Meaning, Vec<u8>),
    TooLong(Vec<u8>),
    /// An option of telnet, which is refused with these bytes.
    Telnet([u8; 3]),
}

impl Lines {
    pub fn new(max_line: usize) -> Lines {
        Lines {
            max_line,
            begun: Vec::new(),
            is_too_long: false,
            has_command: false,
            is_over: false,
            mark: Some(Vec::new()),
            telnet: Vec::new(),
            has_negotiated: false,
            refusals: 0,
            count: 0,
            numbers: VecDeque::new(),
        }
    }

    /// Bytes of the line that has not ended.
    pub fn begun(&self) -> usize {
        self.begun.len() + self.telnet.len() + self.mark.as_ref().map_or(0, Vec::len)
    }

    /// Appends input. Returns the commands that are complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Command> {
        let mut commands = Vec::new();
        let bytes = self.without_mark(bytes);
        for &byte in &bytes {
            if self.is_over {
                break;
            }
            if self.is_telnet(byte, &mut commands) {
                continue;
            }
            let is_cr_nul = self.has_negotiated && byte == 0 && self.begun.last() == Some(&b'\r');
            if byte == b'\n' || is_cr_nul {
                self.end_line(&mut commands);
                continue;
            }
            self.begun.push(byte);
            if self.begun.len() == self.max_line + 1 {
                self.count += 1;
                self.numbers.push_back(self.count);
                commands.push(Command::TooLong(self.begun[..self.max_line].to_vec()));
                self.is_too_long = true;
                self.has_command = true;
            }
        }
        commands
    }

    /// Drops a byte order mark at the start. The beginning of one is kept back.
    fn without_mark(&mut self, bytes: &[u8]) -> Vec<u8> {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        let Some(begun) = &mut self.mark else { return bytes.to_vec() };
        begun.extend_from_slice(bytes);
        if begun.len() < MARK.len() && MARK.starts_with(begun) {
            return Vec::new();
        }
        let bytes = self.mark.take().unwrap_or_default();
        bytes.strip_prefix(MARK).unwrap_or(&bytes).to_vec()
    }

    /// Whether a byte belongs to a telnet command before a line.
    fn is_telnet(&mut self, byte: u8, commands: &mut Vec<Command>) -> bool {
        let may_begin = byte == 255 && self.begun.is_empty();
        if self.telnet.is_empty() && !may_begin || self.telnet == [255] && byte == b'\n' {
            self.has_negotiated |= !self.telnet.is_empty();
            self.telnet.clear();
            return false;
        }
        self.telnet.push(byte);
        let refusal = match self.telnet[..] {
            [255] | [255, 251..=254] => return true,
            // Pairs that begin with 255 have no meaning within; 255 240 ends it.
            [255, 250, ref content @ ..] => {
                let mut rest = content;
                loop {
                    match *rest {
                        [255, 240] => break None,
                        [255, _, ref after @ ..] => rest = after,
                        [255] | [] => return true,
                        [_, ref after @ ..] => rest = after,
                    }
                }
            }
            [255, 251, option] => Some([255, 254, option]),
            [255, 253, option] => Some([255, 252, option]),
            _ => None,
        };
        self.telnet.clear();
        self.has_negotiated = true;
        if let Some(refusal) = refusal.filter(|_| self.refusals < 64) {
            self.refusals += 1;
            self.numbers.push_back(self.count);
            commands.push(Command::Telnet(refusal));
        }
        true
    }

    /// Whether a telnet command has begun that has not ended.
    pub fn is_in_telnet_command(&self) -> bool {
        !self.telnet.is_empty()
    }

    /// Whether the line that has begun is a HELLO.
    pub fn begins_like_hello(&self) -> bool {
        !self.has_command && meaning(&self.begun) == Meaning::Hello
    }

    /// The client sends nothing for so long that its server ends the line, which must be a valid command.
    pub fn end_by_silence(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        let is_command = |meaning| {
            matches!(
                meaning,
                Meaning::IamAt { .. }
                    | Meaning::WhatsAt { .. }
                    | Meaning::Near { .. }
                    | Meaning::Follow { .. }
                    | Meaning::Forget { .. }
            )
        };
        if is_command(meaning(&self.begun)) {
            self.end_line(&mut commands);
        }
        commands
    }

    /// The input ends without an announcement: the line that has begun is no command.
    pub fn cut(&mut self) {
        self.begun.clear();
        self.mark = None;
        self.is_too_long = false;
    }

    /// The client has closed its sending direction.
    pub fn end(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        self.begun.extend(self.mark.take().unwrap_or_default());
        if self.begins_like_hello() {
            // A HELLO has an LF.
            self.begun.clear();
        }
        if !self.is_over && !self.begun.is_empty() {
            self.end_line(&mut commands);
        }
        self.is_over = true;
        commands
    }

    fn end_line(&mut self, commands: &mut Vec<Command>) {
        let line = std::mem::take(&mut self.begun);
        if std::mem::take(&mut self.is_too_long) {
            self.is_over |= is_like_http(&line);
            return;
        }
        self.count += 1;
        let mut meaning = meaning(&line);
        if meaning == Meaning::Hello && self.has_command {
            meaning = Meaning::Invalid;
        }
        self.is_over |= matches!(meaning, Meaning::Http | Meaning::Hello);
        if meaning != Meaning::Blank {
            self.has_command = true;
            self.numbers.push_back(self.count);
            commands.push(Command::Line(meaning, line));
        }
    }
}
