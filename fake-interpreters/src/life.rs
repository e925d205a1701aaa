//! Following a script.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

use crate::driver::Driver;
use crate::outgoing::Outgoing;
use crate::process::{self, say};
use crate::report::StopReport;
use crate::reporter::{Reporter, lock};
use crate::script::{Handshake, Reply, Route, Script, Step};
use crate::serving::Serving;
use crate::wire::{self, API_TARGET, Target};

/// How long the start and the stop look whether the API is there.
const LOOK: Duration = Duration::from_secs(1);

/// How long open calls may go on when the plugin stops; the Python SDK gives as much.
const GRACE: Duration = Duration::from_secs(5);

/// The exit code where a lock is taken.
const LOCKED: u8 = 4;
/// The exit code of `require_api`.
const NO_API: u8 = 3;

/// An interpreter that follows a script.
pub(crate) struct Life {
    pub(crate) script: Script,
    /// Where the script stands.
    pub(crate) dir: PathBuf,
    /// The channel to the API, or why there is none.
    pub(crate) api: Result<Channel, String>,
    target: Option<Target>,
    pub(crate) report: Reporter,
    /// The connections of its own server.
    pub(crate) outgoing: Outgoing,
    /// Who decides the answers of the hooks, besides the script.
    pub(crate) driver: Mutex<Option<Arc<Driver>>>,
    /// Cancelled when the plugin has been asked to stop.
    pub(crate) stop: CancellationToken,
    hears_signals: AtomicBool,
    ignores_sigterm: AtomicBool,
    serving: Mutex<Option<Serving>>,
}

/// How a list of steps ends.
pub(crate) enum Flow {
    /// All steps are done.
    Done,
    /// The hook is answered with this message.
    Answer(Bytes),
    /// The hook is answered with this status.
    Fail(Status),
    /// `ServeHTTP` is answered so.
    Reply(Box<Reply>),
    /// `ServeHTTP` is answered as one of these says.
    Routes(Vec<Route>),
    /// The interpreter exits.
    Exit(u8),
}

impl Life {
    /// A life yet to be lived. Must be called inside a tokio runtime.
    pub(crate) fn new(
        script: Script,
        dir: PathBuf,
        report: Reporter,
        target: Option<&str>,
    ) -> Arc<Self> {
        let api = match target {
            Some(target) => wire::connect(target).map_err(|error| error.to_string()),
            None => Err(format!("{API_TARGET} is not set")),
        };
        Arc::new(Self {
            script,
            dir,
            api,
            target: target.and_then(|target| Target::parse(target).ok()),
            report,
            outgoing: Outgoing::new(),
            driver: Mutex::new(None),
            stop: CancellationToken::new(),
            hears_signals: AtomicBool::new(false),
            ignores_sigterm: AtomicBool::new(false),
            serving: Mutex::new(None),
        })
    }

    /// Lives until the exit code.
    pub(crate) async fn live(self: &Arc<Self>) -> u8 {
        let reachable = self.is_api_reachable().await;
        self.report.update(|report| report.api_reachable_at_start = reachable);
        for step in &self.script.life {
            let flow = match step {
                Step::Wait => self.wait().await,
                step => self.step(step).await,
            };
            if let Flow::Exit(code) = flow {
                return code;
            }
        }
        0
    }

    /// Does steps until one of them ends the list.
    pub(crate) async fn steps(self: &Arc<Self>, steps: &[Step]) -> Flow {
        for step in steps {
            match self.step(step).await {
                Flow::Done => {}
                end => return end,
            }
        }
        Flow::Done
    }

    async fn step(self: &Arc<Self>, step: &Step) -> Flow {
        match step {
            Step::RequireApi => {
                if let Err(problem) = &self.api {
                    say(format_args!("{problem}: this plugin needs the PluginAPI"));
                    return Flow::Exit(NO_API);
                }
            }
            Step::Call(call) => self.call(call, None).await,
            Step::EveryRpc(every) => self.every_rpc(every).await,
            Step::RepeatCall(repeat) => self.repeat_call(repeat).await,
            Step::OpenCall(open) => self.open_call(open.rpc).await,
            Step::Control(control) => self.control(control).await,
            Step::Serve(serve) => {
                self.hear_signals();
                match Serving::start(self, serve).await {
                    Ok(serving) => *lock(&self.serving) = Some(serving),
                    Err(error) => {
                        say(format_args!("cannot serve: {error}"));
                        self.tell("serve", Err(error));
                        return Flow::Exit(1);
                    }
                }
            }
            Step::Handshake(handshake) => self.handshake(handshake),
            Step::Wait => self.stop.cancelled().await,
            Step::Answer(answer) => return Flow::Answer(answer.clone()),
            Step::Fail(fail) => return Flow::Fail(fail.status()),
            Step::Reply(reply) => return Flow::Reply(reply.clone()),
            Step::Routes(routes) => return Flow::Routes(routes.clone()),
            Step::Print(text) => self.tell("print", process::print(&format!("{text}\n"))),
            Step::PrintRaw(raw) => {
                self.tell("print_raw", process::print(&raw.text.repeat(raw.repeat as usize)));
            }
            Step::Log(text) => {
                use std::io::Write as _;
                self.tell("log", writeln!(std::io::stderr(), "{text}"));
            }
            Step::Flood(flood) => self.tell("flood", process::flood(flood)),
            Step::CloseStdout => self.tell("close_stdout", process::close_stdout()),
            Step::Delay(milliseconds) => {
                tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
            }
            Step::Hang => std::future::pending().await,
            Step::BlockThread => {
                self.hear_signals();
                self.report.flush();
                loop {
                    std::thread::park();
                }
            }
            Step::IgnoreSigterm => {
                self.ignores_sigterm.store(true, SeqCst);
                self.hear_signals();
            }
            Step::Exit(code) => return Flow::Exit(*code),
            Step::Crash(how) => {
                self.report.flush();
                process::crash(*how);
            }
            Step::Lock(name) => match process::lock(name) {
                Ok(true) => {}
                Ok(false) => {
                    say(format_args!("{name} is there: another of me runs, or left it behind"));
                    return Flow::Exit(LOCKED);
                }
                Err(error) => self.tell("lock", Err(error)),
            },
            Step::Grandchild(kind) => match process::start_grandchild(*kind) {
                Ok(pid) => self.report.update(|report| report.grandchildren.push(pid)),
                Err(error) => self.tell("grandchild", Err(error)),
            },
        }
        Flow::Done
    }

    fn tell(&self, step: &str, result: std::io::Result<()>) {
        if let Err(error) = result {
            self.report.failure(format!("{step}: {error}"));
        }
    }

    fn handshake(&self, handshake: &Handshake) {
        let (network, address) = match &*lock(&self.serving) {
            Some(serving) => (serving.network, serving.address.clone()),
            None => Default::default(),
        };
        let line = handshake
            .line
            .replace("{network}", network)
            .replace("{address}", &address)
            .replace("{filler}", &"x".repeat(handshake.filler));
        let printed = process::print(&format!("{line}\n"));
        self.tell("handshake", printed);
        self.report.update(|report| report.handshake = Some(line));
    }

    async fn wait(self: &Arc<Self>) -> Flow {
        self.hear_signals();
        self.stop.cancelled().await;
        if let Flow::Exit(code) = self.steps(&self.script.on.stop).await {
            return Flow::Exit(code);
        }
        let serving = lock(&self.serving).take();
        if let Some(serving) = serving {
            serving.stop(GRACE).await;
        }
        Flow::Exit(0)
    }

    /// Exits from anywhere.
    pub(crate) fn exit(&self, code: u8) -> ! {
        self.end(code);
        std::process::exit(i32::from(code))
    }

    /// Leaves everything as it is to be found.
    pub(crate) fn end(&self, code: u8) {
        drop(lock(&self.serving).take());
        self.report.complete(i32::from(code));
    }

    async fn is_api_reachable(&self) -> bool {
        match &self.target {
            Some(target) => target.is_reachable(LOOK).await,
            None => false,
        }
    }

    /// From here on SIGTERM and SIGINT do not end the process by themselves.
    fn hear_signals(self: &Arc<Self>) {
        if self.hears_signals.swap(true, SeqCst) {
            return;
        }
        let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
            return self.report.failure("cannot hear signals");
        };
        let life = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                life.asked_to_stop(Some(name)).await;
                if name != "SIGTERM" || !life.ignores_sigterm.load(SeqCst) {
                    life.stop.cancel();
                }
            }
        });
    }

    /// Notes the first request to stop.
    pub(crate) async fn asked_to_stop(&self, signal: Option<&str>) {
        let api_reachable = self.is_api_reachable().await;
        let stop = StopReport { signal: signal.map(str::to_owned), api_reachable };
        self.report.update(|report| {
            report.stop.get_or_insert(stop);
        });
    }
}
