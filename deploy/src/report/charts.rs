//! Which figures are drawn together, and which are told at the end.

/// A figure of `metrics.jsonl` and what it is called.
pub(super) type Figure = (&'static str, &'static str);

/// What is drawn on the same axes.
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// The first is the one by which runs are compared.
    pub(super) figures: &'static [Figure],
    pub(super) is_logarithmic: bool,
    /// Over seconds, not over trajectories.
    pub(super) over_time: bool,
    /// Why a run may not have it.
    pub(super) without: &'static str,
}

const fn chart(
    title: &'static str,
    figures: &'static [Figure],
    is_logarithmic: bool,
    without: &'static str,
) -> Chart {
    Chart { title, figures, is_logarithmic, over_time: false, without }
}

/// All of them.
pub(super) const CHARTS: &[Chart] = &[
    chart("Loss", &[("loss", "loss")], true, "no update was made"),
    chart(
        "log Z",
        &[
            ("log_z", "learned"),
            ("log_z_target", "of the target"),
            ("samples.elbo", "ELBO"),
            ("samples.effective_log_z", "effective"),
        ],
        false,
        "the objective learns none, or no update was made",
    ),
    chart(
        "Distance to the target",
        &[
            ("total_variation", "total variation"),
            ("jensen_shannon", "Jensen-Shannon"),
            ("recent.total_variation", "total variation, recent objects"),
        ],
        true,
        "the states are too many to be listed, or no comparison was made",
    ),
    chart(
        "Correlation of log p and log R",
        &[
            ("test_set.spearman", "Spearman, test set"),
            ("spearman", "Spearman"),
            ("pearson", "Pearson"),
        ],
        false,
        "there is no test set, or no comparison was made",
    ),
    chart("Modes found", &[("modes.found", "found")], false, "the run names no modes"),
    chart(
        "Best objects, log R",
        &[("top_k.mean_log_reward", "mean"), ("top_k.highest_log_reward", "highest")],
        false,
        "evaluation.top_k is 0, or nothing was found",
    ),
    Chart {
        title: "Trajectories per second",
        figures: &[("trajectories_per_second", "trajectories/s")],
        is_logarithmic: false,
        over_time: true,
        without: "no record was written",
    },
    chart("Lag, updates", &[("lag_mean", "mean")], false, "no record was written"),
    chart(
        "Evaluations of the reward",
        &[("evaluations", "paid for"), ("evaluations_saved", "saved by the ledger")],
        false,
        "rewards are not shared, so they are not counted",
    ),
    chart(
        "Cost of evaluations",
        &[("evaluation_cost", "cost")],
        false,
        "rewards are not shared, so it is not counted",
    ),
];

/// Told at the end, and compared.
pub(super) const FINAL: &[Figure] = &[
    ("generated", "trajectories"),
    ("updates", "updates"),
    ("samples", "samples trained on"),
    ("paid", "objects paid for"),
    ("evaluations", "evaluations"),
    ("evaluations_saved", "evaluations saved"),
    ("evaluation_cost", "cost of evaluations"),
    ("training_seconds", "training, s"),
    (RATE, "trajectories/s of training"),
    ("loss", "loss"),
    ("log_z", "log Z"),
    ("log_z_target", "log Z of the target"),
    ("log_z_error", "log Z, error"),
    ("total_variation", "total variation"),
    ("jensen_shannon", "Jensen-Shannon"),
    ("kl_target_policy", "KL(target, policy)"),
    ("kl_policy_target", "KL(policy, target)"),
    ("pearson", "Pearson (log p, log R)"),
    ("spearman", "Spearman"),
    ("test_set.spearman", "Spearman, test set"),
    ("samples.elbo", "ELBO"),
    ("samples.effective_log_z", "effective log Z"),
    ("recent.total_variation", "total variation, recent objects"),
    ("recent.noise_floor", "that of perfect samples"),
    ("modes.found", "modes found"),
    ("modes.known", "modes known"),
    ("top_k.mean_log_reward", "best objects, mean log R"),
    ("top_k.highest_log_reward", "best object, log R"),
    ("top_k.diversity", "best objects, diversity"),
    ("lag_mean", "lag, mean"),
    ("lag_max", "lag, at most"),
    ("memory_bytes", "learner's memory, bytes"),
];

/// Trajectories over the time of training; the one figure that is not in the records.
pub(super) const RATE: &str = "training_rate";

/// Whether any chart shows it.
pub(super) fn is_drawn(name: &str) -> bool {
    CHARTS.iter().any(|chart| chart.figures.iter().any(|(figure, _)| *figure == name))
}
