//! What each fuzz target does with the bytes it gets. A panic, a hang or a broken promise that an
//! assertion names is a finding; `scripts/fuzz.sh` runs them.

pub mod checkpoint;
mod input;
pub mod run_file;
pub mod session;
pub mod table;
pub mod weights;
pub mod wire;
