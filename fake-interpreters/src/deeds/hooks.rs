//! All hooks of the contract, served by one piece of code.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use plugin_proto::prost::Message as _;
use plugin_proto::{Method, PACKAGE, v1};
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status, Streaming};
use tower::Service;

use super::driver::Driver;
use super::follow::{Flow, Follow};
use super::http_reply::HttpReplies;
use super::life::Life;
use super::serve_http;
use crate::lock::lock;
use crate::report::HookCall;
use crate::wire::RawCodec;

/// As the Python SDK sets it.
const MAX_MESSAGE: usize = 64 << 20;

/// All hooks of the contract.
#[derive(Clone)]
pub(crate) struct HooksService {
    pub(crate) life: Arc<Life>,
    /// Follows the steps of a hook.
    pub(crate) interpreter: Arc<dyn Follow>,
    /// The names of those implemented.
    pub(crate) listed: Arc<[&'static str]>,
}

impl NamedService for HooksService {
    const NAME: &'static str = "mattermost.pluginapi.v1.PluginHooks";
}

impl Service<http::Request<Body>> for HooksService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(RawCodec)
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE);
            let Some(hook) = Method::by_path(request.uri().path()) else {
                let text = format!("{PACKAGE} has no such hook");
                return Ok(Status::unimplemented(text).into_http());
            };
            if !hook.is_unary() {
                let answer = tower::service_fn(|request: Request<Streaming<Bytes>>| {
                    let service = service.clone();
                    async move {
                        service.serve_http(hook, request.into_inner()).await.map(Response::new)
                    }
                });
                return Ok(grpc.streaming(answer, request).await);
            }
            let answer = tower::service_fn(|request: Request<Bytes>| {
                let service = service.clone();
                async move { service.answer(hook, request.into_inner()).await.map(Response::new) }
            });
            let response = grpc.unary(answer, request).await;
            Ok(if hook.name == "OnActivate" {
                service.then_after_activate(response)
            } else {
                response
            })
        })
    }
}

impl HooksService {
    /// The answer of a unary hook.
    async fn answer(&self, hook: &'static Method, request: Bytes) -> Result<Bytes, Status> {
        if let Some(driver) = self.driver(hook) {
            return driver.answer(hook, request, &self.life.report).await;
        }
        let call = HookCall::begin(&self.life.report, hook, &request);
        let answer = self.scripted(hook).await;
        call.answered();
        answer
    }

    async fn scripted(&self, hook: &'static Method) -> Result<Bytes, Status> {
        self.begin(hook)?;
        let flow = match self.life.script.on.hooks.get(hook.name) {
            Some(steps) => Arc::clone(&self.interpreter).follow(steps).await,
            None => Flow::Done,
        };
        match flow {
            Flow::Answer(answer) => Ok(answer),
            Flow::Fail(status) => Err(status),
            Flow::Exit(code) => self.interpreter.exit(code),
            Flow::Done if hook.name == "Implemented" => {
                let hooks = self.listed.iter().map(|&name| name.to_owned()).collect();
                let answer = v1::ImplementedResponse { hooks, error: None };
                Ok(answer.encode_to_vec().into())
            }
            // The last two belong to `ServeHTTP`.
            Flow::Done | Flow::Reply(_) | Flow::Routes(_) => Ok(Bytes::new()),
        }
    }

    /// Who decides this hook, if it is not the script.
    fn driver(&self, hook: &Method) -> Option<Arc<Driver>> {
        let driver = lock(&self.life.driver).clone();
        driver.filter(|driver| {
            self.listed.contains(&hook.name)
                && !self.life.script.on.hooks.contains_key(hook.name)
                && driver.decides(hook)
        })
    }

    /// Notes the hook; an error when it is not implemented.
    fn begin(&self, hook: &'static Method) -> Result<(), Status> {
        self.life.report.update(|report| report.hooks.push(hook.name.to_owned()));
        if hook.name == "Implemented" || self.listed.contains(&hook.name) {
            return Ok(());
        }
        Err(Status::unimplemented(format!("this plugin does not implement {}", hook.name)))
    }

    async fn serve_http(&self, hook: &'static Method, request: Streaming<Bytes>) -> HttpReplies {
        if let Some(driver) = self.driver(hook) {
            let Life { report, outgoing, .. } = &*self.life;
            return driver.serve_http(hook, request, report.clone(), outgoing.clone()).await;
        }
        self.begin(hook)?;
        let (life, interpreter) = (Arc::clone(&self.life), Arc::clone(&self.interpreter));
        serve_http::serve(life, interpreter, hook, request).await
    }

    /// Lets the steps of `after_activate` follow when the response was sent.
    fn then_after_activate(self, response: http::Response<Body>) -> http::Response<Body> {
        if self.life.script.on.after_activate.is_empty() {
            return response;
        }
        let (sent, when_sent) = oneshot::channel::<Infallible>();
        tokio::spawn(async move {
            // The sender is dropped with the body, when its last frame is with the connection.
            let _ = when_sent.await;
            // The connection has been woken and writes the frame on this same thread, before
            // anything new is read.
            tokio::task::yield_now().await;
            let interpreter = Arc::clone(&self.interpreter);
            if let Flow::Exit(code) = interpreter.follow(&self.life.script.on.after_activate).await
            {
                self.interpreter.exit(code);
            }
        });
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _held = &sent;
                frame
            }))
        })
    }
}
