//! The best objects: of the ledger, or, where there is none, of the newest checkpoint.

use std::path::Path;

use serde_json::Value;
use tributary_common::checkpoint;
use tributary_common::ledger::FILE;
use tributary_common::object::Object;
use tributary_common::registry::Registry;

use crate::display::grouped;
use crate::error::CommandError;
use crate::ledger;

/// How many are shown.
const MOST: usize = 20;

/// A table of them and where it is from.
pub(super) struct Best {
    pub(super) source: String,
    pub(super) headings: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// The best of a run.
///
/// # Errors
/// Why there are none, in words.
pub(super) fn of_run(directory: &Path, registry: &Registry) -> Result<Best, String> {
    if directory.join(FILE).is_file() {
        return of_ledger(directory, registry).map_err(|error| error.to_string());
    }
    let checkpoints = checkpoint::list(directory).map_err(|error| error.to_string())?;
    let newest = checkpoints.last().ok_or("there is neither a ledger nor a checkpoint yet")?;
    let text = std::fs::read_to_string(newest.join("findings.json"));
    let text = text.map_err(|error| format!("findings.json of the newest checkpoint: {error}"))?;
    let best = of_findings(&text).ok_or("the newest checkpoint holds none")?;
    let name = newest.file_name().unwrap_or_default().to_string_lossy();
    Ok(Best { source: format!("of the checkpoint {name}"), ..best })
}

fn of_ledger(directory: &Path, registry: &Registry) -> Result<Best, CommandError> {
    let ledger::BestRows { objects, headings, rows } =
        ledger::best_rows(directory, MOST, registry)?;
    // What is long stands last there; here the object names its row.
    let first = |mut cells: Vec<String>| {
        cells.rotate_right(1);
        cells
    };
    Ok(Best {
        source: format!("of {} in the ledger, by log-reward", grouped(objects)),
        headings: first(headings),
        rows: rows.into_iter().map(first).collect(),
    })
}

fn of_findings(text: &str) -> Option<Best> {
    let findings: Value = serde_json::from_str(text).ok()?;
    let found = findings["top"].as_array()?.iter().filter_map(|found| {
        let object: Object = serde_json::from_value(found[0].clone()).ok()?;
        Some((found[1].as_f64()?, object.to_string()))
    });
    let mut found: Vec<(f64, String)> = found.collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.truncate(MOST);
    let rows = found.into_iter().map(|(log_r, name)| vec![name, format!("{log_r:.4}")]);
    let rows: Vec<Vec<String>> = rows.collect();
    let headings = ["object", "log R"].map(str::to_owned).to_vec();
    (!rows.is_empty()).then(|| Best { source: String::new(), headings, rows })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_best_of_a_checkpoint_come_first() {
        let text = r#"{"modes":[],"top":[["AB",-2.5],["</pre><script>",1.5],[[1,2],0.25]]}"#;
        let rows = of_findings(text).unwrap().rows;
        assert_eq!(
            rows[0],
            ["</pre><script>", "1.5000"],
            "objects stay as they are until the page"
        );
        assert_eq!((rows.len(), rows[2][0].as_str()), (3, "AB"));
        assert!(of_findings("{\"top\":[]}").is_none() && of_findings("{").is_none());
    }

    #[test]
    fn a_run_without_any_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let reason = of_run(folder.path(), &Registry::builtin()).err().unwrap();
        assert!(reason.contains("neither a ledger nor a checkpoint"), "{reason}");
    }
}
