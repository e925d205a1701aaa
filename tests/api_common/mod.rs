//! What the tests of the API server share: implementations made of closures, and a client that
//! sees every byte.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, StatusCode};
use plugin_conformance::api::{
    ApiServer, ApiServerBuilder, AppError, Dynamic, DynamicApi, PluginApi, async_trait,
};
use plugin_proto::{Method, Service, v1};
use prost::Message as _;
use prost_types::{ListValue, Struct, Value, value::Kind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// Long enough for anything that is not stuck.
pub const SOON: Duration = Duration::from_secs(20);

/// Nothing here takes long.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(SOON, future).await.expect("it takes too long")
}

/// Asks again and again, to a deadline.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    let asked = async {
        while !condition() {
            ticks.tick().await;
        }
    };
    let held = tokio::time::timeout(Duration::from_secs(10), asked).await;
    assert!(held.is_ok(), "not so after 10 s: {what}");
}

/// The RPC of this name.
pub fn rpc(name: &str) -> &'static Method {
    Method::by_name(Service::PluginAPI, name).expect("an RPC of PluginAPI")
}

/// All 236.
pub fn rpcs() -> impl Iterator<Item = &'static Method> {
    Service::PluginAPI.methods()
}

/// An API made of a closure.
pub struct With<F>(F);

#[async_trait]
impl<F, A> DynamicApi for With<F>
where
    F: Fn(&'static Method, Bytes) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Bytes, AppError>> + Send + 'static,
{
    async fn call(&self, method: &'static Method, request: Bytes) -> Result<Bytes, AppError> {
        (self.0)(method, request).await
    }
}

/// An API whose every RPC is this closure.
pub fn api<F, A>(answer: F) -> Arc<dyn PluginApi>
where
    F: Fn(&'static Method, Bytes) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Bytes, AppError>> + Send + 'static,
{
    Arc::new(Dynamic(With(answer)))
}

/// An API that answers every RPC with an empty message.
pub fn empty() -> Arc<dyn PluginApi> {
    api(|_, _| async { Ok(Bytes::new()) })
}

/// An API that answers no RPC, ever.
pub fn endless() -> Arc<dyn PluginApi> {
    api(|_, _| std::future::pending())
}

/// A server and a channel to it.
pub async fn served(builder: ApiServerBuilder) -> (ApiServer, Channel) {
    let server = soon(builder.start()).await.unwrap();
    let channel = fake_interpreters::wire::connect(server.target()).unwrap();
    (server, channel)
}

/// A server and a connection to it on which every byte shows.
pub async fn raw(builder: ApiServerBuilder) -> (ApiServer, Raw) {
    let server = soon(builder.start()).await.unwrap();
    let raw = Raw::connect(&server).await;
    (server, raw)
}

/// An AppError in which every field is set.
pub fn full_error(status_code: i32) -> AppError {
    let value = |kind| Value { kind: Some(kind) };
    let list = [Kind::NumberValue(0.5), Kind::NullValue(0)].map(value).to_vec();
    let fields = [
        ("Name", Kind::StringValue("Zoë".into())),
        ("Count", Kind::NumberValue(-3.0)),
        ("Ok", Kind::BoolValue(true)),
        ("List", Kind::ListValue(ListValue { values: list })),
    ];
    AppError {
        id: "app.test.error".into(),
        message: "It fails: 100 % of “this”\nand the next line.".into(),
        detailed_error: "dial tcp: timeout".into(),
        request_id: "req8zr1hpbgmjfpf3cbg6d5xoh".into(),
        status_code,
        location: "TestFunction".into(),
        params: Some(Struct {
            fields: fields.map(|(name, kind)| (name.to_owned(), value(kind))).into(),
        }),
    }
}

/// A response that holds nothing but this error: field 1.
pub fn embedded(error: AppError) -> Vec<u8> {
    let error = v1::AppError::from(error).encode_to_vec();
    let mut out = vec![0x0a];
    prost::encoding::encode_varint(error.len() as u64, &mut out);
    out.extend(error);
    out
}

/// A gRPC frame.
pub fn frame(message: &[u8]) -> Bytes {
    flagged(0, message.len(), message)
}

/// A gRPC frame with this flag, that claims this length.
pub fn flagged(flag: u8, length: usize, message: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(flag);
    out.put_u32(u32::try_from(length).unwrap());
    out.put_slice(message);
    out.freeze()
}

/// One HTTP/2 connection, and one only: it does not reconnect.
pub struct Raw {
    send: SendRequest<Bytes>,
    pub driver: JoinHandle<Result<(), h2::Error>>,
    pub pings: h2::PingPong,
}

/// What a call was answered, as it stood on the wire.
#[derive(Debug, Default)]
pub struct Answer {
    pub http: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
}

impl Answer {
    /// The trailers, which stand in the headers of an answer without a message.
    pub fn end(&self) -> &HeaderMap {
        if self.trailers.is_empty() { &self.headers } else { &self.trailers }
    }

    pub fn code(&self) -> i32 {
        let code = self.end().get("grpc-status").expect("the answer has a grpc-status");
        code.to_str().unwrap().parse().unwrap()
    }

    /// Still percent-encoded.
    pub fn message(&self) -> &str {
        self.end().get("grpc-message").map_or("", |message| message.to_str().unwrap())
    }

    /// The response message of an answer with status OK.
    pub fn ok(&self) -> &[u8] {
        assert_eq!(self.code(), 0, "{self:?}");
        assert_eq!(self.body[0], 0, "not compressed");
        let length = u32::from_be_bytes(self.body[1..5].try_into().unwrap()) as usize;
        assert_eq!(self.body.len(), 5 + length, "one message");
        &self.body[5..]
    }

    /// The size of the larger header list, as HTTP/2 counts it.
    pub fn header_list(&self) -> usize {
        let size = |headers: &HeaderMap| {
            headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
        };
        let status = ":status".len() + "200".len() + 32;
        usize::max(status + size(&self.headers), size(&self.trailers))
    }
}

impl Raw {
    pub async fn connect(server: &ApiServer) -> Self {
        let stream = TcpStream::connect(server.tcp_address().unwrap()).await.unwrap();
        Self::over(stream, h2::client::Builder::new()).await
    }

    pub async fn over<T>(stream: T, mut builder: h2::client::Builder) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Anything goes in, whatever the server's answer may be, and however small its frames.
        builder.max_header_list_size(16 << 20).data_frame_budget(16 << 20);
        let (send, mut connection) = soon(builder.handshake(stream)).await.unwrap();
        let pings = connection.ping_pong().unwrap();
        Self { send, driver: tokio::spawn(connection), pings }
    }

    /// Starts a request whose body is still to be sent.
    pub async fn start(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut request = Request::post(format!("http://localhost{path}")).header("te", "trailers");
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut send = soon(self.send.clone().ready()).await.unwrap();
        send.send_request(request.body(()).unwrap(), false).unwrap()
    }

    /// Sends `body` and reads the answer to its end.
    pub async fn send(&self, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        let (answer, mut stream) = self.start(path, headers).await;
        // The server may have refused before all is sent.
        let _ = stream.send_data(body, true);
        read(answer).await.expect("the stream ends well")
    }

    /// A call as it should be.
    pub async fn call(&self, method: &Method, request: &[u8]) -> Answer {
        self.send(method.path, &[], frame(request)).await
    }

    /// The connection lives: it answers one more call.
    pub async fn assert_lives(&self) {
        assert!(!self.driver.is_finished(), "the connection has ended");
        let answer = self.call(rpc("GetServerVersion"), b"").await;
        assert!([0, 12].contains(&answer.code()), "{answer:?}");
    }
}

/// The answer to its end; an error when the stream or the connection was reset.
pub async fn read(answer: ResponseFuture) -> Result<Answer, h2::Error> {
    soon(async {
        let (parts, mut body) = answer.await?.into_parts();
        let mut answer = Answer { http: parts.status, headers: parts.headers, ..Answer::default() };
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            release(&mut body, chunk.len());
            answer.body.extend_from_slice(&chunk);
        }
        answer.trailers = body.trailers().await?.unwrap_or_default();
        Ok(answer)
    })
    .await
}

fn release(body: &mut RecvStream, bytes: usize) {
    let _ = body.flow_control().release_capacity(bytes);
}

/// Says when it is dropped.
pub struct OnDrop(pub Option<tokio::sync::oneshot::Sender<()>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(dropped) = self.0.take() {
            let _ = dropped.send(());
        }
    }
}

/// A future that yields once.
#[derive(Default)]
pub struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
