//! What the screen knows of a run and what its user chose.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tributary_proto::v1::StatusReply;

use super::changes;
use super::feed::Heard;
use crate::display::{clock, shown};
use crate::train::progress::figures::Figures;

/// Looks of which a history is kept.
const MOST_LOOKS: usize = 512;
/// Lines of the log that are kept.
const MOST_LINES: usize = 1_000;
/// Lines that a page key moves.
const PAGE: usize = 10;

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    /// Goals, curves, figures.
    Overview,
    /// A row for each actor.
    Actors,
    /// What rewards cost and brought.
    Rewards,
    /// What happened.
    Log,
}

impl Tab {
    /// All, as they stand beside each other.
    pub(super) const ALL: [Self; 4] = [Self::Overview, Self::Actors, Self::Rewards, Self::Log];

    /// In one word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Actors => "actors",
            Self::Rewards => "rewards",
            Self::Log => "log",
        }
    }

    fn beside(self, steps: usize) -> Self {
        let place = Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0);
        Self::ALL[(place + steps) % Self::ALL.len()]
    }
}

/// Whether the learner is heard.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Link {
    /// It answers.
    Live,
    /// It does not, since then, for this reason.
    Reconnecting(Instant, String),
    /// It said that it ends.
    Ended,
}

/// Curves of what was heard while looking.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Trajectories per second.
    pub(super) rate: VecDeque<f64>,
    /// The loss.
    pub(super) loss: VecDeque<f64>,
    /// Log Z.
    pub(super) log_z: VecDeque<f64>,
}

/// Everything that is drawn.
pub(super) struct State {
    /// What is shown.
    pub(super) tab: Tab,
    /// Whether it is live.
    pub(super) link: Link,
    /// The last one that was heard.
    pub(super) status: StatusReply,
    /// Of it.
    pub(super) figures: Figures,
    /// Of those before it, too.
    pub(super) history: History,
    /// What happened, the newest last, fit for a terminal.
    pub(super) log: VecDeque<String>,
    /// Actors by their rate instead of their number.
    pub(super) by_rate: bool,
    /// How far the shown tab is moved: lines from its start, of the log from its end.
    pub(super) moved: usize,
    /// The user leaves.
    pub(super) is_over: bool,
    heard_at: Option<Instant>,
}

impl State {
    /// Nothing was heard yet.
    pub(super) fn new() -> Self {
        let status = StatusReply::default();
        Self {
            tab: Tab::Overview,
            link: Link::Live,
            figures: Figures::of(&status, None),
            status,
            history: History::default(),
            log: VecDeque::new(),
            by_rate: false,
            moved: 0,
            is_over: false,
            heard_at: None,
        }
    }

    /// Takes up what was heard.
    pub(super) fn hear(&mut self, heard: Heard, now: Instant) {
        match heard {
            Heard::Status(status) => self.see(*status, now),
            Heard::Silent(reason) => match &self.link {
                // A learner that ended is not awaited.
                Link::Ended => {}
                Link::Reconnecting(since, _) => {
                    self.link = Link::Reconnecting(*since, shown(&reason));
                }
                Link::Live => {
                    self.say(&format!("no answer: {reason}"));
                    self.link = Link::Reconnecting(now, shown(&reason));
                }
            },
            Heard::Ended => {
                self.say("the learner has ended");
                self.link = Link::Ended;
            }
            Heard::Line(line) => self.keep(shown(&line)),
        }
    }

    fn see(&mut self, status: StatusReply, now: Instant) {
        let mut sentences = Vec::new();
        if self.heard_at.is_none() {
            sentences.push(format!("watching {}", status.run_name));
        } else {
            if self.link != Link::Live {
                sentences.push("connected again".to_owned());
            }
            sentences.extend(changes::between(&self.status, &status));
        }
        let since = self.heard_at.map(|then| now.saturating_duration_since(then));
        let before: Option<(Duration, &StatusReply)> = since.map(|since| (since, &self.status));
        self.figures = Figures::of(&status, before);
        self.history.take(&status);
        (self.link, self.heard_at, self.status) = (Link::Live, Some(now), status);
        // With the clock of the status that tells of it.
        sentences.iter().for_each(|sentence| self.say(sentence));
    }

    /// A line of the log, with the run's clock.
    fn say(&mut self, sentence: &str) {
        let line = format!("{:>7}  {}", clock(self.status.seconds), shown(sentence));
        self.keep(line);
    }

    fn keep(&mut self, line: String) {
        if self.log.len() == MOST_LINES {
            self.log.pop_front();
        }
        self.log.push_back(line);
        if self.tab == Tab::Log && self.moved > 0 {
            // Who reads what was earlier goes on with it.
            self.moved += 1;
        }
    }

    /// Does what a key means.
    pub(super) fn press(&mut self, key: KeyEvent) {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => self.is_over = true,
            KeyCode::Char('q') | KeyCode::Esc => self.is_over = true,
            KeyCode::Char(digit @ '1'..='4') => {
                self.show(Tab::ALL[digit as usize - '1' as usize]);
            }
            KeyCode::Tab | KeyCode::Right => self.show(self.tab.beside(1)),
            KeyCode::BackTab | KeyCode::Left => self.show(self.tab.beside(Tab::ALL.len() - 1)),
            KeyCode::Down | KeyCode::Char('j') => self.down(1),
            KeyCode::Up | KeyCode::Char('k') => self.up(1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.down(PAGE),
            KeyCode::PageUp => self.up(PAGE),
            KeyCode::Home => self.up(usize::MAX),
            KeyCode::End => self.down(usize::MAX),
            KeyCode::Char('s') => self.by_rate = !self.by_rate,
            _ => {}
        }
    }

    fn show(&mut self, tab: Tab) {
        (self.tab, self.moved) = (tab, 0);
    }

    fn down(&mut self, lines: usize) {
        self.moved = match self.tab {
            Tab::Log => self.moved.saturating_sub(lines),
            _ => self.moved.saturating_add(lines),
        };
    }

    fn up(&mut self, lines: usize) {
        self.moved = match self.tab {
            Tab::Log => self.moved.saturating_add(lines),
            _ => self.moved.saturating_sub(lines),
        };
    }
}

impl History {
    fn take(&mut self, status: &StatusReply) {
        let new = [
            (&mut self.rate, Some(status.trajectories_per_second)),
            (&mut self.loss, status.loss),
            (&mut self.log_z, status.log_z),
        ];
        for (values, value) in new {
            let Some(value) = value.filter(|value| value.is_finite()) else { continue };
            if values.len() == MOST_LOOKS {
                values.pop_front();
            }
            values.push_back(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(state: &mut State, code: KeyCode) {
        state.press(KeyEvent::new(code, KeyModifiers::NONE));
    }

    #[test]
    fn keys_choose_what_is_shown() {
        let mut state = State::new();
        press(&mut state, KeyCode::Char('3'));
        assert_eq!(state.tab, Tab::Rewards);
        press(&mut state, KeyCode::Tab);
        assert_eq!(state.tab, Tab::Log);
        press(&mut state, KeyCode::Right);
        assert_eq!(state.tab, Tab::Overview);
        press(&mut state, KeyCode::BackTab);
        assert_eq!((state.tab, state.moved), (Tab::Log, 0));
        press(&mut state, KeyCode::PageUp);
        press(&mut state, KeyCode::Down);
        assert_eq!(state.moved, PAGE - 1, "up is back in the log");
        state.hear(Heard::Line("new".to_owned()), Instant::now());
        assert_eq!(state.moved, PAGE, "the lines that are read stay where they are");
        press(&mut state, KeyCode::End);
        assert_eq!(state.moved, 0);
        assert!(!state.is_over);
        state.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(state.is_over);
    }

    #[test]
    fn a_learner_that_is_away_keeps_its_last_figures_and_comes_back() {
        let (mut state, start) = (State::new(), Instant::now());
        let status = |incarnation| {
            let loss = Some(0.5);
            Heard::Status(Box::new(StatusReply { incarnation, loss, ..StatusReply::default() }))
        };
        state.hear(status(1), start);
        state.hear(Heard::Silent("refused".to_owned()), start + Duration::from_secs(1));
        state.hear(Heard::Silent("\u{1b}[2J".to_owned()), start + Duration::from_secs(9));
        let reason = "\\u{1b}[2J".to_owned();
        assert_eq!(state.link, Link::Reconnecting(start + Duration::from_secs(1), reason));
        assert_eq!(state.status.loss, Some(0.5));
        state.hear(status(2), start + Duration::from_secs(10));
        assert_eq!(state.link, Link::Live);
        let log: Vec<&str> = state.log.iter().map(|line| line.trim_start()).collect();
        let again = "0:00  the learner was started again: incarnation 2";
        assert_eq!(log[1..], ["0:00  no answer: refused", "0:00  connected again", again]);
        state.hear(Heard::Ended, start);
        state.hear(Heard::Silent("refused".to_owned()), start);
        assert_eq!(state.link, Link::Ended);
    }

    #[test]
    fn what_is_kept_has_an_end() {
        let mut state = State::new();
        for number in 0..2 * MOST_LINES {
            state.hear(Heard::Line(number.to_string()), Instant::now());
            let status = StatusReply { loss: Some(number as f64), ..StatusReply::default() };
            state.history.take(&status);
        }
        assert_eq!((state.log.len(), state.history.loss.len()), (MOST_LINES, MOST_LOOKS));
        assert_eq!(state.log.back().map(String::as_str), Some("1999"));
    }
}
