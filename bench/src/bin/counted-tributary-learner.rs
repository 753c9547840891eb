//! The learner with the rewards of benchmarks.

#[path = "../counted.rs"]
mod counted;
#[path = "../tailed.rs"]
mod tailed;

fn main() -> std::process::ExitCode {
    tributary_learner::main(tailed::with(counted::registry(), false))
}
