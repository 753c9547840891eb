//! The learner with this crate's environments and rewards; `my-tributary train` finds it beside itself.
fn main() -> std::process::ExitCode {
    tributary_learner::main(custom_environment::registry())
}
