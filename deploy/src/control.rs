//! What the commands ask a running learner.

use std::time::Duration;

use tonic::{Status, Streaming};
use tributary_proto::code::Code;
use tributary_proto::credentials::{Dialer, Line};
use tributary_proto::limits;
use tributary_proto::v1::control_client::ControlClient;
use tributary_proto::v1::{
    DrainRequest, MetricsRecord, QuarantineReply, QuarantineRequest, StatusReply, StatusRequest,
    StreamMetricsRequest, WatchRequest,
};

use crate::credentials::Target;
use crate::error::CommandError;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a command that waits for the network.
pub(crate) fn block_on<T>(
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CommandError::system("start the network runtime"))?;
    runtime.block_on(work)
}

/// A connection to a learner's control service.
#[derive(Clone)]
pub(crate) struct Control {
    client: ControlClient<Line>,
    dialer: Dialer,
    address: String,
}

impl Control {
    /// Connects.
    pub(crate) async fn connect(target: &Target) -> Result<Self, CommandError> {
        let address = &target.address;
        let dialer = target.credentials.dialer(address)?;
        let line = dialer.connect().await.map_err(|error| {
            let reason =
                dialer.explained(&error).trim_start_matches("transport error: ").to_owned();
            CommandError::Unreachable { address: address.clone(), reason }
        })?;
        Ok(Self { client: limits::control_client(line), dialer, address: address.clone() })
    }

    /// Everything about the run, now.
    pub(crate) async fn status(&mut self) -> Result<StatusReply, CommandError> {
        let mut request = tonic::Request::new(StatusRequest {});
        request.set_timeout(PATIENCE);
        let answer = self.client.status(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.refused(&status))
    }

    /// Ends the run in good order; asking again changes nothing.
    pub(crate) async fn drain(&mut self, reason: &str) -> Result<(), CommandError> {
        let mut request = tonic::Request::new(DrainRequest { reason: reason.to_owned() });
        request.set_timeout(PATIENCE);
        let answer = self.client.drain(request).await;
        answer.map(drop).map_err(|status| self.refused(&status))
    }

    /// Refuses what an actor sends, or takes it again.
    pub(crate) async fn quarantine(
        &mut self,
        what: QuarantineRequest,
    ) -> Result<QuarantineReply, CommandError> {
        // Striking reads all objects.
        let mut request = tonic::Request::new(what);
        request.set_timeout(12 * PATIENCE);
        let answer = self.client.quarantine(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| match Code::of_status(&status) {
            Code::NotFound | Code::Mismatch => {
                CommandError::Quarantine { reason: status.message().to_owned() }
            }
            _ => self.refused(&status),
        })
    }

    /// Metrics whose names start with one of the prefixes (none: all), as they are made.
    pub(crate) async fn watch(mut self, prefixes: Vec<String>) -> Result<Records, CommandError> {
        let answer = self.client.watch(WatchRequest { prefixes }).await;
        let stream = answer.map_err(|status| self.refused(&status))?.into_inner();
        Ok(Records { stream, control: self })
    }

    /// All records from a number on, those that were made first.
    pub(crate) async fn stream_metrics(
        mut self,
        request: StreamMetricsRequest,
    ) -> Result<Records, CommandError> {
        let answer = self.client.stream_metrics(request).await;
        let stream = answer.map_err(|status| self.refused(&status))?.into_inner();
        Ok(Records { stream, control: self })
    }

    fn refused(&self, status: &Status) -> CommandError {
        let address = self.address.clone();
        if Code::of_status(status) == Code::Unauthorized {
            return CommandError::Denied { address, reason: status.message().to_owned() };
        }
        let reason = match status.message() {
            "" => status.code().description().to_owned(),
            _ => self.dialer.explained(status),
        };
        CommandError::Unreachable { address, reason }
    }
}

/// A stream of metrics.
pub(crate) struct Records {
    stream: Streaming<MetricsRecord>,
    control: Control,
}

impl Records {
    /// The next; `None` once the run has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<MetricsRecord>, CommandError> {
        self.stream.message().await.map_err(|status| self.control.refused(&status))
    }
}
