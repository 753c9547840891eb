//! What the learner shows over HTTP to who shows the control token: `/metrics` for Prometheus,
//! `/healthz` (it lives), `/readyz` (it gets on) and the data of the dashboard; and the dashboard's
//! files, which say nothing of the run, to everybody.

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

use crate::dashboard::{Dashboard, pages};
use crate::figures::Board;
use crate::listener::guard::Guard;
use crate::listener::{Connection, Listener};
use crate::watchdog::Readiness;

/// The paths of all pages that ask for control, besides the dashboard's.
pub const PAGES: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

/// What is shown.
#[derive(Clone)]
pub struct Shown {
    /// For `/metrics`.
    pub registry: Arc<Registry>,
    /// For `/healthz` and `/readyz`.
    pub board: Arc<Board>,
}

/// Serves until `stop`.
pub async fn serve(
    listener: Listener,
    guard: Guard,
    shown: Shown,
    dashboard: Arc<Dashboard>,
    stop: CancellationToken,
) {
    let routes = guard
        .before_pages(routes(shown).merge(pages::data(dashboard, stop.clone())))
        .merge(pages::files())
        .layer(DefaultBodyLimit::max(limits::HTTP_BODY_BYTES))
        .layer(middleware::from_fn(pages::harden))
        .layer(middleware::from_fn(in_time));
    let mut connections = listener.accept(stop.clone());
    while let Some(connection) = connections.recv().await {
        tokio::spawn(converse(connection, routes.clone(), stop.clone()));
    }
}

fn routes(shown: Shown) -> Router {
    let [metrics_page, health_page, readiness_page] = PAGES;
    Router::new()
        .route(metrics_page, get(metrics))
        .route(health_page, get(health))
        .route(readiness_page, get(readiness))
        .with_state(shown)
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

async fn metrics(State(shown): State<Shown>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &shown.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn health(State(shown): State<Shown>) -> Response {
    match shown.board.vitals().dead_for() {
        None => "ok\n".into_response(),
        Some(silent) => {
            let seconds = silent.as_secs();
            let text = format!("the watchdog has not come through for {seconds} s\n");
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn readiness(State(shown): State<Shown>) -> Response {
    let readiness = shown.board.vitals().readiness().borrow().clone();
    match readiness {
        Readiness::Ready => "ok\n".into_response(),
        Readiness::NotReady(reason) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use axum::body::to_bytes;

    fn shown() -> Shown {
        Shown { registry: Arc::default(), board: Arc::default() }
    }

    async fn answer(response: Response) -> (u16, String) {
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_stall_is_told_by_readyz_and_a_living_learner_by_healthz() {
        let shown = shown();
        assert_eq!(answer(readiness(State(shown.clone())).await).await, (200, "ok\n".into()));
        let stalled = "stalled: trainer.data for 31 s: no actor has come yet";
        shown.board.vitals().looked(Readiness::NotReady(stalled.to_owned()));
        let told = answer(readiness(State(shown.clone())).await).await;
        assert_eq!(told, (503, format!("{stalled}\n")));
        assert_eq!(answer(health(State(shown.clone())).await).await, (200, "ok\n".into()));
        shown.board.vitals().looked(Readiness::Ready);
        assert_eq!(answer(readiness(State(shown)).await).await.0, 200);
    }
}
