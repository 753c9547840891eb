//! A panic ends the process with the thread's name and the cause, but where it is contained.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::process;
use std::thread;

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Exit code of a bug.
const BUG: i32 = 70;

/// From now on a panic on any thread ends the process with exit code 70, unless it is contained.
pub(crate) fn end_the_process() {
    std::panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("without a name");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let cause = cause(info.payload());
        if CONTAINED.get() {
            tracing::error!(thread = name, %place, %cause, "contained panic");
            return;
        }
        eprintln!("tributary-learner: the thread {name} panicked at {place}: {cause}");
        eprintln!("this is a bug of the program; its last checkpoint is untouched");
        process::exit(BUG);
    }));
}

/// Runs `work`; a panic in it is an error with the panic's cause.
pub(crate) fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(before);
    result.map_err(|payload| cause(payload.as_ref()))
}

fn cause(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no cause given".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used)]
    use super::*;
    use std::process::Command;

    #[test]
    fn a_contained_panic_is_an_error() {
        assert_eq!(contain(|| 7), Ok(7));
        assert_eq!(
            contain(|| -> u8 { panic!("operator {} failed", 3) }),
            Err("operator 3 failed".into())
        );
    }

    #[test]
    fn a_panic_ends_the_process_with_the_name_of_the_thread_and_the_cause() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "panics::tests::child", "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.status.code(), Some(BUG), "{text}");
        assert!(text.contains("the thread trainer panicked at"), "{text}");
        assert!(text.contains("a lemming fell"), "{text}");
    }

    #[test]
    #[ignore = "the child process of the test above"]
    fn child() {
        end_the_process();
        assert!(contain(|| panic!("contained")).is_err());
        let trainer = || panic!("a {} fell", "lemming");
        let trainer = thread::Builder::new().name("trainer".to_owned()).spawn(trainer).unwrap();
        // The process ends before the thread can be joined.
        let _: Result<(), _> = trainer.join();
        thread::park();
    }
}
