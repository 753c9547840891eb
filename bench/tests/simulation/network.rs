//! The simulated network as tonic wants it, on both ends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Uri;
use tonic::transport::server::Connected;
use tower::service_fn;
use tributary_actor::surroundings::Connect;
use turmoil::net::{TcpListener, TcpStream};

/// The learner's host.
pub(crate) const LEARNER: &str = "learner";
/// Where it listens.
pub(crate) const PORT: u16 = 7000;

/// The learner's address.
pub(crate) fn address() -> String {
    format!("http://{LEARNER}:{PORT}")
}

/// A connection that the learner accepted.
pub(crate) struct Accepted(TcpStream);

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
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
pub(crate) async fn listen() -> io::Result<ReceiverStream<io::Result<Accepted>>> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let (accepted, incoming) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if accepted.send(Ok(Accepted(stream))).await.is_err() {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(incoming))
}

/// Opens connections through the simulated network.
pub(crate) fn connect() -> Connect {
    Arc::new(|endpoint| {
        let dial = service_fn(|to: Uri| async move {
            let place = (to.host().unwrap_or(LEARNER).to_owned(), to.port_u16().unwrap_or(PORT));
            Ok::<_, io::Error>(TokioIo::new(TcpStream::connect(place).await?))
        });
        Box::pin(async move { endpoint.connect_with_connector(dial).await })
    })
}
