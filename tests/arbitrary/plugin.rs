//! A plugin in a process of its own, whose hooks answer as the test says.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use fake_interpreters::hook_control::{HookNews, HookOrder, HookStatus, HookStep, Told};
use plugin_conformance::hooks::{Fired, Hooks, ServeHttpError};
use plugin_conformance::supervisor::Handshake;
use plugin_proto::prost::Message as _;
use plugin_proto::{Method, v1};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::common::fake_python;

/// No hook takes as long.
const LIMIT: Duration = Duration::from_secs(20);

/// What the plugin says in a hook.
#[derive(Debug, Clone)]
pub enum Said {
    Answer(Bytes),
    Status(i32, String),
}

/// How the reply of ServeHTTP ends after its messages.
#[derive(Debug, Clone)]
pub enum HttpEnd {
    Close,
    /// With this gRPC code.
    Fail(i32),
}

/// Status, headers, body, and whether that came to a good end.
pub type HttpGot = (u16, http::HeaderMap, Vec<u8>, bool);

/// A fake interpreter under this test's control. It dies with it.
pub struct DrivenPlugin {
    pub hooks: Hooks,
    pub runtime: Runtime,
    stream: BufReader<UnixStream>,
    child: Child,
    _folder: TempDir,
}

impl DrivenPlugin {
    /// A plugin that implements every hook.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (socket, script) = (folder.path().join("driver"), folder.path().join("plugin.py"));
        let control = serde_json::json!({"life": [
            {"serve": {"hooks": "all"}},
            {"control": {"socket": socket, "hooks": true, "lifecycle": true}},
            "handshake",
            "wait",
        ]});
        std::fs::write(&script, control.to_string()).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let mut command = Command::new(fake_python());
        let command = command.arg(&script).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        // It says its handshake once it is connected to us; if it dies, the line is empty.
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let handshake = Handshake::parse(line.trim_end().as_bytes()).unwrap();
        let stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let hooks = runtime.block_on(Hooks::connect(&handshake.address, LIMIT)).unwrap();
        Self { hooks, runtime, stream: BufReader::new(stream), child, _folder: folder }
    }

    /// Fires a hook by `hooks`, lets the plugin say this, and gives what arrived and what came of it.
    pub fn fire(
        &mut self,
        hooks: &Hooks,
        hook: &'static Method,
        request: Bytes,
        said: Said,
    ) -> (Bytes, Fired) {
        let hooks = hooks.clone();
        let fired = self.runtime.spawn(async move { hooks.fire(hook, request).await });
        let (call, arrived) = loop {
            let Told::Hook(event) = Told::read(&mut self.stream).expect("the plugin tells") else {
                continue;
            };
            if let Some(HookNews::Request(arrived)) = event.news {
                assert_eq!(event.hook as usize, hook.index, "another hook arrived");
                break (event.call, arrived);
            }
        };
        let step = match said {
            Said::Answer(answer) => HookStep::Message(answer),
            Said::Status(code, message) => HookStep::Fail(HookStatus { code, message }),
        };
        HookOrder::new(call, step).write(self.stream.get_mut()).expect("the plugin listens");
        let fired = self.runtime.block_on(fired).unwrap();
        (arrived, fired.expect("it is a hook, and its request"))
    }
}

impl DrivenPlugin {
    /// Asks over HTTP, lets the plugin read all of it and then reply this, and gives what arrived and
    /// what came of it.
    pub fn serve_http<B>(
        &mut self,
        init: &v1::ServeHttpRequestInit,
        body: B,
        messages: &[v1::ServeHttpResponse],
        end: &HttpEnd,
    ) -> (Vec<v1::ServeHttpRequest>, Result<HttpGot, ServeHttpError>)
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<tower::BoxError>,
    {
        let (hooks, init) = (self.hooks.clone(), init.clone());
        let asked = self.runtime.spawn(async move {
            let mut reply = hooks.serve_http(init, body).await?;
            let (mut body, mut whole) = (Vec::new(), true);
            while let Some(part) = reply.body.part().await {
                match part {
                    Ok(part) => body.extend_from_slice(&part.chunk),
                    Err(_) => whole = false,
                }
            }
            Ok((reply.status.as_u16(), reply.headers, body, whole))
        });
        let mut arrived: Vec<v1::ServeHttpRequest> = Vec::new();
        let call = loop {
            let Told::Hook(event) = Told::read(&mut self.stream).expect("the plugin tells") else {
                continue;
            };
            // Anything else is of a call that is over.
            let Some(HookNews::Request(message)) = event.news else { continue };
            let message = v1::ServeHttpRequest::decode(message).unwrap();
            let complete = message.body_complete;
            arrived.push(message);
            if complete {
                break event.call;
            }
        };
        let steps =
            messages.iter().map(|message| HookStep::Message(message.encode_to_vec().into()));
        let end = match end {
            HttpEnd::Close => HookStep::End(true),
            HttpEnd::Fail(code) => {
                HookStep::Fail(HookStatus { code: *code, message: "failed".to_owned() })
            }
        };
        for step in steps.chain([end]) {
            HookOrder::new(call, step).write(self.stream.get_mut()).expect("the plugin listens");
        }
        (arrived, self.runtime.block_on(asked).unwrap())
    }
}

impl Drop for DrivenPlugin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
