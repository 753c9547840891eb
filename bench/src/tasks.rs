//! The run files that several benchmarks share, and the tables that they are measured on.

use std::path::Path;

use anyhow::{Context, Result};

use crate::report::write;

/// Two dimensions of side 8, so that the exact comparison costs nothing.
pub(crate) const SMALL_HYPERGRID: &str = r#"
[environment]
kind = "hypergrid"
dimensions = 2
side = 8
[reward]
kind = "original"
r0 = 0.1
r1 = 0.5
r2 = 2.0
"#;

/// The hypergrid of the example: a desert between 16 corners.
pub(crate) const HYPERGRID_4D_H8: &str = r#"
[environment]
kind = "hypergrid"
dimensions = 4
side = 8
[reward]
kind = "original"
r0 = 0.001
r1 = 0.5
r2 = 2.0
"#;

/// 65,536 cells.
pub(crate) const HYPERGRID_4D_H16: &str = r#"
[environment]
kind = "hypergrid"
dimensions = 4
side = 16
[reward]
kind = "original"
r0 = 0.1
r1 = 0.5
r2 = 2.0
"#;

/// Eight words of four bits at any position; log R falls by 1 for each bit.
pub(crate) const BITS_32: &str = r#"
[environment]
kind = "sequence"
construction = "any_position"
word_bits = 4
length = 8
[reward]
kind = "bit_sequence"
distance_scale = "raw"
exponent = 1.0
"#;

/// Fifteen words of eight bits at any position; log R falls by 1 for each bit.
pub(crate) const BITS_120: &str = r#"
[environment]
kind = "sequence"
construction = "any_position"
word_bits = 8
length = 15
[reward]
kind = "bit_sequence"
distance_scale = "raw"
exponent = 1.0
"#;

/// 64 bits, one after the other.
pub(crate) const BITS_64_APPENDED: &str = r#"
[environment]
kind = "sequence"
construction = "append"
word_bits = 1
length = 64
[reward]
kind = "bit_sequence"
distance_scale = "raw"
exponent = 1.0
"#;

/// 256 bits, one after the other.
pub(crate) const BITS_256_APPENDED: &str = r#"
[environment]
kind = "sequence"
construction = "append"
word_bits = 1
length = 256
[reward]
kind = "bit_sequence"
distance_scale = "raw"
exponent = 1.0
"#;

/// The measured words of eight letters, as in the example.
pub(crate) const TFBIND8: &str = r#"
[environment]
kind = "sequence"
construction = "append"
alphabet = "ACGT"
length = 8
[reward]
kind = "table"
file = "tfbind8.tsv"
normalizer = "max"
exponent = 3.0
scale = 10.0
floor = 0.001
"#;

/// Words of one to six letters, worth the more the more often they hold two motifs.
pub(crate) const MOTIFS: &str = r#"
[environment]
kind = "sequence"
construction = "append"
alphabet = "ACGT"
max_length = 6
[reward]
kind = "motif"
motifs = ["ACG", "TT"]
weights = [2.0, 1.0]
"#;

/// DNA words of four letters, with the table that [`write_four_letters`] makes.
pub(crate) const FOUR_LETTERS: &str = r#"
[environment]
kind = "sequence"
construction = "append"
alphabet = "ACGT"
length = 4
[reward]
kind = "table"
file = "four_letters.tsv"
normalizer = "max"
exponent = 3.0
scale = 10.0
floor = 0.001
"#;

/// The measured binding of the TFBind8 example, as a table.
pub(crate) const EIGHT_LETTERS: &str = "tfbind8.tsv";

/// Writes `four_letters.tsv`: the value of a word w of four letters is the mean over the 256 measured
/// words of eight letters that have w in the middle.
///
/// # Errors
/// The table of the example is missing or has another form.
pub(crate) fn write_four_letters(examples: &Path, folder: &Path) -> Result<()> {
    let path = examples.join(EIGHT_LETTERS);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let mut sums = std::collections::BTreeMap::<&str, (f64, u32)>::new();
    for row in text.lines().skip(1) {
        let (word, value) = row.split_once('\t').context("a row without a tab")?;
        let middle = word.get(2..6).context("a word that is too short")?;
        let (sum, count) = sums.entry(middle).or_default();
        *sum += value.trim().parse::<f64>()?;
        *count += 1;
    }
    let mut table = "sequence\tscore\n".to_owned();
    for (word, (sum, count)) in sums {
        table += &format!("{word}\t{:.7}\n", sum / f64::from(count));
    }
    write(&folder.join("four_letters.tsv"), &table)
}
