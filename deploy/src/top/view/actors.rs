//! A row for each actor.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::widgets::{Row, Table};
use tributary_proto::v1::{ActorRow, ActorState, StatusReply};

use crate::display::{grouped, short, shown};
use crate::status::sections;
use crate::top::state::State;

const HEADINGS: [&str; 9] =
    ["actor", "state", "per s", "accepted", "unacked", "update", "silent", "waits for", "notes"];

const WIDTHS: [Constraint; 9] = [
    Constraint::Length(16),
    Constraint::Length(13),
    Constraint::Length(8),
    Constraint::Length(12),
    Constraint::Length(8),
    Constraint::Length(9),
    Constraint::Length(7),
    Constraint::Length(10),
    Constraint::Fill(1),
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &mut State) {
    let actors = ordered(&state.status, state.by_rate);
    let room = usize::from(area.height.saturating_sub(1));
    state.moved = state.moved.min(actors.len().saturating_sub(room));
    let slow = sections::straggling(&state.status.actors);
    let rows = actors.into_iter().skip(state.moved).take(room);
    let rows = rows.map(|actor| row(actor, slow.contains(&actor.id)));
    frame.render_widget(Table::new(rows, WIDTHS).header(Row::new(HEADINGS).bold()), area);
}

/// Those that are there first, then by number, or the fastest first.
fn ordered(status: &StatusReply, by_rate: bool) -> Vec<&ActorRow> {
    let mut actors: Vec<&ActorRow> = status.actors.iter().collect();
    if by_rate {
        actors.sort_by(|a, b| b.trajectories_per_second.total_cmp(&a.trajectories_per_second));
    }
    actors.sort_by_key(|actor| has_left(actor));
    actors
}

fn has_left(actor: &ActorRow) -> bool {
    matches!(actor.state(), ActorState::Lost | ActorState::Gone)
}

fn row(actor: &ActorRow, is_slow: bool) -> Row<'static> {
    let most = actor.waited_seconds.iter().max_by(|a, b| a.1.total_cmp(b.1));
    let cells = [
        shown(&actor.name),
        sections::actor_state(actor),
        short(actor.trajectories_per_second),
        grouped(actor.accepted),
        grouped(actor.unacked),
        grouped(actor.policy.unwrap_or_default().step),
        format!("{:.0} s", actor.silent_seconds),
        most.map_or_else(String::new, |(edge, _)| shown(edge)),
        notes(actor, is_slow),
    ];
    let color = match actor.state() {
        _ if actor.quarantined || !actor.reward_trouble.is_empty() => Some(Color::Red),
        ActorState::Lost | ActorState::Gone => Some(Color::DarkGray),
        ActorState::Suspect => Some(Color::Yellow),
        _ if is_slow => Some(Color::Yellow),
        _ => None,
    };
    Row::new(cells).style(color.map_or_else(Style::new, |color| Style::new().fg(color)))
}

fn notes(actor: &ActorRow, is_slow: bool) -> String {
    let mut notes = Vec::new();
    if actor.quarantined {
        notes.push("QUARANTINED".to_owned());
    }
    if !actor.reward_trouble.is_empty() {
        notes.push(format!("NO REWARDS: {}", actor.reward_trouble));
    }
    if is_slow {
        notes.push("a straggler".to_owned());
    }
    if actor.rejected > 0 {
        notes.push(format!("{} rejected", grouped(actor.rejected)));
    }
    if actor.alarms > 0 {
        notes.push(format!("differs in {}", grouped(actor.alarms)));
    }
    notes.push(format!("{}, on {} (process {})", actor.id, actor.host, actor.process));
    shown(&notes.join("; "))
}
