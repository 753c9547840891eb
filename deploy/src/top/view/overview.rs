//! Goals, curves and figures.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Gauge, Sparkline};

use super::{lines, page};
use crate::display::{Table, short};
use crate::status::sections;
use crate::top::state::State;

/// Of a curve, its name included.
const CURVE_HEIGHT: u16 = 5;
/// A lower screen has no curves.
const LOW: u16 = 16;
/// Steps of a curve's values: eight for each line of it.
const STEPS: f64 = 8.0 * (CURVE_HEIGHT - 1) as f64;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &mut State) {
    let curves = if area.height < LOW { 0 } else { CURVE_HEIGHT };
    let rows = [Constraint::Length(1), Constraint::Length(curves), Constraint::Min(0)];
    let [goal, curves, rest] = Layout::vertical(rows).areas(area);
    let figures = &state.figures;
    let left = figures.left.as_ref().map(|left| format!("  {left}")).unwrap_or_default();
    let gauge = Gauge::default()
        .ratio(figures.done)
        .label(format!("{}{left}", figures.goal))
        .gauge_style(Style::new().fg(Color::Blue));
    frame.render_widget(gauge, goal);
    let parts: [Rect; 3] = Layout::horizontal([Constraint::Fill(1); 3]).spacing(2).areas(curves);
    let history = &state.history;
    let shown =
        [("trajectories/s", &history.rate), ("loss", &history.loss), ("log Z", &history.log_z)];
    for (part, (name, values)) in parts.into_iter().zip(shown) {
        curve(frame, part, name, values);
    }
    let (mut table, status) = (Table::default(), &state.status);
    for section in [
        sections::stalls,
        sections::limit,
        sections::training,
        sections::evaluation,
        sections::waits,
        sections::books,
    ] {
        section(&mut table, status);
    }
    page(frame, rest, lines(&table), &mut state.moved);
}

/// A curve from its least to its largest value, the newest at the right.
fn curve(frame: &mut Frame<'_>, area: Rect, name: &str, values: &VecDeque<f64>) {
    let [heading, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let last = values.back().map_or_else(String::new, |last| short(*last));
    frame.render_widget(Line::from(format!("{name} {last}")).bold(), heading);
    let first = values.len().saturating_sub(usize::from(body.width));
    let seen: Vec<f64> = values.range(first..).copied().collect();
    let line = Sparkline::default().data(levels(&seen)).max(STEPS as u64);
    frame.render_widget(line.style(Style::new().fg(Color::Cyan)), body);
}

/// The values as 1 (the least) to [`STEPS`] (the largest).
fn levels(values: &[f64]) -> Vec<u64> {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let span = (largest - least).max(f64::MIN_POSITIVE);
    values.iter().map(|value| 1 + ((value - least) / span * (STEPS - 1.0)).round() as u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_value_is_low_and_the_largest_is_high() {
        assert_eq!(levels(&[3.0, 1.0, 2.0]), [32, 1, 17]);
        assert_eq!(levels(&[5.0, 5.0]), [1, 1]);
        assert_eq!(levels(&[]), [0; 0]);
        assert_eq!(levels(&[-1e300, 1e300]).last(), Some(&32));
    }
}
