//! A TCP relay before the API server whose connections can be cut.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes connections on to a server. Dropped, it closes them all.
pub(super) struct Relay {
    address: SocketAddr,
    cut: watch::Sender<u64>,
    task: tokio::task::JoinHandle<()>,
}

/// Cuts a relay's connections.
#[derive(Clone)]
pub(super) struct Scissors(watch::Sender<u64>);

impl Scissors {
    /// Closes the connections that there are now. New ones are taken.
    pub(super) fn cut(&self) {
        self.0.send_modify(|cuts| *cuts += 1);
    }
}

impl Relay {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn start(server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let cut = watch::Sender::new(0);
        let task = tokio::spawn(accept(listener, server, cut.clone()));
        Ok(Self { address, cut, task })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn scissors(&self) -> Scissors {
        Scissors(self.cut.clone())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, cut: watch::Sender<u64>) {
    let mut connections = JoinSet::new();
    loop {
        // One that failed before it was taken is the client's to notice.
        let Ok((client, _)) = listener.accept().await else { continue };
        let mut cuts = cut.subscribe();
        connections.spawn(async move {
            tokio::select! {
                () = pass(client, server) => {}
                _ = cuts.changed() => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    // Small messages, one after the other: nothing is gained by collecting them.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
