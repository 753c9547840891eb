//! What the learner shows over HTTP: `/metrics` for Prometheus and `/healthz`, to who shows the control
//! token.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::codegen::Service;
use tributary_proto::limits;

use crate::listener::guard::Guard;
use crate::listener::{Connection, Listener};

/// The paths of all pages.
pub const PAGES: [&str; 2] = ["/metrics", "/healthz"];

/// Serves until `stop`.
pub async fn serve(
    listener: Listener,
    guard: Guard,
    registry: Arc<Registry>,
    stop: CancellationToken,
) {
    let routes = guard.before_pages(routes(registry)).layer(middleware::from_fn(in_time));
    let mut connections = listener.accept(stop.clone());
    while let Some(connection) = connections.recv().await {
        tokio::spawn(converse(connection, routes.clone(), stop.clone()));
    }
}

fn routes(registry: Arc<Registry>) -> Router {
    let [metrics_page, health_page] = PAGES;
    Router::new()
        .route(metrics_page, get(metrics))
        .route(health_page, get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(limits::HTTP_BODY_BYTES))
        .with_state(registry)
}

/// Answers one connection's requests, each within its limits.
async fn converse(connection: Connection, routes: Router, stop: CancellationToken) {
    let peer = connection.peer().clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let mut routes = routes.clone();
        async move {
            let response = routes.call(request.map(Body::new)).await;
            Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits::HTTP_HEAD_TIMEOUT)
        .max_headers(limits::HTTP_HEADERS)
        .max_buf_size(limits::HTTP_HEAD_BYTES);
    let mut conversation = std::pin::pin!(http.serve_connection(TokioIo::new(connection), service));
    let ended = tokio::select! {
        ended = conversation.as_mut() => ended,
        () = stop.cancelled() => {
            conversation.as_mut().graceful_shutdown();
            timeout(limits::SHUTDOWN_TIMEOUT, conversation).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection broke");
    }
}

/// An answer that takes too long is none, and no request brings much.
async fn in_time(request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let is_too_large = length.is_some_and(|length| length > limits::HTTP_BODY_BYTES);
    if is_too_large || request.headers().contains_key(header::TRANSFER_ENCODING) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let answer = timeout(limits::HTTP_TIMEOUT, next.run(request)).await;
    answer.unwrap_or_else(|_| StatusCode::SERVICE_UNAVAILABLE.into_response())
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
