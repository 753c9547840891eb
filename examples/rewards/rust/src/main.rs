//! A reward in Rust, as a program of its own: the same as `reward.py`. It knows nothing of Tributary but
//! the two lines of JSON.

#![forbid(unsafe_code)]

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

/// What the actor asks.
#[derive(Deserialize)]
struct Request {
    id: u64,
    objects: Vec<String>,
}

/// What it is told.
#[derive(Serialize)]
struct Reply {
    id: u64,
    rewards: Vec<Measured>,
}

/// An object's value, or why it has none.
#[derive(Serialize)]
#[serde(untagged)]
enum Measured {
    Value(f64),
    Failed { error: String },
}

/// 1, and 1 for each letter that would pair with its opposite if the word were folded in half.
fn reward(word: &str) -> Measured {
    let half = word.len() / 2;
    if half == 0 {
        return Measured::Failed { error: "nothing to fold".to_owned() };
    }
    let ends = word.bytes().zip(word.bytes().rev()).take(half);
    let is_pair = |(a, b): &(u8, u8)| [b"AT", b"TA", b"CG", b"GC"].contains(&&[*a, *b]);
    Measured::Value(1.0 + ends.filter(is_pair).count() as f64)
}

fn main() -> io::Result<()> {
    eprintln!("ready to measure");
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let Request { id, objects } = serde_json::from_str(&line?)?;
        let rewards = objects.iter().map(|word| reward(word)).collect();
        serde_json::to_writer(&mut output, &Reply { id, rewards })?;
        // One line, and at once: the actor waits for it.
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}
