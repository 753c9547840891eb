//! `tributary-learner`, with everything that comes with Tributary.

use std::process::ExitCode;

use tributary_common::registry::Registry;

fn main() -> ExitCode {
    tributary_learner::main(Registry::builtin())
}
