//! A way between two servers that can be cut.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use crate::process::free_address;

/// An address whose connections lead to another one, as long as it is open.
pub struct Proxy {
    /// Where it listens while it is open.
    pub address: SocketAddr,
    to: SocketAddr,
    open: Option<(TcpStream, TcpStream)>,
}

impl Proxy {
    /// One that is shut.
    pub fn to(to: SocketAddr) -> Proxy {
        Proxy { address: free_address(), to, open: None }
    }

    /// Lets one connection through; returns when it came.
    pub fn let_one_through(&mut self) -> io::Result<Instant> {
        let listener = listen(self.address)?;
        // Who dials before the other side is there is hung up on, as if nobody had listened.
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

    /// Lets one connection through as soon as it comes, and says when that was.
    pub fn let_one_through_later(mut self) -> Receiver<io::Result<(Proxy, Instant)>> {
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let result = self.let_one_through().map(|accepted| (self, accepted));
            let _ = sender.send(result);
        });
        receiver
    }

    /// Cuts it.
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
    // The connection that was cut may still hold the port.
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
