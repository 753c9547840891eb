//! The `tributary` command with the built-in environments and rewards.

use std::process::ExitCode;

use tributary_common::registry::Registry;

fn main() -> ExitCode {
    tributary_deploy::main(Registry::builtin())
}
