//! Run files: text to values, the values in effect to text, and that text to the same values.

use std::path::Path;

use tributary_common::registry::Registry;
use tributary_common::run_file::RunFile;

/// One run file.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let run_file = match RunFile::parse(text, &[]) {
        Ok(run_file) => run_file,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let written = run_file.to_toml();
    let again = match RunFile::parse(&written, &[]) {
        Ok(again) => again,
        Err(error) => panic!("its own text is refused: {error}\n{written}"),
    };
    assert_eq!(written, again.to_toml());
    assert!(run_file.difference(&again).is_empty(), "{:?}", run_file.difference(&again));
    let registry = Registry::builtin();
    let environment = registry.describe_environment(&run_file.environment);
    let reward = registry.describe_reward(&run_file.reward.section);
    assert_eq!(run_file.effective(environment, reward).len(), 10);
    // Files are the matter of another target.
    if tributary_common::registry::data_files(&run_file).is_empty()
        && run_file.replay.initial.is_none()
    {
        let _ = registry.task(&run_file, Path::new("/nowhere"));
    }
}
