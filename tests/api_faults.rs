//! Peers that do harm: whatever one connection does, the others are served, the stop keeps its
//! bound, and no task and no file descriptor is left.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api_common;
mod common;

use std::process::Stdio;
use std::time::{Duration, Instant};

use api_common::{Raw, api, read, rpc, soon, until};
use bytes::Bytes;
use common::{again, is_again};
use plugin_conformance::api::{ApiServer, ConnectionLimits};
use plugin_proto::v1;
use prost::Message as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin};

/// How long calls may go on in a stop.
const DRAIN: Duration = Duration::from_millis(200);
/// What may come on top of it.
const BOUND: Duration = Duration::from_secs(10);
/// Limits that a test need not wait for.
const QUICK: ConnectionLimits = ConnectionLimits {
    connections: 16,
    streams: 100,
    preface: Duration::from_secs(1),
    ping_interval: Duration::from_millis(200),
    ping_timeout: Duration::from_secs(1),
};
const VERSION: &str = "11.2.0";
/// A response of `ReadFile`, in bytes.
const FILE: usize = 1 << 20;

/// The preface and an empty SETTINGS frame.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: u32 = 11;

/// One test at a time: they count the file descriptors of the process.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A server, and a client of it that does no harm.
struct Fault {
    server: ApiServer,
    good: Raw,
    descriptors: usize,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Fault {
    async fn with(limits: ConnectionLimits) -> Self {
        let turn = TURN.lock().await;
        let descriptors = descriptors();
        let server = soon(builder().connection_limits(limits).start()).await.unwrap();
        let good = Raw::connect(&server).await;
        let fault = Self { server, good, descriptors, _turn: turn };
        fault.good_client_is_served().await;
        fault
    }

    async fn peer(&self) -> TcpStream {
        soon(TcpStream::connect(self.server.target())).await.unwrap()
    }

    async fn good_client_is_served(&self) {
        let start = Instant::now();
        assert_version(&self.good).await;
        assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    }

    /// Nothing of the harm is left: listener and good connection only.
    async fn is_over(&self) {
        until("the harm is over", || self.server.tasks() == 2).await;
    }

    /// The good client is served still, and a new one; and then nothing is left.
    async fn end(self) {
        self.good_client_is_served().await;
        let new = Raw::connect(&self.server).await;
        assert_version(&new).await;
        let Self { server, good, descriptors: before, _turn } = self;
        let start = Instant::now();
        let stop = soon(server.stop(DRAIN)).await;
        assert!(start.elapsed() < DRAIN + BOUND, "the stop took {:?}", start.elapsed());
        assert_eq!((stop.stuck, server.tasks()), (0, 0), "{stop:?}");
        drop((server, good, new));
        until("the file descriptors are closed", || descriptors() <= before).await;
    }
}

fn builder() -> plugin_conformance::api::ApiServerBuilder {
    ApiServer::builder(api(|method, _| async {
        Ok(match method.name {
            "GetServerVersion" => {
                let version = VERSION.to_owned();
                v1::GetServerVersionResponse { version, error: None }.encode_to_vec().into()
            }
            "ReadFile" => {
                let data = vec![7; FILE].into();
                v1::ReadFileResponse { data, error: None }.encode_to_vec().into()
            }
            "GetUser" => std::future::pending().await,
            _ => Bytes::new(),
        })
    }))
}

async fn assert_version(client: &Raw) {
    let answer = client.call(rpc("GetServerVersion"), b"").await;
    let answer = v1::GetServerVersionResponse::decode(answer.ok()).unwrap();
    assert_eq!(answer.version, VERSION);
}

fn descriptors() -> usize {
    let folder = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    std::fs::read_dir(folder).unwrap().count()
}

/// All that the server says until it closes the connection.
async fn rest(peer: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end as well.
    let _ = soon(peer.read_to_end(&mut said)).await;
    said
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// The header block of a call, in HPACK without compression.
fn header_block(path: &str) -> Vec<u8> {
    fn text(out: &mut Vec<u8>, text: &str) {
        out.push(u8::try_from(text.len()).unwrap());
        out.extend(text.as_bytes());
    }
    // :method POST, :scheme http, and then :path, :authority, content-type and te.
    let mut out = vec![0x83, 0x86, 0x04];
    text(&mut out, path);
    out.push(0x01);
    text(&mut out, "localhost");
    out.extend([0x0f, 0x10]);
    text(&mut out, "application/grpc");
    out.push(0);
    text(&mut out, "te");
    text(&mut out, "trailers");
    out
}

/// The error code of the first GOAWAY among these frames.
fn goaway(mut frames: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = frames.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        if head[3] == GOAWAY {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        frames = rest;
    }
    None
}

/// Says `harm` on a connection of its own, and gives what the server said until it closed it.
async fn harmed(fault: &Fault, harm: Vec<u8>) -> Vec<u8> {
    let (mut reading, mut writing) = fault.peer().await.into_split();
    let write = async {
        // The server may have closed before all is said.
        let _ = writing.write_all(&harm).await;
        writing
    };
    let mut said = Vec::new();
    let read = async {
        let _ = reading.read_to_end(&mut said).await;
    };
    let _open = soon(async { tokio::join!(write, read) }).await;
    said
}

// Peers that took a wrong turn

#[tokio::test]
async fn a_client_of_http_1_is_told_what_is_wrong() {
    let fault = Fault::with(ConnectionLimits::default()).await;
    for request in [
        "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        format!("POST / HTTP/1.1\r\ncontent-length: 50000\r\n\r\n{}", "x".repeat(50_000)),
    ] {
        let said = String::from_utf8(harmed(&fault, request.into_bytes()).await).unwrap();
        assert!(said.starts_with("HTTP/1.1 505 HTTP Version Not Supported\r\n"), "{said}");
        assert!(said.contains("This is a gRPC server") && said.contains("HTTP/2"), "{said}");
    }
    fault.is_over().await;
    fault.end().await;
}

#[tokio::test]
async fn a_client_of_tls_gets_an_alert() {
    let fault = Fault::with(ConnectionLimits::default()).await;
    // The head of a ClientHello record, and what may be its body.
    let mut hello = vec![22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
    hello.resize(205, 0x5a);
    // Fatal, protocol_version.
    assert_eq!(harmed(&fault, hello).await, [21, 3, 1, 0, 2, 2, 70]);
    fault.is_over().await;
    fault.end().await;
}

#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let fault = Fault::with(ConnectionLimits::default()).await;
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut garbage = |bytes: usize| -> Vec<u8> {
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random.to_le_bytes()[0]
        };
        (0..bytes).map(|_| next()).collect()
    };
    for bytes in [1, 23, 24, 25, 1000, 200_000] {
        let start = Instant::now();
        harmed(&fault, [b"\xff".to_vec(), garbage(bytes)].concat()).await;
        harmed(&fault, [HELLO.to_vec(), vec![0xff; 9], garbage(bytes)].concat()).await;
        assert!(start.elapsed() < BOUND, "{bytes}: {:?}", start.elapsed());
    }
    fault.is_over().await;
    fault.end().await;
}

// Peers that take their time

#[tokio::test]
async fn a_preface_of_a_byte_at_a_time_is_not_waited_for() {
    let fault = Fault::with(QUICK).await;
    let silent = fault.peer().await;
    let (mut reading, mut writing) = fault.peer().await.into_split();
    let start = Instant::now();
    let dribble = async {
        for byte in HELLO {
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let closed = async {
        let _ = reading.read(&mut [0; 1]).await;
    };
    soon(async {
        tokio::select! {
            () = dribble => panic!("all of it was waited for"),
            () = closed => {}
        }
    })
    .await;
    assert!(start.elapsed() < QUICK.preface + BOUND, "{:?}", start.elapsed());
    fault.is_over().await;
    drop((silent, reading, writing));
    fault.end().await;
}

/// Behind the preface it is the pings that find such a peer: it does not answer them.
#[tokio::test]
async fn a_request_of_a_byte_at_a_time_is_not_waited_for() {
    let fault = Fault::with(QUICK).await;
    let (mut reading, mut writing) = fault.peer().await.into_split();
    let mut request = HELLO.to_vec();
    writing.write_all(&request).await.unwrap();
    request = frame(HEADERS, END_HEADERS, 1, &[0; 10_000]);
    let dribble = async {
        for byte in request {
            if writing.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut said = Vec::new();
    let closed = async {
        let _ = reading.read_to_end(&mut said).await;
    };
    soon(async {
        tokio::select! {
            () = dribble => {}
            () = closed => {}
        }
    })
    .await;
    fault.is_over().await;
    drop((reading, writing));
    fault.end().await;
}

/// A peer whose machine is gone: no FIN, no RST, and no answer to a ping.
#[tokio::test]
async fn a_half_open_connection_is_found() {
    let fault = Fault::with(QUICK).await;
    let mut peers = Vec::new();
    for said in [
        HELLO.to_vec(),
        [HELLO, &frame(HEADERS, END_HEADERS, 1, &header_block(rpc("GetUser").path))].concat(),
    ] {
        let mut peer = fault.peer().await;
        peer.write_all(&said).await.unwrap();
        peers.push(peer);
    }
    fault.is_over().await;
    drop(peers);
    fault.end().await;
}

#[tokio::test]
async fn a_client_that_never_reads_holds_up_nobody() {
    let fault = Fault::with(ConnectionLimits::default()).await;
    let greedy = Raw::connect(&fault.server).await;
    let mut unread = Vec::new();
    for _ in 0..64 {
        let (answer, mut stream) = greedy.start(rpc("ReadFile").path, &[]).await;
        stream.send_data(api_common::frame(b""), true).unwrap();
        unread.push(answer);
    }
    // The windows are full when the first answer has begun and is not read.
    let first = soon(unread.remove(0)).await.unwrap();
    fault.good_client_is_served().await;
    let small = fault.good.call(rpc("ReadFile"), b"").await;
    assert!(small.ok().len() > FILE);
    // It is the stop that ends these calls, by force.
    fault.end().await;
    drop((greedy, first, unread));
}

// Floods

#[tokio::test]
async fn rapid_reset_ends_its_connection() {
    let fault = Fault::with(ConnectionLimits::default()).await;
    let block = header_block(rpc("GetUser").path);
    let mut flood = HELLO.to_vec();
    for stream in (1..20_000).step_by(2) {
        flood.extend(frame(HEADERS, END_HEADERS, stream, &block));
        flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let said = harmed(&fault, flood).await;
    assert_eq!(goaway(&said), Some(ENHANCE_YOUR_CALM));
    fault.is_over().await;
    fault.end().await;
}

/// The same, slowly enough that each call begins before it is reset.
#[tokio::test]
async fn calls_that_are_reset_leave_nothing() {
    let fault = Fault::with(ConnectionLimits::default()).await;
    let raw = Raw::connect(&fault.server).await;
    for _ in 0..300 {
        let (answer, mut stream) = raw.start(rpc("GetUser").path, &[]).await;
        stream.send_data(api_common::frame(b""), true).unwrap();
        stream.send_reset(h2::Reason::CANCEL);
        assert!(read(answer).await.is_err());
    }
    until("the calls are gone", || fault.server.tasks() <= 3).await;
    fault.end().await;
}

#[tokio::test]
async fn a_flood_of_continuations_ends_its_connection() {
    let fault = Fault::with(ConnectionLimits::default()).await;
    for bytes in [0, 1, 1000] {
        let mut flood = HELLO.to_vec();
        flood.extend(frame(HEADERS, END_STREAM, 1, &header_block(rpc("GetUser").path)));
        // A header whose value goes on and on.
        flood.extend(frame(CONTINUATION, 0, 1, b"\0\x01x\x7f\xff\xff\xff\x07"));
        for _ in 0..5000 {
            flood.extend(frame(CONTINUATION, 0, 1, &vec![b'x'; bytes]));
        }
        let said = harmed(&fault, flood).await;
        assert_eq!(goaway(&said), Some(ENHANCE_YOUR_CALM), "{bytes}");
    }
    fault.is_over().await;
    fault.end().await;
}

#[tokio::test]
async fn headers_that_are_too_large_fail_their_call() {
    let fault = Fault::with(ConnectionLimits::default()).await;
    let raw = Raw::connect(&fault.server).await;
    for bytes in [1000, 17 * 1024] {
        let large = "x".repeat(bytes);
        let headers = [("x-large", large.as_str())];
        let path = rpc("GetServerVersion").path;
        let (answer, mut stream) = raw.start(path, &headers).await;
        let _ = stream.send_data(api_common::frame(b""), true);
        let answer = read(answer).await;
        match bytes {
            1000 => assert_eq!(answer.unwrap().code(), 0),
            // Request Header Fields Too Large, or a reset.
            _ => assert!(answer.as_ref().is_ok_and(|it| it.http == 431) || answer.is_err()),
        }
    }
    fault.good_client_is_served().await;
    raw.assert_lives().await;
    drop(raw);
    fault.is_over().await;
    fault.end().await;
}

// Many

/// A helper lives as long as who started it holds its standard input.
async fn input_ended() {
    let read = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(read).await.unwrap().unwrap();
}

/// Holds connections until its standard input ends.
async fn crowd() {
    let target = std::env::var(TARGET).unwrap();
    let count: usize = std::env::var(COUNT).unwrap().parse().unwrap();
    let mut peers = Vec::with_capacity(count);
    for _ in 0..count {
        peers.push(TcpStream::connect(&target).await.unwrap());
    }
    println!("\nready");
    input_ended().await;
}

const TARGET: &str = "PLUGIN_CONFORMANCE_TEST_TARGET";
const COUNT: &str = "PLUGIN_CONFORMANCE_TEST_COUNT";

/// Runs a test of this file again as a process of its own, until it prints a line that begins so.
async fn helper(
    test: &str,
    variables: &[(&str, String)],
    ready: &str,
) -> (Child, ChildStdin, String) {
    let mut command = again(test);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut lines = BufReader::new(stdout).lines();
    let line = soon(async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the helper gets ready");
            if line.starts_with(ready) {
                return line;
            }
        }
    })
    .await;
    // What else it prints must not block it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, stdin, line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections_are_held_or_refused() {
    if is_again() {
        return crowd().await;
    }
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if setrlimit(Resource::Nofile, raised).is_err() {
        println!("the limit of file descriptors stays as it is");
    }
    let most = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| most as usize);
    let count = most.saturating_sub(200).min(10_000);
    if count < 10_000 {
        println!("only {count} connections: no more file descriptors are allowed");
    }
    let test = "ten_thousand_connections_are_held_or_refused";
    // All of them at once, and then the default limit.
    for (connections, held) in [(20_000, count), (4096, count.min(4095))] {
        let preface = Duration::from_secs(120);
        let limits = ConnectionLimits { connections, preface, ..ConnectionLimits::default() };
        let fault = Fault::with(limits).await;
        let memory = resident_bytes();
        let target = fault.server.target().to_owned();
        let variables = [(TARGET, target), (COUNT, count.to_string())];
        let (mut child, stdin, _) = helper(test, &variables, "ready").await;
        until("they are there", || fault.server.tasks() == 2 + held).await;
        fault.good_client_is_served().await;
        let grown = resident_bytes().saturating_sub(memory);
        assert!(grown < held * 16 * 1024 + (64 << 20), "{grown} bytes for {held} connections");
        drop(stdin);
        assert!(soon(child.wait()).await.unwrap().success());
        fault.is_over().await;
        fault.end().await;
    }
}

/// The memory of this process; 0 where it is not known.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_the_next_may_come() {
    let limits = ConnectionLimits { connections: 3, ..ConnectionLimits::default() };
    let fault = Fault::with(limits).await;
    let (one, two) = (fault.peer().await, fault.peer().await);
    until("there are three", || fault.server.tasks() == 4).await;
    assert_eq!(rest(&mut fault.peer().await).await, b"");
    fault.good_client_is_served().await;
    drop((one, two));
    fault.is_over().await;
    fault.end().await;
}

/// A server in a process that may have few file descriptors.
async fn poor_server() {
    let most = descriptors() as u64 + 16;
    let few = Rlimit { current: Some(most), maximum: getrlimit(Resource::Nofile).maximum };
    setrlimit(Resource::Nofile, few).unwrap();
    let server = builder().start().await.unwrap();
    println!("\ntarget {}", server.target());
    input_ended().await;
    let stop = server.stop(DRAIN).await;
    assert_eq!((stop.stuck, server.tasks()), (0, 0));
}

#[tokio::test]
async fn accept_survives_a_want_of_file_descriptors() {
    if is_again() {
        return poor_server().await;
    }
    let _turn = TURN.lock().await;
    let test = "accept_survives_a_want_of_file_descriptors";
    let (mut child, stdin, line) = helper(test, &[], "target ").await;
    let target = line.trim_start_matches("target ").to_owned();
    let connect = || async { soon(TcpStream::connect(&target)).await.unwrap() };
    let good = Raw::over(connect().await, h2::client::Builder::new()).await;
    assert_version(&good).await;
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(connect().await);
    }
    assert_version(&good).await;
    // It is not for want of trying: but it must not do nothing else.
    let pid = child.id().unwrap();
    let (start, before) = (Instant::now(), cpu_ticks(pid));
    while start.elapsed() < Duration::from_millis(500) {
        assert_version(&good).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let spent = cpu_ticks(pid) - before;
    assert!(spent < 25, "{spent} hundredths of a second in half a second");
    drop(crowd);
    let new = Raw::over(connect().await, h2::client::Builder::new()).await;
    assert_version(&new).await;
    assert_version(&good).await;
    drop(stdin);
    assert!(soon(child.wait()).await.unwrap().success());
}

/// Processor time of a process in hundredths of a second; 0 where it is not known.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = rest.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

// Messages about as large as they may be

#[tokio::test]
async fn messages_at_the_limit_pass_and_one_byte_more_is_named() {
    const LIMIT: usize = 4096;
    let answer = |request: Bytes| {
        // As many bytes as the request asks for in its path.
        let path = v1::ReadFileRequest::decode(request).unwrap().path;
        let bytes: usize = path.trim_start_matches('x').parse().unwrap_or_default();
        // Tag and length take three bytes.
        vec![7; bytes.saturating_sub(3)]
    };
    let api = api(move |_, request| async move {
        let data = answer(request).into();
        Ok(v1::ReadFileResponse { data, error: None }.encode_to_vec().into())
    });
    let (server, raw) = api_common::raw(ApiServer::builder(api).max_message_bytes(LIMIT)).await;
    let request = |path: String| v1::ReadFileRequest { path }.encode_to_vec();
    for size in [LIMIT - 1, LIMIT, LIMIT + 1] {
        let large = request("x".repeat(size - 3));
        assert_eq!(large.len(), size);
        let sent = raw.call(rpc("ReadFile"), &large).await;
        let got = raw.call(rpc("ReadFile"), &request(size.to_string())).await;
        for answer in [sent, got] {
            if size <= LIMIT {
                assert_eq!(answer.code(), 0, "{size}: {answer:?}");
            } else {
                let text = answer.message();
                assert_eq!(answer.code(), 8, "{size}: {answer:?}");
                assert!(text.contains("4097") && text.contains("4096"), "{text}");
            }
        }
    }
    raw.assert_lives().await;
    let stop = soon(server.stop(DRAIN)).await;
    assert_eq!((stop.forced, server.tasks()), (0, 0));
}
