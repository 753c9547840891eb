//! What the learner shows over HTTP: `/metrics` for Prometheus, `/healthz` (it lives) and `/readyz`
//! (it gets on).

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::figures::Board;
use crate::watchdog::Readiness;

/// What is shown.
#[derive(Clone)]
pub struct Shown {
    /// For `/metrics`.
    pub registry: Arc<Registry>,
    /// For `/healthz` and `/readyz`.
    pub board: Arc<Board>,
}

/// Serves until `stop`.
///
/// # Errors
/// The listener's.
pub async fn serve(
    listener: TcpListener,
    shown: Shown,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .with_state(shown);
    axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await
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
