//! The `tributary` command with the reward "counted", for `tributary-bench soak kill`.

#[path = "../counted.rs"]
mod counted;

fn main() -> std::process::ExitCode {
    tributary_deploy::main(counted::registry())
}
