//! One TCP socket, looked up by its addresses: the kernel's sock_diag over netlink.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};

use super::{Owner, Pair};

/// Stands for any socket with the addresses, whatever the kernel's own number for it.
const NO_COOKIE: [u8; 8] = [0xff; 8];
/// The answer about one socket is far shorter.
const MOST_BYTES: usize = 4096;

/// A connection to the kernel, for as many questions as there are.
pub(super) struct Diag {
    /// With the number of the last question.
    asked: Mutex<(Socket, u32)>,
}

impl Diag {
    /// `None` if the kernel was built without this.
    pub(super) fn open() -> io::Result<Option<Self>> {
        let socket = match Socket::new(NETLINK_SOCK_DIAG) {
            Ok(socket) => socket,
            Err(error) if is_unknown(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        // From then on only the kernel can send to it.
        socket.connect(&SocketAddr::new(0, 0))?;
        // The kernel answers while it takes the question: nothing is ever waited for.
        socket.set_non_blocking(true)?;
        Ok(Some(Self { asked: Mutex::new((socket, 0)) }))
    }

    /// Whether it knows of TCP: it may be built without that.
    pub(super) fn answers(&self) -> io::Result<bool> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let nobody = (Ipv4Addr::UNSPECIFIED, 0).into();
        Ok(self.owner(Pair::new(listener.local_addr()?, nobody))?.is_some())
    }

    /// The owner of the socket; `None` if there is none, or if the kernel was built without this.
    pub(super) fn owner(&self, pair: Pair) -> io::Result<Option<Owner>> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let (socket, number) = &mut *asked;
        *number = number.wrapping_add(1);
        let question = question(pair, *number);
        socket.send(&question, 0)?;
        let mut buffer = Vec::with_capacity(MOST_BYTES);
        loop {
            buffer.clear();
            socket.recv(&mut buffer, 0)?;
            let answer = NetlinkMessage::<SockDiagMessage>::deserialize(&buffer)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            // Otherwise the answer to a question whose asker has failed to read it.
            if answer.header.sequence_number == *number {
                return meaning(pair, answer.payload);
            }
        }
    }
}

/// Whether an error says that there is no such kind of socket.
fn is_unknown(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let unknown = [Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT];
    Errno::from_io_error(error).is_some_and(|error| unknown.contains(&error))
}

fn question(pair: Pair, number: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    header.sequence_number = number;
    let request = InetRequest {
        family: if pair.local.is_ipv4() { AF_INET } else { AF_INET6 },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id: SocketId {
            source_port: pair.local.port(),
            destination_port: pair.remote.port(),
            source_address: pair.local.ip(),
            destination_address: pair.remote.ip(),
            interface_id: 0,
            cookie: NO_COOKIE,
        },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn meaning(pair: Pair, answer: NetlinkPayload<SockDiagMessage>) -> io::Result<Option<Owner>> {
    match answer {
        NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
            let (header, id) = (&response.header, &response.header.socket_id);
            // When nobody is connected, the kernel may name who listens.
            let there = Pair::new(
                (id.source_address, id.source_port).into(),
                (id.destination_address, id.destination_port).into(),
            );
            Ok((there == pair).then_some(match header.inode {
                0 => Owner::Nobody,
                _ => Owner::User(header.uid),
            }))
        }
        NetlinkPayload::Error(error) => match error.to_io() {
            error if error.kind() == io::ErrorKind::NotFound => Ok(None),
            error => Err(error),
        },
        other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    fn ours() -> Owner {
        Owner::User(rustix::process::geteuid().as_raw())
    }

    /// What the far end of a connection is called here, and the near end.
    fn connected(listen: &str, connect: &str) -> Option<(TcpListener, TcpStream, TcpStream)> {
        // A machine may be without IPv6.
        let listener = TcpListener::bind((listen, 0)).ok()?;
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect((connect, port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        Some((listener, client, server))
    }

    #[test]
    fn the_connecting_socket_is_found_whatever_its_family() {
        let diag = Diag::open().unwrap().unwrap();
        for (listen, connect) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("127.0.0.1", "::ffff:127.0.0.1"),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
        ] {
            let Some((_listener, client, server)) = connected(listen, connect) else { continue };
            let pair = Pair::new(server.peer_addr().unwrap(), server.local_addr().unwrap());
            assert_eq!(diag.owner(pair).unwrap(), Some(ours()), "{listen} {connect}");
            drop(client);
            // Closed by its owner, it waits for the other end to close.
            assert_eq!(diag.owner(pair).unwrap(), Some(Owner::Nobody), "{listen} {connect}");
        }
    }

    /// Not the listener on the same port, and not a socket of UDP.
    #[test]
    fn a_socket_that_is_not_there_is_not_found() {
        let diag = Diag::open().unwrap().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let far = "127.0.0.1:9".parse().unwrap();
        for near in [listener.local_addr().unwrap(), datagrams.local_addr().unwrap()] {
            assert_eq!(diag.owner(Pair::new(near, far)).unwrap(), None);
        }
        let six = Pair::new("[::1]:9".parse().unwrap(), "[::1]:10".parse().unwrap());
        assert_eq!(diag.owner(six).unwrap(), None);
    }

    #[test]
    fn an_answer_to_an_earlier_question_is_passed_over() {
        let diag = Diag::open().unwrap().unwrap();
        let (_listener, _client, server) = connected("127.0.0.1", "127.0.0.1").unwrap();
        let pair = Pair::new(server.peer_addr().unwrap(), server.local_addr().unwrap());
        let nobody = Pair::new("127.0.0.1:9".parse().unwrap(), "127.0.0.1:10".parse().unwrap());
        diag.asked.lock().unwrap().0.send(&question(nobody, 77), 0).unwrap();
        assert_eq!(diag.owner(pair).unwrap(), Some(ours()));
        assert_eq!(diag.owner(nobody).unwrap(), None);
    }
}
