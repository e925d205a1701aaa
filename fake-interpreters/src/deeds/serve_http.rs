//! One call of `ServeHTTP`, from its first message to the end of both of its sides.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use plugin_proto::{Method, v1};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::follow::{Flow, Follow};
use super::http_reply::{Chunks, Composer, Gone, HttpReplies, HttpSender, replies, sent};
use super::http_request::HttpRequest;
use super::life::Life;
use super::process;
use crate::report::{HttpRecord, ReplyEnd};
use crate::script::{Body, End, Read, Reply, path_of};

/// Answers a call as the script says.
pub(crate) async fn serve(
    life: Arc<Life>,
    interpreter: Arc<dyn Follow>,
    hook: &'static Method,
    messages: Streaming<Bytes>,
) -> HttpReplies {
    let (sender, receiver) = mpsc::channel(1);
    let record = HttpRecord::begin(&life.report);
    let request = HttpRequest::new(messages, sender.downgrade(), record.clone());
    let sender = HttpSender { messages: sender, record };
    tokio::spawn(HttpCall { life, interpreter, hook, request, sender }.run());
    replies(receiver).await
}

struct HttpCall {
    life: Arc<Life>,
    interpreter: Arc<dyn Follow>,
    hook: &'static Method,
    request: HttpRequest,
    sender: HttpSender,
}

/// What became of a reply that the caller did not give up.
enum Ended {
    Closed { read_on: bool },
    Failed(Status),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

impl HttpCall {
    async fn run(mut self) {
        let (messages, record) = (self.sender.messages.clone(), self.sender.record.clone());
        let ended = tokio::select! {
            biased;
            ended = self.answer() => ended,
            () = messages.closed() => Err(Gone),
        };
        let read_on = match ended {
            Ok(Ended::Closed { read_on }) => {
                record.reply_end(ReplyEnd::Closed);
                read_on
            }
            // What the caller broke off, it does not wait for.
            Ok(Ended::Failed(_)) if self.request.is_reset() => {
                record.reply_end(ReplyEnd::Cancelled);
                false
            }
            Ok(Ended::Failed(status)) => {
                record.reply_end(ReplyEnd::Failed);
                // Nor does one that has gone want to know.
                let _ = self.sender.fail(status).await;
                false
            }
            Err(Gone) => {
                record.reply_end(ReplyEnd::Cancelled);
                false
            }
        };
        let Self { sender, mut request, .. } = self;
        drop((sender, messages));
        if read_on {
            request.drain().await;
        }
    }

    async fn answer(&mut self) -> Result<Ended, Gone> {
        let life = Arc::clone(&self.life);
        match life.script.on.hooks.get(self.hook.name) {
            Some(steps) => {
                let flow = Arc::clone(&self.interpreter).follow(steps).await;
                self.follow(flow).await
            }
            None => self.describe().await,
        }
    }

    fn follow<'a>(&'a mut self, flow: Flow) -> BoxFuture<'a, Result<Ended, Gone>> {
        Box::pin(async move {
            match flow {
                Flow::Exit(code) => self.interpreter.exit(code),
                Flow::Fail(status) => Ok(Ended::Failed(status)),
                Flow::Reply(reply) => self.reply(&reply).await,
                Flow::Routes(routes) => {
                    let init = match self.request.init().await {
                        Ok(init) => init,
                        Err(status) => return Ok(status.into()),
                    };
                    let Some(route) = routes.iter().find(|route| route.takes(init)) else {
                        let text = format!("no route for {} {}", init.method, init.url);
                        return self.plain(404, text).await;
                    };
                    let flow = Arc::clone(&self.interpreter).follow(&route.steps).await;
                    self.follow(flow).await
                }
                Flow::Done | Flow::Answer(_) => self.describe().await,
            }
        })
    }

    /// Reads the whole request and answers 200 with what it was.
    async fn describe(&mut self) -> Result<Ended, Gone> {
        let (init, body_bytes) = match self.read_all().await {
            Ok(read) => read,
            Err(status) => return Ok(status.into()),
        };
        let body = serde_json::json!({
            "method": init.method, "url": init.url, "body_bytes": body_bytes,
        });
        self.whole(200, "application/json", body.to_string()).await
    }

    async fn read_all(&mut self) -> Result<(v1::ServeHttpRequestInit, u64), Status> {
        let init = self.request.init().await?.clone();
        Ok((init, self.request.body().await?))
    }

    async fn plain(&mut self, status: i32, text: String) -> Result<Ended, Gone> {
        if let Err(status) = self.request.body().await {
            return Ok(status.into());
        }
        self.whole(status, "text/plain", text).await
    }

    /// A reply of one message.
    async fn whole(&self, status_code: i32, kind: &str, body: String) -> Result<Ended, Gone> {
        let headers =
            vec![v1::HttpHeader { key: "Content-Type".to_owned(), values: vec![kind.to_owned()] }];
        let message = v1::ServeHttpResponse {
            init: Some(v1::ServeHttpResponseInit { status_code, headers }),
            body_chunk: body.into(),
            body_complete: true,
            flush: false,
        };
        self.sender.message(&message).await?;
        Ok(Ended::Closed { read_on: true })
    }

    async fn reply(&mut self, reply: &Reply) -> Result<Ended, Gone> {
        let read = match reply.read {
            Read::All => self.request.body().await.map(drop),
            Read::First => self.request.init().await.map(drop),
            Read::None | Read::Echo => Ok(()),
        };
        if let Err(status) = read {
            return Ok(status.into());
        }
        let letters = match &reply.body {
            _ if reply.end == End::Endless => Ok(u64::MAX),
            Body::Text(_) => Ok(0),
            Body::Letters(bytes) => Ok(*bytes),
            Body::LettersFromPath => self.number_in_path().await,
        };
        let letters = match letters {
            Ok(letters) => letters,
            Err(status) => return Ok(status.into()),
        };
        let mut composer = Composer::new(reply, &self.sender);
        composer.begin().await?;
        if reply.read == Read::Echo {
            let endless = reply.end == End::Endless;
            if let Err(status) = echo(&mut self.request, &mut composer, !endless).await? {
                return Ok(status.into());
            }
        }
        if reply.read != Read::Echo || reply.end == End::Endless {
            let text = match &reply.body {
                Body::Text(text) => text.clone(),
                Body::Letters(_) | Body::LettersFromPath => Bytes::new(),
            };
            let mut chunks = Chunks::new(text, letters, reply.chunk_bytes);
            loop {
                let (chunk, last) = chunks.next();
                composer.chunk(chunk, last).await?;
                if last {
                    break;
                }
            }
        }
        let read_on = matches!(reply.read, Read::All | Read::Echo);
        match &reply.end {
            End::Complete | End::Close | End::Endless => Ok(Ended::Closed { read_on }),
            End::Fail(fail) => Ok(Ended::Failed(fail.status())),
            End::Hang => {
                if read_on {
                    self.request.drain().await;
                }
                std::future::pending().await
            }
            End::Crash(how) => {
                sent(&self.sender.messages, &self.life.outgoing).await;
                self.life.report.flush();
                process::crash(*how)
            }
        }
    }

    async fn number_in_path(&mut self) -> Result<u64, Status> {
        let url = &self.request.init().await?.url;
        let last = path_of(url).rsplit('/').next().unwrap_or_default();
        last.parse()
            .map_err(|_| Status::invalid_argument(format!("{url} does not end in a number")))
    }
}

/// Sends each chunk back. The last one is known as such only if it says so itself; where the stream
/// ends without it, an empty one follows.
async fn echo(
    request: &mut HttpRequest,
    composer: &mut Composer<'_>,
    ends: bool,
) -> Result<Result<(), Status>, Gone> {
    loop {
        match request.next().await {
            Ok(Some(message)) => {
                let last = request.is_complete();
                composer.chunk(message.body_chunk, last && ends).await?;
                if last {
                    return Ok(Ok(()));
                }
            }
            Ok(None) => {
                if ends {
                    composer.chunk(Bytes::new(), true).await?;
                }
                return Ok(Ok(()));
            }
            Err(status) => return Ok(Err(status)),
        }
    }
}
