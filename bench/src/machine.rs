//! What was measured, and on what.

use serde::Serialize;

/// Said with every figure.
#[derive(Serialize)]
pub(crate) struct Machine {
    pub(crate) commit: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
}

impl Machine {
    /// This one, and the commit that is checked out ("+" if files differ from it).
    pub(crate) fn this() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let changed = output_of("git", &["status", "--porcelain"]);
        let mark = if changed.is_empty() { "" } else { "+" };
        let mut commit = output_of("git", &["rev-parse", "--short", "HEAD"]);
        if commit.is_empty() {
            commit = "unknown".to_string();
        }
        Self { commit: commit + mark, processor: processor(), cores }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} cores, commit {}", self.processor, self.cores, self.commit)
    }
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string()).unwrap_or_default()
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
    line.map_or_else(|| "unknown processor".to_string(), |(_, name)| name.trim().to_string())
}
