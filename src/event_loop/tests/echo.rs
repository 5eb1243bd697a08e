//! The loop carries any program: this one echoes.

use super::scripted_system::{Peer, ScriptedSystem};
use crate::clock::Clocks;
use crate::event_loop::EventLoop;
use crate::protocol::{Application, Arrival, Command, Context, Lost, Notice, Protocol, Quota, WaterMarks};

struct Echo;

impl Protocol for Echo {
    type Shared = ();

    fn connection_made(&mut self, _context: &mut Context<'_, ()>) {}
    fn data_received(&mut self, context: &mut Context<'_, ()>, data: &[u8]) -> usize {
        context.transport.write(data);
        data.len()
    }
    fn eof_received(&mut self, context: &mut Context<'_, ()>, _rest: &[u8]) {
        context.transport.close();
    }
    fn timed_out(&mut self, _context: &mut Context<'_, ()>) {}
    fn shut_down(&mut self, context: &mut Context<'_, ()>) {
        context.transport.close();
    }
    fn connection_lost(&mut self, _context: &mut Context<'_, ()>, _why: Lost) {}
}

struct EchoServer(());

impl Application for EchoServer {
    type Shared = ();
    type Protocol = Echo;
    type Tag = ();

    fn shared(&mut self) -> &mut () {
        &mut self.0
    }
    fn accepted(&mut self, _clocks: Clocks, _arrival: &Arrival) -> Option<Echo> {
        Some(Echo)
    }
    fn notice(&mut self, _clocks: Clocks, _notice: Notice<()>) {}
    fn next_command(&mut self, _clocks: Clocks) -> Option<Command<Echo, ()>> {
        None
    }
}

#[test]
fn an_echo_server() {
    let system = ScriptedSystem::default();
    let mut event_loop = EventLoop::new(system.clone(), EchoServer(()), WaterMarks::default());
    event_loop.add_listener((), None, Quota { connections_max: 10, spare: 0, per_address: 0 });
    system.arrive(Peer::sending(b"hello, ", b""));
    event_loop.turn().unwrap();
    system.send(0, b"world");
    system.half_close(0);
    event_loop.turn().unwrap();
    event_loop.turn().unwrap();
    assert_eq!(system.received(0), "hello, world");
    assert!(system.0.borrow().peers[0].is_gone);
}
