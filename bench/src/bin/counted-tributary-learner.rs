//! The learner with the reward "counted", for `tributary-bench soak kill`.

#[path = "../counted.rs"]
mod counted;

fn main() -> std::process::ExitCode {
    tributary_learner::main(counted::registry())
}
