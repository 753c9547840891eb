//! The simulated network as tonic wants it, on both ends.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::Uri;
use tonic::transport::server::Connected;
use tower::service_fn;
use tributary_actor::surroundings::Connect;
use tributary_learner::listener::Peer;
use tributary_learner::listener::connections::Connections;
use turmoil::net::{TcpListener, TcpStream};

use crate::world::held;

/// The learner's host.
pub(crate) const LEARNER: &str = "learner";
/// Where it listens.
pub(crate) const PORT: u16 = 7000;

/// The learner's address.
pub(crate) fn address() -> String {
    format!("http://{LEARNER}:{PORT}")
}

/// Resets the connections of one actor that are open now, both programs alive: what proxies do.
#[derive(Debug, Default)]
pub(crate) struct Cutter(Mutex<CancellationToken>);

impl Cutter {
    pub(crate) fn cut(&self) {
        std::mem::take(&mut *held(&self.0)).cancel();
    }

    fn guard(&self, stream: TcpStream) -> Cuttable {
        let cut = held(&self.0).clone().cancelled_owned();
        Cuttable { stream, cut: Box::pin(cut) }
    }
}

/// An actor's end of a connection.
struct Cuttable {
    stream: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A connection that the learner accepted.
pub(crate) struct Accepted(TcpStream, Peer);

impl Connected for Accepted {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.1.clone()
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Accepts connections for as long as somebody takes them.
pub(crate) async fn listen(
    connections: Arc<Connections>,
) -> io::Result<ReceiverStream<io::Result<Accepted>>> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let (accepted, incoming) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Some(ticket) = connections.enter(CancellationToken::new()) else { continue };
            let peer = Peer { certificate: None, ticket: Arc::new(ticket) };
            if accepted.send(Ok(Accepted(stream, peer))).await.is_err() {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(incoming))
}

/// Opens connections through the simulated network.
pub(crate) fn connect(cutter: Arc<Cutter>) -> Connect {
    Arc::new(move |endpoint| {
        let cutter = Arc::clone(&cutter);
        let dial = service_fn(move |to: Uri| {
            let cutter = Arc::clone(&cutter);
            async move {
                let host = to.host().unwrap_or(LEARNER).to_owned();
                let stream = TcpStream::connect((host, to.port_u16().unwrap_or(PORT))).await?;
                Ok::<_, io::Error>(TokioIo::new(cutter.guard(stream)))
            }
        });
        Box::pin(async move { endpoint.connect_with_connector(dial).await })
    })
}
