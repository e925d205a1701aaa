//! Following a script.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::signal::unix::{SignalKind, signal};

use crate::deeds::{Flow, Follow, Life, Serving, process};
use crate::lock::lock;
use crate::say::say;
use crate::script::{Handshake, Step};

/// How long open calls may go on when the plugin stops; the Python SDK gives as much.
const GRACE: Duration = Duration::from_secs(5);

/// The exit code where a lock is taken.
const LOCKED: u8 = 4;
/// The exit code of `require_api`.
const NO_API: u8 = 3;

/// An interpreter that follows a script.
pub(super) struct Interpreter {
    life: Arc<Life>,
    hears_signals: AtomicBool,
    ignores_sigterm: AtomicBool,
    serving: Mutex<Option<Serving>>,
}

impl Follow for Interpreter {
    fn follow<'a>(self: Arc<Self>, steps: &'a [Step]) -> BoxFuture<'a, Flow> {
        async move { self.steps(steps).await }.boxed()
    }

    fn exit(&self, code: u8) -> ! {
        self.end(code);
        std::process::exit(i32::from(code))
    }
}

impl Interpreter {
    pub(super) fn new(life: Arc<Life>) -> Arc<Self> {
        Arc::new(Self {
            life,
            hears_signals: AtomicBool::new(false),
            ignores_sigterm: AtomicBool::new(false),
            serving: Mutex::new(None),
        })
    }

    /// Lives until the exit code.
    pub(super) async fn live(self: &Arc<Self>) -> u8 {
        let reachable = self.life.is_api_reachable().await;
        self.life.report.update(|report| report.api_reachable_at_start = reachable);
        for step in &self.life.script.life {
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
    async fn steps(self: &Arc<Self>, steps: &[Step]) -> Flow {
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
                if let Err(problem) = &self.life.api {
                    say(format_args!("{problem}: this plugin needs the PluginAPI"));
                    return Flow::Exit(NO_API);
                }
            }
            Step::Call(call) => self.life.call(call, None).await,
            Step::EveryRpc(every) => self.life.every_rpc(every).await,
            Step::RepeatCall(repeat) => self.life.repeat_call(repeat).await,
            Step::OpenCall(open) => self.life.open_call(open.rpc).await,
            Step::Control(control) => self.life.control(control).await,
            Step::Serve(serve) => {
                self.hear_signals();
                match Serving::start(&self.life, Arc::clone(self) as _, serve).await {
                    Ok(serving) => *lock(&self.serving) = Some(serving),
                    Err(error) => {
                        say(format_args!("cannot serve: {error}"));
                        self.tell("serve", Err(error));
                        return Flow::Exit(1);
                    }
                }
            }
            Step::Handshake(handshake) => self.handshake(handshake),
            Step::Wait => self.life.stop.cancelled().await,
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
                self.life.report.flush();
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
                self.life.report.flush();
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
                Ok(pid) => self.life.report.update(|report| report.grandchildren.push(pid)),
                Err(error) => self.tell("grandchild", Err(error)),
            },
        }
        Flow::Done
    }

    fn tell(&self, step: &str, result: std::io::Result<()>) {
        if let Err(error) = result {
            self.life.report.failure(format!("{step}: {error}"));
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
        self.life.report.update(|report| report.handshake = Some(line));
    }

    async fn wait(self: &Arc<Self>) -> Flow {
        self.hear_signals();
        self.life.stop.cancelled().await;
        if let Flow::Exit(code) = self.steps(&self.life.script.on.stop).await {
            return Flow::Exit(code);
        }
        let serving = lock(&self.serving).take();
        if let Some(serving) = serving {
            serving.stop(GRACE).await;
        }
        Flow::Exit(0)
    }

    /// Leaves everything as it is to be found.
    pub(super) fn end(&self, code: u8) {
        drop(lock(&self.serving).take());
        self.life.report.complete(i32::from(code));
    }

    /// From here on SIGTERM and SIGINT do not end the process by themselves.
    fn hear_signals(self: &Arc<Self>) {
        if self.hears_signals.swap(true, SeqCst) {
            return;
        }
        let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
            return self.life.report.failure("cannot hear signals");
        };
        let interpreter = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                interpreter.life.asked_to_stop(Some(name)).await;
                if name != "SIGTERM" || !interpreter.ignores_sigterm.load(SeqCst) {
                    interpreter.life.stop.cancel();
                }
            }
        });
    }
}
