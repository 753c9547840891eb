//! What is heard of a learner: its status now and then, and whether it is still there.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::AbortOnDropHandle;
use tributary_proto::v1::StatusReply;

use super::tail::Tail;
use crate::control::{Control, Records};
use crate::credentials::LearnerOptions;
use crate::error::CommandError;

/// How long a learner may take to let somebody in.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long its last words are waited for, when it answers no more.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// One thing that was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// The learner answered.
    Status(Box<StatusReply>),
    /// It did not, for this reason; it is asked again.
    Silent(String),
    /// It said that it ends.
    Ended,
    /// It wrote this to its log.
    Line(String),
}

/// Asks a learner again and again.
pub(super) struct Feed {
    heard: mpsc::Receiver<Heard>,
    _asking: AbortOnDropHandle<()>,
}

impl Feed {
    /// Asks a first time.
    ///
    /// # Errors
    /// It cannot be reached: who is asked first and never answered may be the wrong one.
    pub(super) async fn open(
        learner: LearnerOptions,
        every: Duration,
    ) -> Result<Self, CommandError> {
        let mut line = Line::open(&learner).await?;
        let first = line.control.status().await?;
        let (sender, heard) = mpsc::channel(16);
        let tail = learner.run_directory().map(|run| Tail::of(run.join("logs/learner.log")));
        let asking = Asking { learner, line: Some(line), tail, to: sender };
        let asking = AbortOnDropHandle::new(tokio::spawn(asking.ask(first, every)));
        Ok(Self { heard, _asking: asking })
    }

    /// What is heard next.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }
}

/// A connection.
struct Line {
    control: Control,
    /// Ends when the learner ends in good order.
    records: Records,
}

impl Line {
    async fn open(learner: &LearnerOptions) -> Result<Self, CommandError> {
        let target = learner.target()?;
        let opened = async {
            let control = Control::connect(&target).await?;
            // Of the records only their end is wanted.
            let records = control.clone().watch(vec!["actors".to_owned()]).await?;
            Ok(Self { control, records })
        };
        timeout(PATIENCE, opened).await.unwrap_or_else(|_| {
            let reason = format!("it has not answered for {} s", PATIENCE.as_secs());
            Err(CommandError::Unreachable { address: target.address.clone(), reason })
        })
    }
}

struct Asking {
    learner: LearnerOptions,
    line: Option<Line>,
    tail: Option<Tail>,
    to: mpsc::Sender<Heard>,
}

impl Asking {
    /// Until nobody listens.
    async fn ask(mut self, first: StatusReply, every: Duration) {
        let mut next = Some(Heard::Status(Box::new(first)));
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        loop {
            for line in self.tail.as_mut().map(Tail::lines).unwrap_or_default() {
                if self.to.send(Heard::Line(line)).await.is_err() {
                    return;
                }
            }
            if let Some(heard) = next.take()
                && self.to.send(heard).await.is_err()
            {
                return;
            }
            next = tokio::select! {
                biased;
                () = self.to.closed() => return,
                _ = ticks.tick() => Some(self.look().await),
                end = ended(&mut self.line) => Some(self.gone(end)),
            };
        }
    }

    async fn look(&mut self) -> Heard {
        match self.status().await {
            Ok(status) => Heard::Status(Box::new(status)),
            Err(error) => {
                // A learner that ends says so before it answers nothing more.
                let end = timeout(LAST_WORDS, ended(&mut self.line)).await;
                self.gone(end.unwrap_or(Err(error)))
            }
        }
    }

    async fn status(&mut self) -> Result<StatusReply, CommandError> {
        let line = match &mut self.line {
            Some(line) => line,
            empty => empty.insert(Line::open(&self.learner).await?),
        };
        line.control.status().await
    }

    fn gone(&mut self, end: Result<(), CommandError>) -> Heard {
        self.line = None;
        match end {
            Ok(()) => Heard::Ended,
            Err(error) => Heard::Silent(error.to_string()),
        }
    }
}

/// Waits until a connection ends: well, if the learner ended it.
async fn ended(line: &mut Option<Line>) -> Result<(), CommandError> {
    let Some(line) = line else { return std::future::pending().await };
    while line.records.next().await?.is_some() {}
    Ok(())
}
