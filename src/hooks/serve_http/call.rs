//! One call: opens the stream and waits for the first message.

use std::future::{self, Future};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use plugin_proto::v1;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::BoxError;

use super::error::ServeHttpError;
use super::reply::{Open, ServeHttpReply};
use super::request::{CHUNK_BYTES, RequestMessages};
use super::upload::{CancelOnDrop, Upload};
use crate::error_chain::chain;
use crate::hooks::Hooks;
use crate::hooks::limits::{Full, Gathering};
use crate::hooks::sound::Sound;

const HOOK: &str = "ServeHTTP";
const PATH: &str = "/mattermost.pluginapi.v1.PluginHooks/ServeHTTP";
/// How long what a plugin had sent before its end may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Hooks {
    /// Sends an HTTP request to the plugin and returns when its first message, which has the status
    /// and the headers, is here.
    ///
    /// `init` should have the plugin's view of the request, see [`http_headers`](super::http_headers). The body is
    /// uploaded while the reply is being read.
    ///
    /// # Errors
    /// [`ServeHttpError`]; its [`http_status`](ServeHttpError::http_status) is what the client of
    /// the request should see.
    pub async fn serve_http<B>(
        &self,
        init: v1::ServeHttpRequestInit,
        body: B,
    ) -> Result<ServeHttpReply, ServeHttpError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.serve_http_in_chunks(CHUNK_BYTES, init, body).await
    }

    /// As [`serve_http`](Self::serve_http), with messages of at most `chunk_bytes` (at least 1).
    ///
    /// # Errors
    /// [`ServeHttpError`].
    pub async fn serve_http_in_chunks<B>(
        &self,
        chunk_bytes: usize,
        init: v1::ServeHttpRequestInit,
        body: B,
    ) -> Result<ServeHttpReply, ServeHttpError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if !self.implements(HOOK) {
            return Err(ServeHttpError::NotImplemented);
        }
        if self.stopping.is_cancelled() {
            return Err(ServeHttpError::Stopping);
        }
        let method = init.method.clone();
        let has_body = !body.is_end_stream();
        let place = self.room.request(has_body);
        let place = place.map_err(|Full { what, most }| ServeHttpError::Busy { what, most })?;
        let channel = self.http_channel(has_body);
        let channel =
            channel.map_err(|error| ServeHttpError::CannotOpen { reason: chain(&error) })?;
        let upload = Arc::new(Upload::default());
        let messages = RequestMessages::new(init, body, chunk_bytes, Arc::clone(&upload));
        let mut request = Request::new(messages);
        upload.cancel_with(request.cancellation_handle());
        let cancel = CancelOnDrop(Arc::clone(&upload));

        let not_opened = async {
            let opening = async {
                tokio::select! {
                    () = self.stopping.cancelled() => ServeHttpError::Stopping,
                    () = tokio::time::sleep(self.deadline) => ServeHttpError::CannotOpen {
                        reason: format!("not within {:?}", self.deadline),
                    },
                }
            };
            match upload.opened.run_until_cancelled(opening).await {
                Some(error) => error,
                None => future::pending().await,
            }
        };
        let gathering = self.room.stream();
        let mut end = Box::pin(self.end());
        let (stream, message) = tokio::select! {
            biased;
            () = upload.failed.cancelled() => return Err(upload.failure()),
            first = first_message(channel.clone(), gathering.clone(), request, &upload) => first?,
            error = not_opened => return Err(error),
            status = &mut end => {
                return Err(ServeHttpError::NoReply { status: Some(Box::new(status)) });
            }
        };
        let open = Open {
            stream,
            cancel,
            stopping: self.stopping.clone(),
            end,
            gathering,
            _connection: channel,
            _place: place,
        };
        ServeHttpReply::new(&method, message, open)
    }

    /// Comes when the process is gone, and with it all that it can have sent. Somebody else may hold
    /// the connection open, so it does not tell.
    fn end(&self) -> impl Future<Output = Status> + Send + Sync + use<> {
        let gone = self.gone.clone();
        async move {
            gone.cancelled_owned().await;
            tokio::time::sleep(LAST_WORDS).await;
            Status::unavailable("the plugin's process has ended")
        }
    }
}

/// Opens the stream and waits for the plugin's first message.
async fn first_message<B>(
    channel: Channel,
    gathering: Gathering,
    request: Request<RequestMessages<B>>,
    upload: &Upload,
) -> Result<(Streaming<v1::ServeHttpResponse>, v1::ServeHttpResponse), ServeHttpError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let limit = gathering.limit;
    // What goes out are chunks, and headers of a size that the client has chosen.
    let mut grpc = Grpc::new(Sound(channel, gathering))
        .max_decoding_message_size(limit)
        .max_encoding_message_size(usize::MAX);
    grpc.ready().await.map_err(|error| ServeHttpError::CannotOpen { reason: chain(&error) })?;
    let path = PathAndQuery::from_static(PATH);
    let codec = ProstCodec::<v1::ServeHttpRequest, v1::ServeHttpResponse>::default();
    let answer = async {
        let mut stream = grpc.streaming(request, path, codec).await?.into_inner();
        let message = stream.message().await?;
        Ok(message.map(|message| (stream, message)))
    };
    match answer.await {
        Ok(Some(first)) => Ok(first),
        Ok(None) => Err(ServeHttpError::NoReply { status: None }),
        Err(status) if upload.opened.is_cancelled() => {
            Err(ServeHttpError::NoReply { status: Some(Box::new(status)) })
        }
        Err(status) => Err(ServeHttpError::CannotOpen { reason: chain(&status) }),
    }
}
