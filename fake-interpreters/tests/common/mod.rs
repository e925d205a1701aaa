//! A server's two sides, as small as they can be: a PluginAPI server and a go-plugin host.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(dead_code, unreachable_pub)] // every test takes what it needs

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use fake_interpreters::wire::{self, RawCodec};
use fake_interpreters::{Character, Report};
use futures::future::BoxFuture;
use plugin_proto::prost::Message;
use plugin_proto::{Method, Service, v1};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

pub type Answer = fn(&'static Method) -> Result<Bytes, Status>;

/// Serves the PluginAPI on a free port and gives back the target.
pub async fn serve_api(answer: Answer) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tokio::spawn(Server::builder().add_service(Api(answer)).serve_with_incoming(incoming));
    target
}

/// A server that knows its version and nothing else.
pub fn only_version(method: &'static Method) -> Result<Bytes, Status> {
    match method.name {
        "GetServerVersion" => {
            let version = v1::GetServerVersionResponse { version: "11.2.0".into(), error: None };
            Ok(version.encode_to_vec().into())
        }
        name => Err(Status::unimplemented(name)),
    }
}

#[derive(Clone)]
struct Api(Answer);

impl NamedService for Api {
    const NAME: &'static str = "mattermost.pluginapi.v1.PluginAPI";
}

impl tower::Service<http::Request<Body>> for Api {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = self.0;
        Box::pin(async move {
            let method = Method::by_path(request.uri().path()).unwrap();
            let answer = tower::service_fn(move |_: Request<Bytes>| async move {
                answer(method).map(Response::new)
            });
            Ok(Grpc::new(RawCodec).unary(answer, request).await)
        })
    }
}

/// A bundle with `fake-python` in it.
pub struct Bundle(pub tempfile::TempDir);

impl Bundle {
    pub fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("plugin.py"), script).unwrap();
        Self(dir)
    }

    pub fn of(character: &str) -> Self {
        Self::new(Character::by_name(character).unwrap().script)
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    pub fn report(&self) -> Report {
        Report::read(&self.path().join("report.json")).unwrap()
    }

    pub fn command(&self, api: Option<&str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fake-python"));
        command.arg("plugin.py").current_dir(self.0.path()).kill_on_drop(true);
        command.env_remove(wire::API_TARGET).envs(api.map(|api| (wire::API_TARGET, api)));
        command.env("MATTERMOST_PLUGIN", "cookie").env("MATTERMOST_PLUGIN_ID", "com.example");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn start(&self, api: Option<&str>) -> Plugin {
        let mut child = self.command(api).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Plugin { child, stdout }
    }

    /// Runs to the end: exit status, stdout, stderr.
    pub async fn run(&self, api: Option<&str>) -> (ExitStatus, String, String) {
        let output = soon(self.command(api).output()).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status, text(output.stdout), text(output.stderr))
    }
}

/// A plugin's process.
pub struct Plugin {
    pub child: Child,
    pub stdout: BufReader<ChildStdout>,
}

impl Plugin {
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        soon(self.stdout.read_line(&mut line)).await.unwrap();
        line.trim_end().to_owned()
    }

    /// Reads the handshake and connects.
    pub async fn connect(&mut self) -> Channel {
        let line = self.line().await;
        let fields: Vec<_> = line.split('|').collect();
        let ["1", "1", network, address, "grpc", ..] = fields[..] else { panic!("{line}") };
        match network {
            "tcp" => wire::connect(address).unwrap(),
            _ => wire::connect(&format!("unix://{address}")).unwrap(),
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub async fn exit(&mut self) -> ExitStatus {
        soon(self.child.wait()).await.unwrap()
    }

    /// SIGTERM, and the end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.exit().await
    }
}

pub async fn health(channel: &Channel) -> Result<i32, Status> {
    let request = HealthCheckRequest { service: "plugin".into() };
    let answer = soon(HealthClient::new(channel.clone()).check(request)).await;
    answer.map(|answer| answer.into_inner().status)
}

pub async fn hook(channel: &Channel, name: &str) -> Result<Bytes, Status> {
    hook_within(channel, name, None).await
}

pub async fn hook_within(
    channel: &Channel,
    name: &str,
    limit: Option<Duration>,
) -> Result<Bytes, Status> {
    let method = Method::by_name(Service::PluginHooks, name).unwrap();
    soon(wire::unary(channel, method, Bytes::new(), limit)).await
}

/// Nothing here takes long.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it takes too long")
}

/// A directory's report, read again and again until it is as wanted.
pub async fn report_where(dir: &Path, wanted: impl Fn(&Report) -> bool) -> Report {
    let read = async {
        loop {
            match Report::read(&dir.join("report.json")) {
                Ok(report) if wanted(&report) => return report,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    soon(read).await
}
