//! What stands on the screen, drawn without a terminal.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tributary_proto::v1::{
    ActorRow, ActorState, Books, Counters, FoundObject, Goals, PolicyVersion, RunState, Spending,
    StatusReply,
};

use super::*;
use crate::top::feed::Heard;

/// Drives a terminal, forges a line, turns the writing round.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\nerror: a\r\u{202e}b";

fn run() -> StatusReply {
    let actor = |id: u64, name: &str, rate| ActorRow {
        id,
        name: name.to_owned(),
        host: HOSTILE.to_owned(),
        state: ActorState::Streaming.into(),
        trajectories_per_second: rate,
        accepted: 1_000 * id,
        unacked: 10 + id,
        policy: Some(PolicyVersion { step: 370 + id, ..PolicyVersion::default() }),
        waited_seconds: [("credit".to_owned(), 2.0)].into(),
        ..ActorRow::default()
    };
    StatusReply {
        run_name: "grid".to_owned(),
        state: RunState::Running.into(),
        incarnation: 3,
        seconds: 754.0,
        counters: Some(Counters {
            generated: 150_000,
            paid: 12_345,
            updates: 379,
            samples: 98_765,
        }),
        goals: Some(Goals { generated: Some(600_000), ..Goals::default() }),
        loss: Some(0.412_34),
        log_z: Some(11.381),
        trajectories_per_second: 2_950.7,
        books: Some(Books { received: 150_321, accepted: 150_000, ..Books::default() }),
        spending: Some(Spending { evaluations: 4_321, saved: 777, ..Spending::default() }),
        actors: vec![actor(1, "slow", 12.5), actor(2, HOSTILE, 99.5)],
        best: vec![FoundObject {
            object: format!("ACGT{HOSTILE}"),
            log_reward: Some(2.345_6),
            nearest: None,
        }],
        ..StatusReply::default()
    }
}

fn watching(status: StatusReply) -> State {
    let mut state = State::new();
    state.hear(Heard::Status(Box::new(status)), Instant::now());
    state
}

fn press(state: &mut State, code: KeyCode) {
    state.press(KeyEvent::new(code, KeyModifiers::NONE));
}

/// The screen as lines of text.
fn drawn(state: &mut State, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, Instant::now())).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| row(y).trim_end().to_owned()).collect()
}

fn assert_has(screen: &[String], expected: &[&str]) {
    for text in expected {
        let is_there = screen.iter().any(|line| line.contains(text));
        assert!(is_there, "{text:?} is not on\n{}", screen.join("\n"));
    }
}

#[test]
fn the_overview_has_the_figures_of_the_status() {
    let screen = drawn(&mut watching(run()), 100, 45);
    assert_eq!(screen[0], "grid  running  12:34  incarnation 3  ● live");
    assert_eq!(screen[1].trim(), "1 overview │ 2 actors │ 3 rewards │ 4 log");
    assert!(screen[2].contains("150,000 of 600,000 trajectories  eta 37:42"), "{}", screen[2]);
    let expected = [
        "trajectories/s 2951",
        "loss 0.4123",
        "log Z 11.38",
        "  trajectories       150,000 of 600,000",
        "  objects paid for   12,345",
        "  updates            379",
        "  samples trained on 98,765",
        "  received           150,321",
    ];
    let plain: Vec<String> = screen.iter().map(|line| squeezed(line)).collect();
    let expected: Vec<String> = expected.iter().map(|line| squeezed(line)).collect();
    assert_has(&plain, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(screen[44], KEYS);
}

/// With one space between words.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn each_actor_has_its_row_and_the_order_can_be_chosen() {
    let mut state = watching(run());
    press(&mut state, KeyCode::Char('2'));
    let screen = drawn(&mut state, 120, 12);
    assert_eq!(
        squeezed(&screen[3])[..58],
        *"slow streaming 12.50 1,000 11 371 0 s credit 1, on \\u{1b}["
    );
    assert!(screen[4].starts_with("\\u{1b}"), "{}", screen[4]);
    assert_has(&screen[4..5], &["99.50", "2,000", "372"]);
    press(&mut state, KeyCode::Char('s'));
    assert_has(&drawn(&mut state, 120, 12)[3..4], &["99.50"]);
    press(&mut state, KeyCode::End);
    assert_has(&drawn(&mut state, 120, 5)[3..4], &["12.50"]);
    assert_eq!(state.moved, 1, "no further than to the last row");
}

#[test]
fn rewards_and_objects_are_shown_and_the_log_says_what_happened() {
    let mut state = watching(run());
    press(&mut state, KeyCode::Char('3'));
    assert_has(
        &drawn(&mut state, 100, 30),
        &["4,321, 0 under way", "777", "log R 2.346", "ACGT\\u{1b}[2J"],
    );
    press(&mut state, KeyCode::Char('4'));
    let mut later = run();
    later.actors.remove(0);
    later.actors[0].state = ActorState::Lost.into();
    state.hear(Heard::Status(Box::new(later)), Instant::now());
    state.hear(Heard::Line(format!("WARN {HOSTILE}")), Instant::now());
    let screen = drawn(&mut state, 100, 30);
    assert_has(&screen, &["12:34  watching grid", "b is lost", "WARN \\u{1b}"]);
}

#[test]
fn a_learner_that_is_away_is_told_and_its_figures_stay() {
    let mut state = watching(run());
    let since = Instant::now().checked_sub(Duration::from_secs(75)).unwrap();
    state.link = Link::Reconnecting(since, "connection refused".to_owned());
    let screen = drawn(&mut state, 100, 30);
    assert!(screen[0].ends_with("○ reconnecting for 1:15: connection refused"), "{}", screen[0]);
    assert_has(&screen, &["150,000 of 600,000"]);
}

#[test]
fn no_text_drives_the_terminal_and_no_size_is_too_small() {
    let is_harmful = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
    let mut status = run();
    status.run_name = HOSTILE.to_owned();
    status.warnings = vec![HOSTILE.to_owned()];
    status.actors[0].reward_trouble = HOSTILE.to_owned();
    status.actors[0].waited_seconds = [(HOSTILE.to_owned(), 1.0)].into();
    let mut state = watching(status);
    state.hear(Heard::Silent(HOSTILE.to_owned()), Instant::now());
    for tab in Tab::ALL {
        state.tab = tab;
        for (width, height) in [(0, 0), (1, 1), (3, 2), (10, 4), (20, 100), (80, 24), (300, 100)] {
            for code in [KeyCode::End, KeyCode::Home, KeyCode::PageDown] {
                press(&mut state, code);
                let screen = drawn(&mut state, width, height).concat();
                assert!(!screen.contains(is_harmful), "{tab:?} {width}x{height}: {screen:?}");
            }
        }
    }
}
