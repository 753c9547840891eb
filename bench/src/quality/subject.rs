//! What is searched: words of eight letters with a table of what they are worth.

use anyhow::{Result, ensure};

use super::Options;
use crate::experiment::{Experiment, ensure_taken};
use crate::tasks;

/// A table and the power of its values.
#[derive(Clone, Copy)]
pub(super) struct Subject {
    pub(super) name: &'static str,
    table: Words,
    pub(super) exponent: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum Words {
    /// How strongly a transcription factor binds DNA, as measured.
    TfBind8,
    /// How strongly RNA binds a longer strand, as ViennaRNA computes it.
    Rna,
}

pub(super) const SUBJECTS: [Subject; 3] = [
    Subject { name: "TFBind8, exponent 3", table: Words::TfBind8, exponent: 3 },
    Subject { name: "TFBind8, exponent 8", table: Words::TfBind8, exponent: 8 },
    Subject { name: "RNA binding, exponent 3", table: Words::Rna, exponent: 3 },
];

impl Subject {
    /// The run file of it, with these changes.
    pub(super) fn read(self, changes: &mut Vec<String>, options: &Options) -> Result<Experiment> {
        if self.table == Words::Rna {
            let file = std::path::absolute(&options.rna)?;
            ensure!(
                file.exists(),
                "there is no {}; `make bench-quality` writes it with bench/rna_words.py",
                file.display()
            );
            changes.push(format!("reward.file={}", file.display()));
        }
        let read = Experiment::read(tasks::TFBIND8, changes, &options.examples);
        ensure_taken(&read)?;
        Ok(read?)
    }
}
