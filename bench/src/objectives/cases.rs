//! The environments and objectives of the table.

use crate::tasks;

/// An environment, how it is trained, and how its policy is judged.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// The run file.
    pub(super) text: &'static str,
    /// Changes to it, one a line.
    pub(super) changes: &'static str,
    pub(super) trajectories: u64,
    pub(super) quality: Quality,
}

/// How a policy is judged.
pub(super) enum Quality {
    /// By its exact distribution; the modes are this fraction of the objects with the best rewards.
    Exact { best: f64 },
    /// By the correlation on every so manieth test string, with so many paths of P_B; a mode is found
    /// within this many bits of it.
    TestSet { every: usize, paths: usize, radius: f64 },
}

/// Names and changes of the run file, one a line.
pub(super) const OBJECTIVES: [(&str, &str); 8] = [
    ("TB", "objective.kind=trajectory_balance"),
    ("SubTB 0.9", "objective.kind=sub_trajectory_balance"),
    ("DB", "objective.kind=detailed_balance"),
    ("VarGrad", "objective.kind=log_partition_variance"),
    ("FM", "objective.kind=flow_matching"),
    ("modified DB", "objective.kind=modified_detailed_balance"),
    ("FL-DB", "objective.kind=detailed_balance\nobjective.forward_looking=true"),
    ("FL-SubTB 0.9", "objective.kind=sub_trajectory_balance\nobjective.forward_looking=true"),
];

/// Rewards of a hypergrid that fall in three classes have 2^D best cells; elsewhere the best are one
/// in two hundred.
pub(super) const CASES: [Case; 6] = [
    Case {
        name: "hypergrid 4D H8",
        text: tasks::HYPERGRID_4D_H8,
        changes: "learner.batch=16\nactor.batch=16\n\
                  exploration.epsilon={ start = 0.1, end = 0.0, over = 64_000 }",
        trajectories: 128_000,
        quality: Quality::Exact { best: 0.003 },
    },
    Case {
        name: "bit sequence n = 32, k = 4",
        text: tasks::BITS_32,
        changes: "learner.batch=16\nactor.batch=16\nexploration.epsilon=0.01",
        trajectories: 64_000,
        quality: Quality::TestSet { every: 2, paths: 10, radius: 4.0 },
    },
    Case {
        name: "bit sequence n = 120, k = 8",
        text: tasks::BITS_120,
        changes: "learner.batch=16\nactor.batch=16\nexploration.epsilon=0.001",
        trajectories: 32_000,
        quality: Quality::TestSet { every: 16, paths: 10, radius: 30.0 },
    },
    Case {
        name: "TFBind8, append",
        text: tasks::TFBIND8,
        changes: "learner.batch=64\nactor.batch=64\n\
                  exploration.epsilon={ start = 0.5, end = 0.0, over = 128_000 }",
        trajectories: 256_000,
        quality: Quality::Exact { best: 0.005 },
    },
    Case {
        name: "TFBind8, prepend_append",
        text: tasks::TFBIND8,
        changes: "environment.construction=prepend_append\nlearner.batch=64\nactor.batch=64\n\
                  exploration.epsilon={ start = 0.5, end = 0.0, over = 128_000 }",
        trajectories: 256_000,
        quality: Quality::Exact { best: 0.005 },
    },
    Case {
        name: "1 to 6 letters of 4",
        text: tasks::MOTIFS,
        changes: "learner.batch=16\nactor.batch=16\nexploration.epsilon=0.01",
        trajectories: 64_000,
        quality: Quality::Exact { best: 0.005 },
    },
];

/// What the names mean.
pub(super) fn notes() -> String {
    "Every run has an MLP 256x2 and a learned P_B, Adam at 1e-3 (log Z 0.1, from the estimate of the \
     first batch), and is judged by its averaged weights (0.998). Exact TV and Spearman are over all \
     objects; for bit sequences Spearman of log p (10 paths of P_B) and log R on strings of the test \
     set (every second of n = 32, every sixteenth of n = 120), log R = -(bits to the nearest of 60 \
     modes). Modes: the 16 best cells of the hypergrid, the hidden strings within 4 of 32 and 30 of \
     120 bits, elsewhere the best 0.5 % of all objects; found among all that were drawn. Refused: the \
     objective needs what the environment does not have, as `tributary check` explains."
        .to_owned()
}
