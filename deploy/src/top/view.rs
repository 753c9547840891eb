//! Draws what is known of a run.

mod actors;
mod overview;

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Tabs};

use super::state::{Link, State, Tab};
use crate::display::{Table, clock, shown};
use crate::status::{self, sections};

/// The best objects that are shown.
const BEST: usize = 20;
/// What the keys do.
const KEYS: &str = "1-4 tab  ←→ beside  ↑↓ PgUp PgDn Home End move  s sort actors  q quit";

/// Draws the whole screen, and corrects how far it is moved.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State, now: Instant) {
    let rows =
        [Constraint::Length(1), Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)];
    let [title, tabs, body, keys] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(headline(state, now), title);
    let names = Tab::ALL.iter().enumerate().map(|(i, tab)| format!("{} {}", i + 1, tab.name()));
    let shown = Tab::ALL.iter().position(|tab| *tab == state.tab);
    frame.render_widget(Tabs::new(names).select(shown), tabs);
    match state.tab {
        Tab::Overview => overview::draw(frame, body, state),
        Tab::Actors => actors::draw(frame, body, state),
        Tab::Rewards => page(frame, body, rewards(state), &mut state.moved),
        Tab::Log => log(frame, body, state),
    }
    frame.render_widget(Line::from(KEYS).dim(), keys);
}

/// The run, what it is doing, whether that is live.
fn headline(state: &State, now: Instant) -> Line<'static> {
    let status = &state.status;
    let (link, style) = match &state.link {
        Link::Live => ("● live".to_owned(), Style::new().fg(Color::Green)),
        Link::Reconnecting(since, reason) => {
            let seconds = now.saturating_duration_since(*since).as_secs_f64();
            let text = format!("○ reconnecting for {}: {reason}", clock(seconds));
            (text, Style::new().fg(Color::Yellow))
        }
        Link::Ended => ("○ the learner has ended".to_owned(), Style::new().fg(Color::Yellow)),
    };
    let incarnation = status.incarnation;
    Line::from(vec![
        Span::from(shown(&status.run_name)).bold(),
        Span::from(format!(
            "  {}  {}  incarnation {incarnation}  ",
            status::state(status),
            clock(status.seconds)
        )),
        Span::styled(link, style),
    ])
}

/// What rewards cost, what was found, whether it may be trusted.
fn rewards(state: &State) -> Vec<Line<'static>> {
    let (mut table, status) = (Table::default(), &state.status);
    sections::spending(&mut table, status);
    table.section("rewards that fail");
    for actor in &status.actors {
        if !actor.reward_trouble.is_empty() {
            table.row(&actor.name, &actor.reward_trouble);
        }
        for (kind, count) in &actor.reward_failures {
            table.row(&actor.name, format!("{count} {kind}"));
        }
    }
    sections::yields(&mut table, status);
    sections::best(&mut table, status, BEST);
    sections::trust(&mut table, status);
    sections::ledger(&mut table, status);
    let lines = lines(&table);
    if lines.is_empty() { vec![Line::from("nothing was measured yet")] } else { lines }
}

fn log(frame: &mut Frame<'_>, area: Rect, state: &mut State) {
    let height = usize::from(area.height);
    state.moved = state.moved.min(state.log.len().saturating_sub(height));
    let end = state.log.len() - state.moved;
    let lines = state.log.range(end.saturating_sub(height)..end).map(|line| {
        let line_of = |color| Line::from(line.clone()).fg(color);
        match line {
            line if line.contains(" ERROR ") => line_of(Color::Red),
            line if line.contains(" WARN ") || line.contains("  stalled") => line_of(Color::Yellow),
            line => Line::from(line.clone()),
        }
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

/// The rows of a table; headings stand out.
fn lines(table: &Table) -> Vec<Line<'static>> {
    let text = table.text();
    let lines = text.trim_start_matches('\n').lines().map(|line| {
        let is_heading = !line.starts_with(' ');
        let line = Line::from(line.to_owned());
        if is_heading { line.bold() } else { line }
    });
    lines.collect()
}

/// Lines from the one to which the page is moved.
fn page(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>, moved: &mut usize) {
    *moved = (*moved).min(lines.len().saturating_sub(usize::from(area.height)));
    let shown: Vec<Line<'static>> =
        lines.into_iter().skip(*moved).take(usize::from(area.height)).collect();
    frame.render_widget(Paragraph::new(shown), area);
}

#[cfg(test)]
mod tests;
