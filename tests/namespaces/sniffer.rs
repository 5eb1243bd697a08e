//! A listener on the network between the hosts: all frames that pass the bridge.

use std::io::Read;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::thread;

use socket2::{Domain, Protocol, Socket, Type};

pub struct Sniffer {
    segments: Arc<Mutex<Vec<Segment>>>,
}

/// A TCP segment over IPv4 with data.
struct Segment {
    from: Ipv4Addr,
    ports: [u16; 2],
    data: Vec<u8>,
}

impl Sniffer {
    /// Listens to all interfaces of the network of this process, which has the bridge.
    pub fn start() -> Sniffer {
        let all = i32::from(ETH_P_ALL.to_be());
        let socket =
            Socket::new(Domain::from(AF_PACKET), Type::from(SOCK_RAW), Some(Protocol::from(all))).unwrap();
        // As many bytes as the system allows.
        let _ = socket.set_recv_buffer_size(1 << 22);
        let segments = Arc::new(Mutex::new(Vec::new()));
        let seen = segments.clone();
        thread::spawn(move || {
            let mut socket = socket;
            let mut frame = vec![0; 1 << 17];
            while let Ok(length) = socket.read(&mut frame) {
                seen.lock().unwrap().extend(Segment::parse(&frame[..length]));
            }
        });
        Sniffer { segments }
    }

    /// Whether these bytes have passed in one segment to or from this port.
    pub fn sees(&self, port: u16, bytes: &[u8]) -> bool {
        let segments = self.segments.lock().unwrap();
        let mut of_port = segments.iter().filter(|segment| segment.ports.contains(&port));
        of_port.any(|segment| memchr::memmem::find(&segment.data, bytes).is_some())
    }

    /// The number of segments with application data of TLS that this host has sent to or from this port.
    pub fn encrypted(&self, from: &str, port: u16) -> usize {
        let from: Ipv4Addr = from.parse().unwrap();
        let segments = self.segments.lock().unwrap();
        let is_one = |segment: &&Segment| {
            segment.from == from
                && segment.ports.contains(&port)
                && segment.data.starts_with(&APPLICATION_DATA)
        };
        segments.iter().filter(is_one).count()
    }
}

impl Segment {
    /// `None`: the frame has no data of TCP over IPv4.
    fn parse(frame: &[u8]) -> Option<Segment> {
        let packet = frame.get(ADDRESSES..)?.strip_prefix(&IPV4)?;
        let header = usize::from(packet.first()? & 15) * 4;
        let total = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
        let from = Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(12..16)?).ok()?);
        // A frame that the kernel segments later may have the length 0.
        let packet = if total == 0 { packet } else { packet.get(..total)? };
        let tcp = packet.get(header..).filter(|_| packet[9] == TCP)?;
        let port = |at: usize| Some(u16::from_be_bytes(tcp.get(at..at + 2)?.try_into().ok()?));
        let data = tcp.get(usize::from(tcp.get(12)? >> 4) * 4..)?;
        (!data.is_empty()).then_some(Segment { from, ports: [port(0)?, port(2)?], data: data.to_vec() })
    }
}

/// From packet(7) and socket(7), on Linux.
const AF_PACKET: i32 = 17;
const SOCK_RAW: i32 = 3;
const ETH_P_ALL: u16 = 3;

/// The bytes of both addresses, at the beginning of an Ethernet frame.
const ADDRESSES: usize = 12;

/// The type of a frame with IPv4, and the protocol TCP in it.
const IPV4: [u8; 2] = [8, 0];
const TCP: u8 = 6;

/// The beginning of a TLS record of application data (RFC 8446, section 5.1).
const APPLICATION_DATA: [u8; 3] = [23, 3, 3];
