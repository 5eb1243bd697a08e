//! A proxy between two servers, which can cut their connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use crate::process::free_address;

/// A proxy that forwards one connection at a time.
pub struct Proxy {
    /// The address of the proxy. It listens only while it waits for a connection.
    pub address: SocketAddr,
    to: SocketAddr,
    open: Option<(TcpStream, TcpStream)>,
}

impl Proxy {
    /// A proxy to this address, which does not listen yet.
    pub fn to(to: SocketAddr) -> Proxy {
        Proxy { address: free_address(), to, open: None }
    }

    /// Waits for one connection and forwards it. Returns the time at which it was accepted.
    pub fn forward_one(&mut self) -> io::Result<Instant> {
        let listener = listen(self.address)?;
        // A connection is closed while the target does not listen.
        let (inner, accepted, outer) = loop {
            let (inner, _) = listener.accept()?;
            let accepted = Instant::now();
            if let Ok(outer) = TcpStream::connect(self.to) {
                break (inner, accepted, outer);
            }
        };
        inner.set_nodelay(true)?;
        outer.set_nodelay(true)?;
        copy(inner.try_clone()?, outer.try_clone()?);
        copy(outer.try_clone()?, inner.try_clone()?);
        self.open = Some((inner, outer));
        Ok(accepted)
    }

    /// Does [`Proxy::forward_one`] in a thread, and sends its result.
    pub fn forward_one_later(mut self) -> Receiver<io::Result<(Proxy, Instant)>> {
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let result = self.forward_one().map(|accepted| (self, accepted));
            let _ = sender.send(result);
        });
        receiver
    }

    /// Closes the connection on both sides.
    pub fn cut(&mut self) {
        if let Some((inner, outer)) = self.open.take() {
            let _ = inner.shutdown(Shutdown::Both);
            let _ = outer.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // The closed connection may still occupy the port.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(16)?;
    Ok(socket.into())
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(length) = from.read(&mut buffer) {
            if length == 0 || to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
