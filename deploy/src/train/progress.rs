//! What the user sees while a run trains: a few live lines on a terminal, else a line now and then.

pub(crate) mod figures;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;
use tributary_proto::v1::StatusReply;

use super::plan::Plan;
use crate::control::Control;
use crate::credentials::Target;
use crate::dashboard;
use crate::display::count;
use figures::Figures;

/// Between two questions to the learner.
const POLL: Duration = Duration::from_millis(500);
/// Between two lines where there is no terminal.
const LINE: Duration = Duration::from_secs(5);

/// Steps of the bar.
const BAR: u64 = 1000;

/// The display of one run, on stderr.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    before: Option<(Instant, StatusReply)>,
    last_line: Instant,
}

/// Asks the learner for its status until the handle is dropped.
pub(super) fn poll(
    learner: Target,
    latest: watch::Sender<Option<StatusReply>>,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connection: Option<Control> = None;
        loop {
            ticks.tick().await;
            let connected = match connection.take() {
                Some(control) => Ok(control),
                None => Control::connect(&learner).await,
            };
            // A learner that does not answer is noticed by its process's end.
            let Ok(mut control) = connected else { continue };
            if let Ok(status) = control.status().await {
                latest.send_replace(Some(status));
                connection = Some(control);
            }
        }
    }))
}

impl Progress {
    /// Says what starts, and shows nothing yet.
    pub(super) fn new(plan: &Plan) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = "{spinner} {prefix} {bar:30} {msg}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(BAR).with_style(style).with_prefix(plan.name.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let progress = Self { bar, before: None, last_line: Instant::now() };
        let division = plan.division;
        progress.say(&format!(
            "{}: {} and a learner with {}{}, in {}",
            plan.name,
            count(division.actors as u64, "actor"),
            count(division.learner_threads as u64, "thread"),
            if plan.lockstep { ", in lockstep" } else { "" },
            plan.directory.display(),
        ));
        progress
    }

    /// Says where the run is to be seen; with the token where nobody but the user at the terminal reads.
    pub(super) fn dashboard(&self, plan: &Plan) {
        let Some(page) = dashboard::page(&plan.directory) else { return };
        let terminal = self.bar.is_some();
        let whole = terminal.then(|| dashboard::address(&plan.directory).ok()).flatten();
        let hint =
            format!("{page} (with its token: tributary dashboard {})", plan.directory.display());
        self.say(&format!("dashboard: {}", whole.unwrap_or(hint)));
    }

    /// Shows a status that came in at `now`.
    pub(super) fn show(&mut self, status: &StatusReply, now: Instant) {
        let before = self.before.as_ref();
        let before = before.map(|(then, status)| (now.duration_since(*then), status));
        let figures = Figures::of(status, before);
        match &self.bar {
            Some(bar) => {
                bar.set_position((figures.done * BAR as f64) as u64);
                bar.set_message(figures.block());
            }
            None if now.duration_since(self.last_line) < LINE => return,
            None => eprintln!("{}", figures.line()),
        }
        self.last_line = now;
        self.before = Some((now, status.clone()));
    }

    /// Says something that stays to be read.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }
}

/// Takes the live lines away, so that what is said next stands alone.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
