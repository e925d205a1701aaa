//! A tonic server that knows `GetServerVersion` and nothing else, made as tonic's generated code
//! makes it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use plugin_conformance::api::async_trait;
use plugin_proto::Service;
use plugin_proto::v1::{GetServerVersionRequest, GetServerVersionResponse};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::{Tiny, VERSION};

#[async_trait]
trait Version: Send + Sync + 'static {
    async fn get_server_version(
        &self,
        request: Request<GetServerVersionRequest>,
    ) -> Result<Response<GetServerVersionResponse>, Status>;
}

#[async_trait]
impl Version for Tiny {
    async fn get_server_version(
        &self,
        _: Request<GetServerVersionRequest>,
    ) -> Result<Response<GetServerVersionResponse>, Status> {
        Ok(Response::new(GetServerVersionResponse { version: VERSION.into(), error: None }))
    }
}

struct VersionServer<T>(Arc<T>);

impl<T> Clone for VersionServer<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> NamedService for VersionServer<T> {
    const NAME: &'static str = Service::PluginAPI.full_name();
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T: Version> tower::Service<http::Request<Body>> for VersionServer<T> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        struct GetServerVersion<T>(Arc<T>);

        impl<T: Version> UnaryService<GetServerVersionRequest> for GetServerVersion<T> {
            type Response = GetServerVersionResponse;
            type Future = Boxed<Result<Response<Self::Response>, Status>>;

            fn call(&mut self, request: Request<GetServerVersionRequest>) -> Self::Future {
                let inner = Arc::clone(&self.0);
                Box::pin(async move { inner.get_server_version(request).await })
            }
        }

        match request.uri().path() {
            "/mattermost.pluginapi.v1.PluginAPI/GetServerVersion" => {
                let inner = Arc::clone(&self.0);
                Box::pin(async move {
                    let mut grpc = Grpc::new(ProstCodec::default());
                    Ok(grpc.unary(GetServerVersion(inner), request).await)
                })
            }
            _ => Box::pin(async { Ok(Status::unimplemented("").into_http()) }),
        }
    }
}

/// A running one.
pub struct Bare {
    target: String,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Bare {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let (stop, stopped) = oneshot::channel();
        let server = Server::builder().add_service(VersionServer(Arc::new(Tiny)));
        let stopped = async { stopped.await.unwrap_or(()) };
        let served = tokio::spawn(server.serve_with_incoming_shutdown(incoming, stopped));
        Self { target, stop, served }
    }

    /// What a plugin finds in its environment.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Ends when its last connection has.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
    }
}
