//! All records of a run, streamed from `metrics.jsonl` at the pace of who reads: only the file
//! holds what a slow reader has not had yet, so that nothing waits for it and nothing is lost.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tributary_common::metrics_file::MetricsFile;
use tributary_proto::code::Code;
use tributary_proto::v1::{MetricsRecord, StreamMetricsRequest};

/// Records that are read at a time.
const BATCH: usize = 64;
/// At the end of the run readers have so long for what they have not read.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// Whether a metric is asked for: its name begins as one of these, or all are.
pub(super) fn is_wanted(name: &str, prefixes: &[String]) -> bool {
    prefixes.is_empty() || prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
}

/// Where the run's records are.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// `metrics.jsonl`.
    pub path: PathBuf,
    /// The number of the last record in it. Closed: the run is over, and no more come.
    pub last: watch::Receiver<u64>,
}

type Sender = mpsc::Sender<Result<MetricsRecord, Status>>;

impl Recorded {
    /// What is asked for. Once the learner stops, what is left must be read soon.
    pub(super) fn stream(
        &self,
        request: StreamMetricsRequest,
        stop: CancellationToken,
    ) -> ReceiverStream<Result<MetricsRecord, Status>> {
        // One place is for the reason why the stream ends, which must never be left out.
        let (sender, stream) = mpsc::channel(2);
        let for_reason = sender.clone().try_reserve_owned();
        let recorded = self.clone();
        tokio::spawn(async move {
            let told = tokio::select! {
                biased;
                () = sender.closed() => return,
                told = recorded.tell(request, &sender) => told,
                () = too_late(stop) => Err(Code::Unavailable.status(
                    "the learner ends: the rest is in metrics.jsonl in its run directory",
                )),
            };
            if let (Err(status), Ok(permit)) = (told, for_reason) {
                permit.send(Err(status));
            }
        });
        ReceiverStream::new(stream)
    }

    async fn tell(mut self, request: StreamMetricsRequest, sender: &Sender) -> Result<(), Status> {
        let StreamMetricsRequest { from_number, follow, prefixes } = request;
        let path = self.path.clone();
        let mut file = on_a_thread(move || MetricsFile::open(&path, from_number)).await?;
        loop {
            // Before the file is read: what is recorded from now on is told once more.
            let is_over = self.last.has_changed().is_err();
            self.last.mark_unchanged();
            loop {
                let (back, lines) = on_a_thread(move || read(file)).await?;
                file = back;
                if lines.is_empty() {
                    break;
                }
                for record in lines.iter().filter_map(|line| record(line, &prefixes)) {
                    if sender.send(Ok(record)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            if is_over || !follow {
                return Ok(());
            }
            // An error: no more come, which is seen above.
            let _ = self.last.changed().await;
        }
    }
}

async fn too_late(stop: CancellationToken) {
    stop.cancelled().await;
    sleep_until(Instant::now() + LAST_PATIENCE).await;
}

fn read(mut file: MetricsFile) -> io::Result<(MetricsFile, Vec<String>)> {
    let mut lines = Vec::new();
    while lines.len() < BATCH {
        let Some(line) = file.read()? else { break };
        lines.push(line.text);
    }
    Ok((file, lines))
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Status> {
    let failed = |error: &dyn std::fmt::Display| {
        Code::Unavailable.status(format!("metrics.jsonl cannot be read: {error}"))
    };
    match spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}

/// A line of the file on the wire; `None`: it is no record.
fn record(line: &str, prefixes: &[String]) -> Option<MetricsRecord> {
    let mut fields: Map<String, Value> = serde_json::from_str(line).ok()?;
    fields.remove("schema");
    let number = fields.remove("number")?.as_u64()?;
    let step = fields.remove("step")?.as_u64()?;
    let seconds = fields.remove("seconds")?.as_f64()?;
    let time = fields.remove("time")?.as_f64()?;
    let stalled_edge = fields.remove("stalled_edge");
    let stalled_edge = stalled_edge.and_then(|edge| Some(edge.as_str()?.to_owned()));
    let wanted = fields.into_iter().filter(|(name, _)| is_wanted(name, prefixes));
    let values = wanted.filter_map(|(name, value)| match value {
        // JSON has no word for what is not finite.
        Value::Null => Some((name, f64::NAN)),
        value => Some((name, value.as_f64()?)),
    });
    Some(MetricsRecord { number, step, seconds, time, values: values.collect(), stalled_edge })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    fn line(number: u64, loss: &str) -> String {
        format!(
            "{{\"loss\":{loss},\"number\":{number},\"schema\":1,\"seconds\":{number}.5,\
             \"stalled_edge\":\"trainer.data\",\"step\":7,\"time\":1.5,\"updates\":7}}\n"
        )
    }

    #[test]
    fn a_record_is_the_same_on_the_wire_and_in_the_file() {
        let loss = 0.1 + 0.2;
        let read = record(&line(3, &loss.to_string()), &[]).unwrap();
        let values = [("loss".to_owned(), loss), ("updates".to_owned(), 7.0)].into();
        let stalled_edge = Some("trainer.data".to_owned());
        let (number, step, seconds, time) = (3, 7, 3.5, 1.5);
        assert_eq!(read, MetricsRecord { number, step, seconds, time, values, stalled_edge });
        let read = record(&line(3, "null"), &["lo".to_owned()]).unwrap();
        assert!(read.values["loss"].is_nan() && read.values.len() == 1, "{read:?}");
        assert_eq!(record("{\"number\":3}", &[]), None);
    }

    /// Far more than fits on the way to a reader that does not read.
    #[tokio::test]
    async fn a_reader_that_was_slow_gets_all_and_then_what_comes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut file = std::fs::File::create(&path).unwrap();
        let (sender, last) = watch::channel(0);
        let (recorded, stop) = (Recorded { path, last }, CancellationToken::new());
        let mut write = |number| {
            file.write_all(line(number, "0.5").as_bytes()).unwrap();
            sender.send_replace(number);
        };
        (1..=300).for_each(&mut write);
        let request = StreamMetricsRequest { from_number: 9, follow: true, prefixes: vec![] };
        let mut stream = recorded.stream(request.clone(), stop.clone()).into_inner();
        let mut left = recorded.stream(request, stop.clone()).into_inner();
        assert_eq!(stream.recv().await.unwrap().unwrap().number, 9);
        (301..=500).for_each(&mut write);
        for number in 10..=500 {
            assert_eq!(stream.recv().await.unwrap().unwrap().number, number);
        }
        write(501);
        assert_eq!(stream.recv().await.unwrap().unwrap().number, 501);
        stop.cancel();
        write(502);
        drop(sender);
        assert_eq!(stream.recv().await.unwrap().unwrap().number, 502, "the last one, too");
        assert!(stream.recv().await.is_none());
        // The other one never read: it is not waited for, and what it had is its beginning.
        let deadline = Instant::now() + 10 * LAST_PATIENCE;
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while !left.is_closed() {
            assert!(Instant::now() < deadline, "the stream of who does not read stays open");
            tick.tick().await;
        }
        assert_eq!(left.recv().await.unwrap().unwrap().number, 9);
        let cut = left.recv().await.unwrap().unwrap_err();
        assert_eq!(Code::of_status(&cut), Code::Unavailable, "not as if this were all");
        assert!(left.recv().await.is_none());
    }

    #[tokio::test]
    async fn who_does_not_follow_gets_what_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, line(1, "0.5") + &line(2, "0.5")).unwrap();
        let (_sender, last) = watch::channel(0);
        let recorded = Recorded { path, last };
        let request = StreamMetricsRequest::default();
        let mut stream = recorded.stream(request, CancellationToken::new()).into_inner();
        let mut numbers = Vec::new();
        while let Some(record) = stream.recv().await {
            numbers.push(record.unwrap().number);
        }
        assert_eq!(numbers, [1, 2]);
    }
}
