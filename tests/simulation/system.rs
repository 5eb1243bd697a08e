//! The operating system of one simulated server.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use herd::clock::Moment;
use herd::event_loop::system::{Event, System};
use herd::protocol::Work;

use crate::connection::Side;
use crate::world::{Happening, MILLISECOND, Port, Resolved, Time, World};

pub type SharedWorld = Rc<RefCell<World>>;

/// The system of one host.
pub struct SimulatedSystem {
    world: SharedWorld,
    host: usize,
    /// The number of times that the wall clock was read in this turn.
    ticks: Cell<u64>,
    /// How far its process, which awaits its last tasks, is ahead of the world.
    ahead: Time,
}

impl SimulatedSystem {
    pub fn new(world: &SharedWorld, host: usize) -> SimulatedSystem {
        SimulatedSystem { world: world.clone(), host, ticks: Cell::new(0), ahead: 0 }
    }
}

/// One end of a simulated connection. Dropping it closes the end.
pub struct SimulatedStream {
    world: SharedWorld,
    connection: usize,
    side: Side,
}

impl Read for SimulatedStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.world.borrow_mut().read(self.connection, self.side, buffer)
    }
}

impl Write for SimulatedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.world.borrow_mut().write(self.connection, self.side, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SimulatedStream {
    fn drop(&mut self) {
        // When a failed test unwinds, the world may be borrowed.
        if let Ok(mut world) = self.world.try_borrow_mut() {
            world.close(self.connection, self.side);
        }
    }
}

impl System for SimulatedSystem {
    type Listener = Port;
    type Stream = SimulatedStream;

    fn poll(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        self.ticks.set(0);
        let mut world = self.world.borrow_mut();
        if world.hosts[self.host].is_finishing {
            let patience = timeout.map_or(Time::MAX / 2, |timeout| timeout.as_nanos() as Time);
            let until = world.now + self.ahead + patience;
            self.ahead = world.await_task(self.host, until).unwrap_or(until).max(world.now) - world.now;
        }
        events.append(&mut world.hosts[self.host].events);
        let spurious_one_in = world.conditions.spurious_one_in;
        if world.chance.one_in(spurious_one_in) && !world.connections.is_empty() {
            let connections = world.connections.len();
            let index = world.chance.index(connections);
            for side in [Side::Dialler, Side::Acceptor] {
                let (readable, writable) = (world.chance.one_in(2), world.chance.one_in(2));
                let endpoint = world.connections[index].endpoint(side);
                let is_own = endpoint.host == self.host && endpoint.open;
                if let Some(token) = endpoint.token.filter(|_| is_own) {
                    events.push(Event::Ready { token, readable, writable });
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self, port: &mut Port) -> io::Result<(SimulatedStream, SocketAddr)> {
        let (connection, address) = self.world.borrow_mut().accept(self.host, *port)?;
        Ok((SimulatedStream { world: self.world.clone(), connection, side: Side::Acceptor }, address))
    }

    fn short_reads_empty(&self) -> bool {
        self.world.borrow().conditions.short_reads_empty
    }

    fn connect(&mut self, address: SocketAddr) -> io::Result<SimulatedStream> {
        let connection = self.world.borrow_mut().connect(self.host, address)?;
        Ok(SimulatedStream { world: self.world.clone(), connection, side: Side::Dialler })
    }

    fn register(&mut self, stream: &mut SimulatedStream, token: usize) -> io::Result<()> {
        self.world.borrow_mut().register(stream.connection, stream.side, token);
        Ok(())
    }

    fn is_connected(&mut self, stream: &mut SimulatedStream) -> io::Result<bool> {
        self.world.borrow_mut().is_connected(stream.connection, stream.side)
    }

    fn shut_down_writing(&mut self, stream: &mut SimulatedStream) -> io::Result<()> {
        self.world.borrow_mut().shut_down_writing(stream.connection, stream.side)
    }

    fn run(&mut self, ticket: usize, work: Work) {
        let mut world = self.world.borrow_mut();
        let port = match work {
            Work::Resolve { port, .. } => port,
            Work::Run(task) => return world.run_task(self.host, ticket, task),
        };
        let delay = world.chance.magnitude(MILLISECOND, 200 * MILLISECOND);
        let unknown_one_in = world.conditions.unknown_one_in;
        let found = (!world.chance.one_in(unknown_one_in)).then(|| SocketAddr::from(([127, 0, 0, 1], port)));
        let (host, incarnation) = (self.host, world.hosts[self.host].incarnation);
        world
            .schedule_in(delay, Happening::Resolved(Box::new(Resolved { host, incarnation, ticket, found })));
    }

    fn now(&self) -> Moment {
        Moment::after_start(Duration::from_nanos(self.world.borrow().now + self.ahead))
    }

    fn wall(&self) -> u64 {
        let world = self.world.borrow();
        self.ticks.set(self.ticks.get() + 1);
        let progress =
            if world.conditions.coarse_clocks { 0 } else { (self.ticks.get() * TICK).min(PROGRESS_MAX) };
        world.wall(self.host) + progress
    }

    fn random(&mut self) -> u64 {
        self.world.borrow_mut().chance.number()
    }
}

/// The progress of a wall clock from one reading to the next, in ns.
const TICK: u64 = 90;
/// Its greatest progress in a turn, in ns. The time of the network does not advance with it.
const PROGRESS_MAX: u64 = 1_000_000;
