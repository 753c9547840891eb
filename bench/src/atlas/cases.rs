//! The environments of the atlas, and what is trained on them. A new objective or P_B is a line.

use std::path::Path;

use tributary_common::run_file::RunFileError;

use super::Options;
use crate::experiment::Experiment;

/// A small environment with a reward that varies.
pub(super) struct Environment {
    pub(super) name: &'static str,
    text: &'static str,
}

impl Environment {
    /// With changes to the run file, one a line; names of data files start in `files`.
    pub(super) fn read(
        &self,
        options: &Options,
        changes: &str,
        files: &Path,
    ) -> Result<Experiment, Box<RunFileError>> {
        let common = format!(
            "run.seed={}\nlearner.updates={}\nlearner.batch=16\nactor.batch=16\n\
             learner.learning_rate=0.005\nlearner.log_z_learning_rate=0.1\n\
             learner.schedule=cosine\nlearner.ema=0.99\npolicy.hidden=[48, 48]\n\
             exploration.epsilon=0.1\nlearner.device=cpu",
            options.seed, options.updates
        );
        let changes: Vec<String> =
            common.lines().chain(changes.lines()).map(str::to_owned).collect();
        Experiment::read(self.text, &changes, files).map_err(Box::new)
    }

    /// The one of this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        ENVIRONMENTS.iter().find(|environment| environment.name == name)
    }
}

macro_rules! words {
    ($construction:literal, $length:literal) => {
        concat!(
            "[environment]\nkind = \"sequence\"\nalphabet = \"ABC\"\nconstruction = \"",
            $construction,
            "\"\n",
            $length,
            "\n[reward]\nkind = \"motif\"\nmotifs = [\"A\", \"BC\", \"CA\"]\nweights = [0.8, 1.5, \
             1.1]\n"
        )
    };
}

macro_rules! grid {
    ($dimensions:literal, $side:literal) => {
        concat!(
            "[environment]\nkind = \"hypergrid\"\ndimensions = ",
            $dimensions,
            "\nside = ",
            $side,
            "\n[reward]\nkind = \"original\"\nr0 = 0.1\nr1 = 0.5\nr2 = 2.0\n"
        )
    };
}

pub(super) const ENVIRONMENTS: [Environment; 8] = [
    Environment { name: "hypergrid 2D H8", text: grid!("2", "8") },
    Environment { name: "hypergrid 3D H4", text: grid!("3", "4") },
    Environment { name: "append, 4", text: words!("append", "length = 4") },
    Environment { name: "prepend_append, 4", text: words!("prepend_append", "length = 4") },
    Environment { name: "insert, 4", text: words!("insert", "length = 4") },
    Environment { name: "any_position, 4", text: words!("any_position", "length = 4") },
    Environment { name: "append, 1 to 3", text: words!("append", "max_length = 3") },
    Environment { name: "insert, 1 to 3", text: words!("insert", "max_length = 3") },
];

macro_rules! with_each_backward {
    ($name:literal, $kind:literal) => {
        [
            (
                concat!($name, ", uniform"),
                concat!("objective.kind=", $kind, "\npolicy.backward=uniform"),
            ),
            (
                concat!($name, ", learned"),
                concat!("objective.kind=", $kind, "\npolicy.backward=learned"),
            ),
            (
                concat!($name, ", maxent"),
                concat!("objective.kind=", $kind, "\npolicy.backward=maxent"),
            ),
            (
                concat!($name, ", pessimistic"),
                concat!("objective.kind=", $kind, "\npolicy.backward=pessimistic"),
            ),
        ]
    };
}

const TB: [Column; 4] = with_each_backward!("TB", "trajectory_balance");
const SUB_TB: [Column; 4] = with_each_backward!("SubTB", "sub_trajectory_balance");
const DB: [Column; 4] = with_each_backward!("DB", "detailed_balance");
const VAR_GRAD: [Column; 4] = with_each_backward!("VarGrad", "log_partition_variance");
const MODIFIED_DB: [Column; 4] = with_each_backward!("modified DB", "modified_detailed_balance");

/// Its name, and changes to the run file, one a line.
type Column = (&'static str, &'static str);

pub(super) const COLUMNS: [Column; 23] = [
    TB[0],
    TB[1],
    TB[2],
    TB[3],
    SUB_TB[0],
    SUB_TB[1],
    SUB_TB[2],
    SUB_TB[3],
    DB[0],
    DB[1],
    DB[2],
    DB[3],
    VAR_GRAD[0],
    VAR_GRAD[1],
    VAR_GRAD[2],
    VAR_GRAD[3],
    MODIFIED_DB[0],
    MODIFIED_DB[1],
    MODIFIED_DB[2],
    MODIFIED_DB[3],
    ("FM", "objective.kind=flow_matching"),
    ("FL-DB, learned", "objective.kind=detailed_balance\nobjective.forward_looking=true"),
    ("FL-SubTB, learned", "objective.kind=sub_trajectory_balance\nobjective.forward_looking=true"),
];
