//! One fake interpreter in a process of its own, which calls what it is told to call.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::io::BufReader;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use fake_interpreters::control::{Order, Outcome};
use fake_interpreters::wire::API_TARGET;
use plugin_proto::Method;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::process::{Child, Command};
use tokio::runtime::Runtime;
use tonic::Status;

use crate::common::{fake_python, soon};

/// The longest wait for an outcome.
const LIMIT: Duration = Duration::from_secs(60);

/// The driver's end. The process dies with it.
pub struct Interpreter {
    _child: Child,
    stream: BufReader<UnixStream>,
    last: u64,
    /// Outcomes that nobody has asked for.
    early: HashMap<u64, Outcome>,
    _folder: TempDir,
}

impl Interpreter {
    /// Starts a process that calls the API at `target` and takes replies with so much metadata.
    pub fn start(runtime: &Runtime, target: &str, max_header_bytes: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (socket, script) = (folder.path().join("control"), folder.path().join("plugin.py"));
        let control = serde_json::json!({
            "life": [{"control": {"socket": socket, "max_header_bytes": max_header_bytes}}]
        });
        std::fs::write(&script, control.to_string()).unwrap();
        let python = fake_python();
        runtime.block_on(async {
            let listener = UnixListener::bind(&socket).unwrap();
            let mut command = Command::new(python);
            command.arg(&script).env(API_TARGET, target).kill_on_drop(true);
            command.stdin(Stdio::null()).stdout(Stdio::null());
            let mut child = command.spawn().unwrap();
            let stream = tokio::select! {
                accepted = soon(listener.accept()) => accepted.unwrap().0.into_std().unwrap(),
                exit = child.wait() => panic!("the interpreter ended: {exit:?}"),
            };
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            let stream = BufReader::new(stream);
            Self { _child: child, stream, last: 0, early: HashMap::new(), _folder: folder }
        })
    }

    /// Starts a call.
    pub fn start_call(
        &mut self,
        method: &Method,
        request: Bytes,
        deadline: Option<Duration>,
    ) -> u64 {
        self.last += 1;
        let deadline_ms = deadline.map(|deadline| deadline.as_millis() as u64);
        let (id, method) = (self.last, method.index as u32);
        self.order(&Order { id, method, request, deadline_ms, cancel: false });
        id
    }

    /// Cancels a call.
    pub fn cancel(&mut self, id: u64) {
        self.order(&Order { id, cancel: true, ..Order::default() });
    }

    fn order(&mut self, order: &Order) {
        order.write(self.stream.get_mut()).expect("the interpreter listens");
    }

    /// How a call ended.
    pub fn end_of(&mut self, id: u64) -> Result<Bytes, Status> {
        loop {
            if let Some(outcome) = self.early.remove(&id) {
                return outcome.result();
            }
            let outcome = Outcome::read(&mut self.stream).expect("the interpreter answers");
            self.early.insert(outcome.id, outcome);
        }
    }

    /// One call from its beginning to its end.
    pub fn call(
        &mut self,
        method: &Method,
        request: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, Status> {
        let id = self.start_call(method, request, Some(deadline));
        self.end_of(id)
    }
}

impl Drop for Interpreter {
    fn drop(&mut self) {
        // It exits by itself when its driver is gone; if not, it is killed.
        let _ = self.stream.get_ref().shutdown(Shutdown::Both);
    }
}
