//! An application that records every call. Its protocol reads lines; some of them are commands.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::{Clocks, Moment};
use crate::protocol::{Application, Arrival, Command, ConnectionId, Lost, Notice, Protocol};

pub(super) type Context<'a> = crate::protocol::Context<'a, Shared>;

/// The calls of all protocols, and their settings.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) calls: Vec<String>,
    /// The time limit of a line; zero: none.
    line_timeout: Duration,
    /// Admissions are recorded.
    records_admissions: bool,
}

impl Shared {
    pub(super) fn with_line_timeout(line_timeout: Duration) -> Shared {
        Shared { line_timeout, ..Shared::default() }
    }
}

#[derive(Default)]
pub(super) struct ProbeProtocol {
    line_since: Option<Moment>,
}

impl ProbeProtocol {
    fn line_received(context: &mut Context<'_>, line: &str) {
        context.shared.calls.push(line.to_owned());
        match line {
            "close" => {
                context.transport.write(b"bye");
                context.transport.close();
            }
            "pause" => context.transport.pause_reading(),
            "leave_quota" => context.transport.leave_quota(),
            "flood" => context.transport.write(&[b'x'; 100_000]),
            "turns" => context.transport.call_at_turn_end(),
            "who" => {
                let who =
                    context.tls.map_or("plain".to_owned(), |peer| format!("tls:{}", peer.names.join(",")));
                context.shared.calls.push(who);
            }
            _ => {}
        }
    }
}

impl Protocol for ProbeProtocol {
    type Shared = Shared;

    fn connection_made(&mut self, context: &mut Context<'_>) {
        context.shared.calls.push("made".into());
    }

    fn secured(&mut self, context: &mut Context<'_>) {
        context.shared.calls.push("secured".into());
    }

    fn data_received(&mut self, context: &mut Context<'_>, data: &[u8]) -> usize {
        let mut used = 0;
        while let Some(end) = data[used..].iter().position(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(&data[used..used + end]).chars().take(20).collect::<String>();
            ProbeProtocol::line_received(context, &line);
            used += end + 1;
            self.line_since = None;
        }
        let timeout = context.shared.line_timeout;
        if used == data.len() || timeout.is_zero() {
            context.transport.set_deadline(Moment::NEVER);
        } else {
            context.transport.set_deadline(*self.line_since.get_or_insert(context.now) + timeout);
        }
        // A line that is too long to keep.
        if data.len() > 200_000 { data.len() } else { used }
    }

    fn eof_received(&mut self, context: &mut Context<'_>, rest: &[u8]) {
        context.shared.calls.push(format!("eof:{}", rest.escape_ascii()));
        context.transport.close();
    }

    fn pause_writing(&mut self, context: &mut Context<'_>) {
        context.shared.calls.push("paused".into());
    }

    fn resume_writing(&mut self, context: &mut Context<'_>) {
        context.shared.calls.push("resumed".into());
    }

    fn timed_out(&mut self, context: &mut Context<'_>) {
        context.shared.calls.push("timed_out".into());
    }

    fn turn_ending(&mut self, context: &mut Context<'_>) -> bool {
        context.shared.calls.push("turn".into());
        true
    }

    fn shut_down(&mut self, context: &mut Context<'_>) {
        context.shared.calls.push("shut_down".into());
        context.transport.close();
    }

    fn connection_lost(&mut self, context: &mut Context<'_>, why: Lost) {
        let why = format!("{why:?}");
        context.shared.calls.push(format!("lost:{}", why.split('(').next().unwrap_or_default()));
    }
}

pub(super) struct Probe {
    pub(super) shared: Shared,
    pub(super) commands: VecDeque<Command<ProbeProtocol, u32>>,
    pub(super) connection: Option<ConnectionId>,
    pub(super) is_drained: bool,
    /// Each turn serves one connection.
    pub(super) ends_turns: bool,
    /// Calls of [`Application::turn_ended`]: `false` for each turn, `true` for the last.
    pub(super) ended: Vec<bool>,
    /// Bytes that were read and written.
    pub(super) bytes: [usize; 2],
    /// The durations of the turns in nanoseconds.
    pub(super) lasted: Vec<u64>,
}

impl Probe {
    pub(super) fn new(shared: Shared) -> Probe {
        Probe {
            shared,
            commands: VecDeque::new(),
            connection: None,
            is_drained: false,
            ends_turns: false,
            ended: Vec::new(),
            bytes: [0; 2],
            lasted: Vec::new(),
        }
    }
}

impl Application for Probe {
    type Shared = Shared;
    type Protocol = ProbeProtocol;
    type Tag = u32;

    fn shared(&mut self) -> &mut Shared {
        &mut self.shared
    }

    fn accepted(&mut self, _clocks: Clocks, arrival: &Arrival) -> Option<ProbeProtocol> {
        if self.shared.records_admissions {
            self.shared.calls.push(format!("{:?}", arrival.admission));
        }
        Some(ProbeProtocol::default())
    }

    fn notice(&mut self, _clocks: Clocks, notice: Notice<u32>) {
        let call = match notice {
            Notice::Connecting { tag, connection } => {
                self.connection = Some(connection);
                format!("connecting:{tag}")
            }
            Notice::Done { tag, .. } => format!("done:{tag}"),
            Notice::Timer(tag) => format!("timer:{tag}"),
            Notice::AcceptFailed(_) => "accept_failed".to_owned(),
            Notice::Stop => "stop".to_owned(),
            Notice::Drained => {
                self.is_drained = true;
                return;
            }
        };
        self.shared.calls.push(call);
    }

    fn next_command(&mut self, _clocks: Clocks) -> Option<Command<ProbeProtocol, u32>> {
        let command = self.commands.pop_front()?;
        self.shared.records_admissions |= matches!(command, Command::SetQuota(..));
        Some(command)
    }

    fn must_end_turn(&self) -> bool {
        self.ends_turns
    }

    fn bytes_read(&mut self, _protocol: &ProbeProtocol, bytes: usize) {
        self.bytes[0] += bytes;
    }

    fn bytes_written(&mut self, _protocol: &ProbeProtocol, bytes: usize) {
        self.bytes[1] += bytes;
    }

    fn turn_lasted(&mut self, nanoseconds: u64) {
        self.lasted.push(nanoseconds);
    }

    fn turn_ended(&mut self, _clocks: Clocks, is_last: bool) -> bool {
        self.ended.push(is_last);
        !self.commands.is_empty()
    }
}
