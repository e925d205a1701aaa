//! What the tests of ServeHTTP share: a plugin that does as it is told, and clients that see
//! everything.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use plugin_conformance::hooks::{HookLimits, Hooks};
use plugin_conformance::http_front::{FindHooks, HttpFront, HttpFrontBuilder, Sessions};
use plugin_conformance::supervisor::HandshakeAddress;
use plugin_proto::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;

/// The plugin's id.
pub const ID: &str = "com.example.web";
pub const CHUNK: usize = 64 * 1024;

/// Nothing here takes long.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

/// A stream as the plugin sees it.
pub struct Exchange {
    pub requests: Streaming<v1::ServeHttpRequest>,
    pub replies: mpsc::Sender<Result<v1::ServeHttpResponse, Status>>,
}

impl Exchange {
    /// False when the stream was cancelled.
    pub async fn send(&self, message: v1::ServeHttpResponse) -> bool {
        self.replies.send(Ok(message)).await.is_ok()
    }

    pub async fn fail(&self, status: Status) {
        let _ = self.replies.send(Err(status)).await;
    }

    /// The request's messages up to the last one.
    pub async fn read(&mut self) -> Vec<v1::ServeHttpRequest> {
        let mut messages = vec![];
        while let Ok(Some(message)) = self.requests.message().await {
            let complete = message.body_complete;
            messages.push(message);
            if complete {
                break;
            }
        }
        messages
    }

    /// Reads and forgets; how many bytes there were.
    pub async fn discard(&mut self) -> usize {
        let mut bytes = 0;
        while let Ok(Some(message)) = self.requests.message().await {
            assert!(message.body_chunk.len() <= CHUNK);
            bytes += message.body_chunk.len();
            if message.body_complete {
                break;
            }
        }
        bytes
    }

    /// The stream was cancelled by the server.
    pub async fn cancelled(&self) {
        self.replies.closed().await;
    }
}

/// The first message of a reply.
pub fn head(status_code: i32, fields: &[(&str, &str)]) -> v1::ServeHttpResponse {
    let field = |&(key, value): &(&str, &str)| v1::HttpHeader {
        key: key.to_owned(),
        values: vec![value.to_owned()],
    };
    let init =
        v1::ServeHttpResponseInit { status_code, headers: fields.iter().map(field).collect() };
    v1::ServeHttpResponse { init: Some(init), ..Default::default() }
}

pub fn chunk(bytes: impl Into<Bytes>) -> v1::ServeHttpResponse {
    v1::ServeHttpResponse { body_chunk: bytes.into(), ..Default::default() }
}

pub fn last(message: v1::ServeHttpResponse) -> v1::ServeHttpResponse {
    v1::ServeHttpResponse { body_complete: true, ..message }
}

pub fn with(message: v1::ServeHttpResponse, bytes: impl Into<Bytes>) -> v1::ServeHttpResponse {
    v1::ServeHttpResponse { body_chunk: bytes.into(), ..message }
}

type Act = Arc<dyn Fn(Exchange) -> BoxFuture<'static, ()> + Send + Sync>;

#[derive(Clone)]
struct Service {
    implemented: Vec<String>,
    act: Act,
}

impl NamedService for Service {
    const NAME: &'static str = "mattermost.pluginapi.v1.PluginHooks";
}

impl UnaryService<v1::ImplementedRequest> for Service {
    type Response = v1::ImplementedResponse;
    type Future = BoxFuture<'static, Result<tonic::Response<Self::Response>, Status>>;

    fn call(&mut self, _: tonic::Request<v1::ImplementedRequest>) -> Self::Future {
        let hooks = self.implemented.clone();
        Box::pin(async {
            Ok(tonic::Response::new(v1::ImplementedResponse { hooks, ..Default::default() }))
        })
    }
}

type Replies = Pin<Box<dyn Stream<Item = Result<v1::ServeHttpResponse, Status>> + Send>>;

impl StreamingService<v1::ServeHttpRequest> for Service {
    type Response = v1::ServeHttpResponse;
    type ResponseStream = Replies;
    type Future = BoxFuture<'static, Result<tonic::Response<Replies>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<v1::ServeHttpRequest>>) -> Self::Future {
        let (replies, mut sent) = mpsc::channel(1);
        let act = (self.act)(Exchange { requests: request.into_inner(), replies });
        Box::pin(async move {
            tokio::spawn(act);
            // As grpcio does: the headers come with the first message.
            let first = sent.recv().await;
            let replies = stream::iter(first).chain(ReceiverStream::new(sent));
            Ok(tonic::Response::new(Box::pin(replies) as Replies))
        })
    }
}

impl tower::Service<http::Request<tonic::body::Body>> for Service {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            Ok(if request.uri().path().ends_with("/ServeHTTP") {
                let mut grpc = Grpc::new(ProstCodec::default())
                    .max_decoding_message_size(usize::MAX)
                    .max_encoding_message_size(usize::MAX);
                grpc.streaming(service, request).await
            } else {
                Grpc::new(ProstCodec::default()).unary(service, request).await
            })
        })
    }
}

/// A plugin in this process.
pub struct Peer {
    pub hooks: Hooks,
    pub address: SocketAddr,
    /// Breaks all of its connections.
    pub kill: CancellationToken,
}

/// A plugin that treats every request like this.
pub async fn peer<F, A>(act: F) -> Peer
where
    F: Fn(Exchange) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    peer_with(&["ServeHTTP"], act).await
}

pub async fn peer_with<F, A>(implemented: &[&str], act: F) -> Peer
where
    F: Fn(Exchange) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    limited(HookLimits::default(), implemented, act).await
}

/// The same, with other limits for what it may take.
pub async fn limited<F, A>(limits: HookLimits, implemented: &[&str], act: F) -> Peer
where
    F: Fn(Exchange) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listens = listener.local_addr().unwrap();
    let kill = CancellationToken::new();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let killed = kill.clone();
    let incoming = incoming.map(move |stream| {
        stream.map(|stream| Killed { stream, kill: Box::pin(killed.clone().cancelled_owned()) })
    });
    let service = Service {
        implemented: implemented.iter().map(|&name| name.to_owned()).collect(),
        act: Arc::new(move |exchange| Box::pin(act(exchange))),
    };
    // gRPC's own default, less than hyper's: a plugin that does not read stops its peer soon.
    let server = Server::builder().initial_stream_window_size(65_535).add_service(service);
    tokio::spawn(server.serve_with_incoming(incoming));
    let address = HandshakeAddress::Tcp { host: "127.0.0.1".into(), port: listens.port() };
    let hooks = soon(Hooks::connect_with(&address, Duration::from_secs(5), limits)).await.unwrap();
    Peer { hooks, address: listens, kill }
}

/// A connection that can break.
struct Killed {
    stream: TcpStream,
    kill: Pin<Box<tokio_util::sync::WaitForCancellationFutureOwned>>,
}

impl tonic::transport::server::Connected for Killed {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl tokio::io::AsyncRead for Killed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.kill.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl tokio::io::AsyncWrite for Killed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// One plugin, [`ID`].
pub struct One(pub Hooks);

impl FindHooks for One {
    fn find(&self, plugin_id: &str) -> Option<Hooks> {
        (plugin_id == ID).then(|| self.0.clone())
    }
}

/// The token `good` is ada's.
pub struct Ada;

impl Sessions for Ada {
    fn user_of(&self, token: &str) -> Option<String> {
        (token == "good").then(|| "ada".to_owned())
    }
}

/// A server before this plugin.
pub async fn front(peer: &Peer) -> HttpFront {
    front_with(peer, |builder| builder).await
}

pub async fn front_with(
    peer: &Peer,
    configure: impl FnOnce(HttpFrontBuilder) -> HttpFrontBuilder,
) -> HttpFront {
    let builder = HttpFront::builder(Arc::new(One(peer.hooks.clone()))).sessions(Arc::new(Ada));
    configure(builder).start().await.unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    One,
    Two,
}

pub const BOTH: [Http; 2] = [Http::One, Http::Two];

pub type ClientBody = http_body_util::combinators::BoxBody<Bytes, Infallible>;

/// One client connection. Dropped, the first closes its socket, the second resets its streams.
pub enum Client {
    One(hyper::client::conn::http1::SendRequest<ClientBody>, AbortOnDropHandle<hyper::Result<()>>),
    Two(hyper::client::conn::http2::SendRequest<ClientBody>),
}

impl Client {
    pub async fn connect(http: Http, address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let io = TokioIo::new(stream);
        match http {
            Http::One => {
                let (send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
                Self::One(send, AbortOnDropHandle::new(tokio::spawn(connection)))
            }
            Http::Two => {
                let (send, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
                tokio::spawn(connection);
                Self::Two(send)
            }
        }
    }

    pub async fn send(
        &mut self,
        request: Request<ClientBody>,
    ) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::One(send, _) => {
                send.ready().await?;
                send.send_request(request).await
            }
            Self::Two(send) => {
                send.ready().await?;
                send.send_request(request).await
            }
        }
    }
}

pub fn full(bytes: impl Into<Bytes>) -> ClientBody {
    Full::from(bytes.into()).boxed()
}

/// A body of unknown length.
pub fn streamed(chunks: impl Stream<Item = Bytes> + Send + Sync + 'static) -> ClientBody {
    http_body_util::BodyExt::boxed(StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk)))))
}

/// A body of this many bytes, made on the way.
pub fn sized(bytes: usize) -> impl Stream<Item = Bytes> + Send + Sync + 'static {
    let block = Bytes::from(vec![b'u'; CHUNK]);
    stream::iter(
        (0..bytes.div_ceil(CHUNK)).map(move |at| block.slice(..CHUNK.min(bytes - at * CHUNK))),
    )
}

/// Below the plugin's path.
pub fn request(method: &str, path: &str, body: ClientBody) -> Request<ClientBody> {
    Request::builder()
        .method(method)
        .uri(format!("http://chat.example.com/plugins/{ID}{path}"))
        .header("host", "chat.example.com")
        .body(body)
        .unwrap()
}

/// A request on a connection of its own, and the whole answer to it.
pub async fn ask(http: Http, address: SocketAddr, request: Request<ClientBody>) -> Response<Bytes> {
    soon(async {
        let mut client = Client::connect(http, address).await;
        let mut request = request;
        if http == Http::Two {
            request.headers_mut().remove("host");
        }
        let (parts, body) = client.send(request).await.expect("an answer").into_parts();
        Response::from_parts(parts, body.collect().await.expect("it is whole").to_bytes())
    })
    .await
}

/// Bytes of HTTP/1.1, and all that comes back until the connection ends.
pub async fn raw(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = vec![];
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}
