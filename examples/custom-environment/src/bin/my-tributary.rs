//! The `tributary` command with this crate's environments and rewards.
fn main() -> std::process::ExitCode {
    tributary_deploy::main(custom_environment::registry())
}
