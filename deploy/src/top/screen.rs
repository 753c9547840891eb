//! Holds the terminal: draws on it, reads its keys, gives it back as it was.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::feed::Feed;
use super::state::State;
use super::view;
use crate::error::CommandError;
use crate::train::signals::Signals;

/// Between two looks whether anybody still wants keys.
const KEYS: Duration = Duration::from_millis(100);
/// Drawn again after so long, even when nothing happened: a clock may be on the screen.
const CLOCK: Duration = Duration::from_secs(1);

/// Shows what is heard until the user leaves.
pub(super) async fn show(mut feed: Feed) -> Result<(), CommandError> {
    let mut signals = Signals::new()?;
    let mut screen = Screen::take().map_err(CommandError::system("use the terminal"))?;
    let (mut state, mut keys) = (State::new(), keys()?);
    let mut clock = interval(CLOCK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !state.is_over {
        tokio::select! {
            biased;
            () = signals.next() => return Err(CommandError::Interrupted),
            event = keys.recv() => match event {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => state.press(key),
                Some(_) => {}
                // The terminal is gone.
                None => return Ok(()),
            },
            heard = feed.next() => match heard {
                Some(heard) => state.hear(heard, Instant::now()),
                None => return Ok(()),
            },
            _ = clock.tick() => {}
        }
        let drawn = screen.0.draw(|frame| view::draw(frame, &mut state, Instant::now()));
        drawn.map_err(CommandError::Output)?;
    }
    Ok(())
}

/// The terminal; given back when this is dropped, and when the program panics.
struct Screen(DefaultTerminal);

impl Screen {
    fn take() -> io::Result<Self> {
        ratatui::try_init().map(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = ratatui::try_restore();
    }
}

/// Keys and new sizes, as they come.
fn keys() -> Result<mpsc::Receiver<Event>, CommandError> {
    let (sender, keys) = mpsc::channel(64);
    let read = move || {
        while !sender.is_closed() {
            let event = match event::poll(KEYS) {
                Ok(true) => event::read(),
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            let Ok(event) = event else { return };
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("keys".to_owned()).spawn(read);
    thread.map_err(CommandError::system("read the keyboard"))?;
    Ok(keys)
}
