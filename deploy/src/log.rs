//! Log lines of long-running commands, on stderr; RUST_LOG chooses which.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Writes log lines to stderr from now on: those that RUST_LOG asks for, by default from `level` on.
pub(crate) fn to_stderr(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    // Below that they show frames and headers, and with them tokens.
    let quiet = ["h2=info", "hyper=info", "rustls=info"];
    let quiet = quiet.into_iter().filter_map(|directive| directive.parse().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    // Fails only where the program around this one has set one up.
    let _ = subscriber.try_init();
}
