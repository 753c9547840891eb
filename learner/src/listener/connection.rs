//! One accepted connection, with or without TLS. It breaks by itself when no call of it was allowed in
//! time, and when the listener is cut off.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;
use tributary_proto::access::CertifiedName;

use super::connections::Ticket;

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// What the certificate says that it showed.
    pub certificate: Option<CertifiedName>,
    /// Its place.
    pub ticket: Arc<Ticket>,
}

/// A stream to a peer.
pub struct Connection {
    stream: Stream,
    peer: Peer,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Until it is admitted.
    patience: Option<Patience>,
}

pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

struct Patience {
    deadline: Pin<Box<Sleep>>,
    end: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    /// A connection that was accepted at `accepted`, must be admitted within `patience` of that, and ends
    /// with `cut`.
    pub(super) fn new(
        stream: Stream,
        peer: Peer,
        accepted: Instant,
        patience: Duration,
        cut: CancellationToken,
    ) -> Self {
        let deadline = Box::pin(sleep_until(accepted + patience));
        let end = Box::pin(peer.ticket.end().clone().cancelled_owned());
        let patience = Some(Patience { deadline, end });
        Self { stream, peer, cut: Box::pin(cut.cancelled_owned()), patience }
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Fails once the patience is over, or the listener cut off.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Err(io::Error::new(ErrorKind::ConnectionAborted, "the server has ended"));
        }
        let Some(patience) = &mut self.patience else { return Ok(()) };
        if self.peer.ticket.is_admitted() {
            self.patience = None;
            return Ok(());
        }
        let is_late = patience.deadline.as_mut().poll(context).is_ready();
        if is_late || patience.end.as_mut().poll(context).is_ready() {
            return Err(io::Error::new(ErrorKind::TimedOut, "no call was allowed in time"));
        }
        Ok(())
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        })?;
        Poll::Ready(Ok(()))
    }
}
