//! To whom the other end of a TCP connection on this machine belongs.
//!
//! Linux lists every TCP socket of the network namespace in /proc/net/tcp and tcp6, with the user
//! that made it. The peer's socket stands there from its `connect` on, local and remote address
//! the other way round than ours. To print the list the kernel walks through a table as large as
//! the machine's memory suggests, which takes milliseconds; so it is asked for the one socket
//! first, and the list is read where it cannot answer that.

#[cfg(target_os = "linux")]
mod diag;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The tables; the second is missing where IPv6 is.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// A table is read in pieces while it changes, so that an entry can be missed: it is looked for
/// again after these pauses.
const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(5), Duration::from_millis(25)];

/// Two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Pair {
    /// The end of the socket that is looked for.
    local: SocketAddr,
    remote: SocketAddr,
}

impl Pair {
    /// IPv4 addresses in the clothes of IPv6 count as what they are.
    pub(super) fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        let plain =
            |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Self { local: plain(local), remote: plain(remote) }
    }
}

/// Who holds a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// This user.
    User(u32),
    /// Nobody any more: it was closed. The kernel then says user 0, which means nothing.
    Nobody,
}

/// The sockets that are connected to one port.
type Table = HashMap<Pair, Owner>;
type Source = Arc<dyn Fn() -> io::Result<String> + Send + Sync>;
/// Asks for one socket; an answer of `None` may also mean that it cannot be asked for.
type Direct = Box<dyn Fn(Pair) -> io::Result<Option<Owner>> + Send + Sync>;

/// Why owners cannot be looked up.
#[derive(Debug, thiserror::Error)]
pub enum OwnersError {
    /// The table of TCP sockets is there, and cannot be opened.
    #[error("{table}: {source}")]
    Table {
        /// The file.
        table: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// There is no table, and the kernel cannot be asked for one socket (sock_diag over netlink).
    #[error("there is no table of sockets, and the kernel does not say whose one is: {0}")]
    Question(#[source] io::Error),
}

impl OwnersError {
    /// The system's answer.
    pub(super) fn cause(&self) -> &io::Error {
        let (Self::Table { source, .. } | Self::Question(source)) = self;
        source
    }
}

/// Looks owners up.
pub(super) struct Owners {
    direct: Option<Direct>,
    source: Source,
    /// The last table, and when its reading began. It serves everybody who asked before that: a
    /// thousand connections at once cost a few readings.
    last: tokio::sync::Mutex<Option<(Instant, Arc<Table>)>>,
}

impl Owners {
    /// Opens the tables once and for all: a lookup must not fail for want of a file descriptor.
    /// `None` where owners cannot be known, because the system has neither a table nor another way
    /// to ask.
    ///
    /// # Errors
    /// When it cannot be known just now, or not by us: a lack of descriptors, no permission.
    pub(super) fn open() -> Result<Option<Self>, OwnersError> {
        Self::of_tables(TABLES, direct())
    }

    fn of_tables(
        tables: [&'static str; 2],
        direct: io::Result<Option<Direct>>,
    ) -> Result<Option<Self>, OwnersError> {
        let mut files = Vec::new();
        for table in tables {
            match File::open(table) {
                Ok(file) => files.push(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(OwnersError::Table { table, source }),
            }
        }
        let direct = match direct {
            Ok(direct) => direct,
            // Then it matters why.
            Err(source) if files.is_empty() => return Err(OwnersError::Question(source)),
            Err(error) => {
                tracing::debug!(%error, "the kernel cannot be asked for one socket");
                None
            }
        };
        if files.is_empty() && direct.is_none() {
            return Ok(None);
        }
        let files = Mutex::new(files);
        let mut owners = Self::of(Arc::new(move || {
            let mut text = String::new();
            for file in files.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
                file.rewind()?;
                file.read_to_string(&mut text)?;
            }
            Ok(text)
        }));
        owners.direct = direct;
        Ok(Some(owners))
    }

    fn of(source: Source) -> Self {
        Self { direct: None, source, last: tokio::sync::Mutex::new(None) }
    }

    /// The owner of the socket; `None` if there is no such socket.
    pub(super) async fn owner(&self, pair: Pair) -> io::Result<Option<Owner>> {
        if let Some(direct) = &self.direct {
            match direct(pair) {
                Ok(Some(owner)) => return Ok(Some(owner)),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "the kernel does not look a socket up"),
            }
        }
        for pause in PAUSES {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            if let Some(owner) = self.table(pair.remote.port()).await?.get(&pair) {
                return Ok(Some(*owner));
            }
        }
        Ok(None)
    }

    /// A table that was read after this call began.
    async fn table(&self, port: u16) -> io::Result<Arc<Table>> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((begun, table)) = &*last
            && *begun >= asked
        {
            return Ok(Arc::clone(table));
        }
        let (begun, source) = (Instant::now(), Arc::clone(&self.source));
        let read = move || source().map(|text| parse(&text, port));
        let table = Arc::new(tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??);
        *last = Some((begun, Arc::clone(&table)));
        Ok(table)
    }
}

/// `None` where the kernel does not answer such questions.
#[cfg(target_os = "linux")]
fn direct() -> io::Result<Option<Direct>> {
    let diag = diag::Diag::open()?;
    Ok(match diag {
        Some(diag) if diag.answers()? => Some(Box::new(move |pair| diag.owner(pair))),
        _ => None,
    })
}

#[cfg(not(target_os = "linux"))]
fn direct() -> io::Result<Option<Direct>> {
    Ok(None)
}

/// The sockets connected to `port`. Lines that are none are passed over.
fn parse(text: &str, port: u16) -> Table {
    let mut table = Table::new();
    // The machine may have many sockets, of which few are ours.
    let remote = format!(":{port:04X} ");
    let lines = text.lines().filter(|line| line.contains(&remote));
    for (pair, owner) in lines.filter_map(|line| entry(line, port)) {
        // The ports of a closed connection may be in use again: the living one counts.
        let known = table.entry(pair).or_insert(owner);
        if *known == Owner::Nobody {
            *known = owner;
        }
    }
    table
}

/// `sl local remote state queues timer retransmits uid timeout inode …`
fn entry(line: &str, port: u16) -> Option<(Pair, Owner)> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (columns.next()?, columns.next()?);
    let remote = address(remote).filter(|remote| remote.port() == port)?;
    let pair = Pair::new(address(local)?, remote);
    let uid = columns.nth(4)?.parse().ok()?;
    let owner = match columns.nth(1)?.parse::<u64>().ok()? {
        0 => Owner::Nobody,
        _ => Owner::User(uid),
    };
    Some((pair, owner))
}

/// `0100007F:1F90`: the address as numbers of four bytes, which the kernel prints as this
/// machine has them in memory.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for word in ip.as_bytes().chunks(8) {
        let word = std::str::from_utf8(word).ok().filter(|word| word.len() == 8)?;
        bytes.extend(u32::from_str_radix(word, 16).ok()?.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn line(local: &str, remote: &str, uid: u32, inode: u64) -> String {
        format!(
            "   7: {local} {remote} 01 00000000:00000000 00:00000000 00000000 {uid:5}        0 {inode} 1 0 20 4 0 134 -1\n"
        )
    }

    fn pair(local: &str, remote: &str) -> Pair {
        Pair::new(local.parse().unwrap(), remote.parse().unwrap())
    }

    #[test]
    fn the_connecting_socket_is_found_in_either_table() {
        let mapped = "0000000000000000FFFF00000100007F";
        let text = [
            HEAD.to_owned(),
            line("0100007F:1F90", "00000000:0000", 1, 5),
            line("0100007F:C350", "0100007F:1F90", 1000, 6),
            // Our own end of the same connection.
            line("0100007F:1F90", "0100007F:C350", 0, 7),
            line(
                "00000000000000000000000001000000:C351",
                "00000000000000000000000001000000:1F90",
                1001,
                8,
            ),
            line(&format!("{mapped}:C352"), &format!("{mapped}:1F90"), 1002, 9),
            line("0100007F:C353", "0100007F:1F91", 1003, 10),
        ]
        .concat();
        let table = parse(&text, 8080);
        assert_eq!(table.len(), 3, "{table:?}");
        for (pair, uid) in [
            (pair("127.0.0.1:50000", "127.0.0.1:8080"), 1000),
            (pair("[::1]:50001", "[::1]:8080"), 1001),
            (pair("127.0.0.1:50002", "[::ffff:127.0.0.1]:8080"), 1002),
        ] {
            assert_eq!(table[&pair], Owner::User(uid));
        }
    }

    #[test]
    fn a_closed_socket_has_no_owner_and_gives_way_to_a_living_one() {
        let (local, remote) = ("0100007F:C350", "0100007F:1F90");
        let pair = pair("127.0.0.1:50000", "127.0.0.1:8080");
        let (closed, open) = (line(local, remote, 0, 0), line(local, remote, 7, 3));
        assert_eq!(parse(&closed, 8080)[&pair], Owner::Nobody);
        for text in [format!("{closed}{open}"), format!("{open}{closed}")] {
            assert_eq!(parse(&text, 8080)[&pair], Owner::User(7));
        }
    }

    #[test]
    fn what_is_no_line_is_passed_over() {
        let good = line("0100007F:C350", "0100007F:1F90", 1000, 6);
        let cut = (0..good.find("1000").unwrap()).map(|end| good[..end].to_owned());
        let wrong = [
            line("0100007:C350", "0100007F:1F90", 1, 1),
            line("0100007FF:C350", "0100007F:1F90", 1, 1),
            line("0100007F0100007F:C350", "0100007F:1F90", 1, 1),
            line("0100007G:C350", "0100007F:1F90", 1, 1),
            line("0100007F:C3500", "0100007F:1F90", 1, 1),
            line("0100007F", "0100007F:1F90", 1, 1),
            line("é100007F:C350", "0100007F:1F90", 1, 1),
            good.replace("1000 ", "-1 "),
            good.replace("1000 ", "4294967296 "),
        ];
        for text in cut.chain(wrong) {
            assert!(parse(&text, 8080).is_empty(), "{text}");
        }
        assert_eq!(parse(&good, 8080).len(), 1);
    }

    /// An answer is taken; where there is none, the list has the word.
    #[tokio::test]
    async fn the_list_is_read_where_the_kernel_cannot_answer() {
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reads);
        let mut owners = Owners::of(Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(line("0100007F:C350", "0100007F:1F90", 1000, 6))
        }));
        let there = pair("127.0.0.1:50000", "127.0.0.1:8080");
        owners.direct = Some(Box::new(|_| Ok(Some(Owner::User(7)))));
        assert_eq!(owners.owner(there).await.unwrap(), Some(Owner::User(7)));
        assert_eq!(reads.load(Ordering::SeqCst), 0);
        let none: [Direct; 2] =
            [Box::new(|_| Ok(None)), Box::new(|_| Err(io::ErrorKind::Unsupported.into()))];
        for direct in none {
            owners.direct = Some(direct);
            assert_eq!(owners.owner(there).await.unwrap(), Some(Owner::User(1000)));
        }
        assert_eq!(reads.load(Ordering::SeqCst), 2);
    }

    /// Only where there is nothing to look at is nothing known; whatever else is in the way is an error.
    #[test]
    fn a_table_that_cannot_be_opened_is_not_a_missing_one() {
        const NONE: &str = "/proc/net/no-such-table";
        // The second is no folder: a path through it is an error that is not "not found".
        const BROKEN: &str = "/proc/self/status/tcp";
        let no_way = || Ok(None);
        let refused = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let can = || -> io::Result<Option<Direct>> { Ok(Some(Box::new(|_| Ok(None)))) };
        assert!(Owners::of_tables([NONE, NONE], no_way()).unwrap().is_none());
        assert!(Owners::of_tables([NONE, NONE], can()).unwrap().is_some());
        assert!(Owners::of_tables(["/proc/self/status", NONE], refused()).unwrap().is_some());
        for tables in [[BROKEN, NONE], [NONE, BROKEN], ["/proc/self/status", BROKEN]] {
            let error = Owners::of_tables(tables, can()).err().unwrap().to_string();
            assert!(error.starts_with(BROKEN), "{error}");
        }
        let error = Owners::of_tables([NONE, NONE], refused()).err().unwrap().to_string();
        assert!(error.contains("permission denied"), "{error}");
    }

    #[tokio::test]
    async fn an_entry_that_was_missed_is_looked_for_again() {
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reads);
        let owners = Owners::of(Arc::new(move || {
            Ok(match counted.fetch_add(1, Ordering::SeqCst) {
                0 => HEAD.to_owned(),
                _ => line("0100007F:C350", "0100007F:1F90", 1000, 6),
            })
        }));
        let there = pair("127.0.0.1:50000", "127.0.0.1:8080");
        assert_eq!(owners.owner(there).await.unwrap(), Some(Owner::User(1000)));
        assert_eq!(reads.load(Ordering::SeqCst), 2);
        let not_there = pair("127.0.0.1:50001", "127.0.0.1:8080");
        assert_eq!(owners.owner(not_there).await.unwrap(), None);
    }

    #[tokio::test]
    async fn who_asks_at_the_same_time_shares_a_reading() {
        const ASKING: usize = 1000;
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reads);
        let (everybody_asks, last_asks) = std::sync::mpsc::channel();
        let last_asks = Mutex::new(last_asks);
        let owners = Owners::of(Arc::new(move || {
            // The first reading, begun for the first who asks, takes until all others ask too.
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                last_asks.lock().unwrap().recv().unwrap();
            }
            Ok(line("0100007F:C350", "0100007F:1F90", 1000, 6))
        }));
        let there = pair("127.0.0.1:50000", "127.0.0.1:8080");
        let (owners, everybody_asks) = (&owners, &everybody_asks);
        let found = (0..ASKING).map(|at| async move {
            if at == ASKING - 1 {
                everybody_asks.send(()).unwrap();
            }
            owners.owner(there).await
        });
        let found = futures::future::join_all(found).await;
        assert!(found.into_iter().all(|owner| owner.unwrap() == Some(Owner::User(1000))));
        assert_eq!(reads.load(Ordering::SeqCst), 2);
    }
}
