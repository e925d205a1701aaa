//! From nothing to an active plugin, and back: our supervisor, and the same steps without any of
//! its care.

use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use fake_interpreters::wire;
use plugin_conformance::supervisor::Supervisor;
use plugin_proto::prost::Message as _;
use plugin_proto::{Method, Service, v1};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::{Bare, Plugin, Tiny};

/// Launches with the supervisor.
pub async fn supervise(plugin: &Plugin) -> Supervisor {
    let builder = Supervisor::builder(&plugin.bundle.dir).api(Arc::new(Tiny));
    builder.launch().await.unwrap()
}

/// Stops what [`supervise`] launched.
pub async fn end(supervisor: Supervisor) {
    let ended = supervisor.shutdown().await;
    assert!(ended.exit.unwrap().status.success());
}

/// An active plugin without a supervisor.
pub struct ByHand {
    api: Bare,
    process: Child,
    channel: Channel,
    /// The plugin could not write any more if this end were closed.
    _lines: Lines<BufReader<ChildStdout>>,
}

fn hook(name: &str) -> &'static Method {
    Method::by_name(Service::PluginHooks, name).unwrap()
}

impl ByHand {
    /// Starts the program, reads one line, connects, asks for health and hooks, activates. The API
    /// server is part of a launch, so a bare one is started here.
    pub async fn launch(plugin: &Plugin) -> Self {
        let api = Bare::start().await;
        let mut command = plugin.command(api.target());
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap();
        let channel = wire::connect(line.split('|').nth(3).unwrap()).unwrap();
        let asked = HealthCheckRequest { service: "plugin".into() };
        let health = HealthClient::new(channel.clone()).check(asked).await.unwrap();
        assert_eq!(health.into_inner().status, 1);
        let named = wire::unary(&channel, hook("Implemented"), Bytes::new(), None).await.unwrap();
        let named = v1::ImplementedResponse::decode(named).unwrap();
        assert!(named.hooks.iter().any(|hook| hook == "OnActivate"));
        wire::unary(&channel, hook("OnActivate"), Bytes::new(), None).await.unwrap();
        Self { api, process, channel, _lines: lines }
    }

    /// `OnDeactivate`, SIGTERM, wait.
    pub async fn stop(mut self) {
        let deactivate = hook("OnDeactivate");
        wire::unary(&self.channel, deactivate, Bytes::new(), None).await.unwrap();
        let pid = Pid::from_raw(self.process.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.process.wait().await.unwrap().success());
        drop(self.channel);
        self.api.stop().await;
    }
}
