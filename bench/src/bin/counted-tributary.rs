//! The `tributary` command with the rewards of benchmarks.

#[path = "../counted.rs"]
mod counted;
#[path = "../tailed.rs"]
mod tailed;

fn main() -> std::process::ExitCode {
    tributary_deploy::main(tailed::with(counted::registry(), true))
}
