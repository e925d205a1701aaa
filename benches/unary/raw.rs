//! The least that answers a unary call: HTTP/2 alone, with the bytes of one answer made beforehand.
//! It reads the request and looks at nothing in it.

use std::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::RecvStream;
use h2::server::{SendResponse, handshake};
use http::{HeaderMap, HeaderValue, Response};
use plugin_proto::prost::Message as _;
use plugin_proto::v1::GetServerVersionResponse;
use tokio::net::{TcpListener, TcpStream};

use crate::common::VERSION;

/// Serves on a port of its own until the runtime ends.
pub(crate) async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let message = GetServerVersionResponse { version: VERSION.into(), error: None };
    let answer = framed(&message.encode_to_vec());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, answer.clone()));
        }
    });
    address
}

/// A gRPC frame: not compressed, the length, the message.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.freeze()
}

async fn connection(stream: TcpStream, answer: Bytes) {
    stream.set_nodelay(true).unwrap();
    // The interpreter looks whether the API is there: it connects, and says nothing.
    let Ok(mut connection) = handshake(stream).await else { return };
    // An error is a client that is gone.
    while let Some(Ok((request, respond))) = connection.accept().await {
        let answer = answer.clone();
        tokio::spawn(async move { reply(request.into_body(), respond, answer).await });
    }
}

async fn reply(mut body: RecvStream, mut respond: SendResponse<Bytes>, answer: Bytes) {
    while let Some(Ok(bytes)) = body.data().await {
        body.flow_control().release_capacity(bytes.len()).unwrap();
    }
    let mut head = Response::new(());
    let kind = HeaderValue::from_static("application/grpc");
    head.headers_mut().insert("content-type", kind);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let Ok(mut stream) = respond.send_response(head, false) else { return };
    if stream.send_data(answer, false).is_ok() {
        // A client that is gone wants no trailers.
        let _ = stream.send_trailers(trailers);
    }
}
