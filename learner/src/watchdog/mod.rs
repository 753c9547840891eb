//! The watchdog: names the hand-over at which somebody waits without progress, and the probable
//! reason, in the log, in status and in metrics; and says whether the run gets on.
//!
//! `rule` decides from one [`Look`] a second and knows no clock; `reason` has the words;
//! [`Vitals`] is what the rest of the learner shares with it.

mod look;
mod reason;
mod rule;
mod vitals;

use std::thread;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

pub use look::Look;
pub use rule::{Line, Rule, Stall};
pub use vitals::{Readiness, Vitals};

use crate::view::Observer;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How soon the watchdog ends when it is told to.
const NAP: Duration = Duration::from_millis(100);

/// Looks at the run until `stop`. To be run on a thread of its own: it must see what happens when
/// those of the network do not get on.
pub fn watch(observer: &Observer, stop: &CancellationToken) {
    let (mut rule, start) = (Rule::default(), Instant::now());
    while !stop.is_cancelled() {
        let look = Look::at(start.elapsed(), observer);
        let lines = rule.look(&look);
        lines.iter().for_each(Line::log);
        let stalls = rule.stalls();
        observer.board.vitals().looked(Readiness::of(look.state, &stalls));
        observer.board.update(|figures| figures.stalls = stalls);
        let until = Instant::now() + LOOK_EVERY;
        while Instant::now() < until && !stop.is_cancelled() {
            thread::sleep(NAP);
        }
    }
}
