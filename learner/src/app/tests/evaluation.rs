//! What the evaluation beside the training says of a run.

use super::actor::TestActor;
use super::{GRID, TestLearner};

const DATA: [&str; 5] = [
    "evaluation.test_set=cells.csv",
    "evaluation.modes=cells.csv",
    "evaluation.mode_distance=1",
    "evaluation.reference=cells.csv",
    "learner.generated=3",
];

/// Three of the grid's objects, (0, 0), (1, 0) and (3, 3), go through a whole run; its summary's
/// evaluation by name.
async fn evaluated(sets: &[&str]) -> (TestLearner, serde_json::Value) {
    let sets = [&DATA[..], &["learner.batch=1"], sets].concat();
    let mut learner = TestLearner::start(GRID, &sets).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    let three: [(&[u32], f64); 3] = [(&[], 0.6), (&[0], 0.1), (&[0, 0, 0, 1, 1, 1], 0.6)];
    actor.send(&three).await;
    assert!(actor.acked().await.is_empty());
    actor.leave_when_drained().await;
    let (_, summary) = learner.end().await;
    (learner, summary)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_of_states_there_are_estimates_and_findings() {
    let sets = ["evaluation.max_states=1", "evaluation.samples=20", "evaluation.top_k=2"];
    let (learner, summary) = evaluated(&sets).await;
    assert!(summary["total_variation"].is_null(), "{summary:#}");
    let of = |name: &str| summary["evaluation"][name].as_f64();
    assert_eq!((of("test_set.objects"), of("test_set.exact_objects")), (Some(4.0), Some(4.0)));
    // Within a step of the three objects are (0, 0) and (3, 3), not (1, 2) and (2, 1).
    assert_eq!((of("modes.known"), of("modes.found")), (Some(4.0), Some(2.0)));
    assert_eq!((of("top_k.count"), of("top_k.diversity")), (Some(2.0), Some(6.0)));
    assert_eq!(of("top_k.novelty"), Some(0.0));
    let (elbo, effective) = (of("samples.elbo").unwrap(), of("samples.effective_log_z").unwrap());
    assert!(elbo <= effective && of("samples.count") == Some(20.0), "{summary:#}");
    assert_eq!(of("recent.objects"), None);
    assert!(of("evaluation.seconds").unwrap() > 0.0);
    let kept = std::fs::read_to_string(learner.path("data/cells.csv")).unwrap();
    assert!(kept.starts_with("cell\n"), "{kept}");
    let run_file = std::fs::read_to_string(learner.path("run.toml")).unwrap();
    assert_eq!(run_file.matches("data/cells.csv").count(), 3, "{run_file}");
    let metrics = std::fs::read_to_string(learner.path("metrics.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert_eq!(last["test_set.spearman"].as_f64(), of("test_set.spearman"));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_list_of_states_the_last_objects_are_compared_too() {
    let (_, summary) = evaluated(&["evaluation.recent_objects=2"]).await;
    let of = |name: &str| summary["evaluation"][name].as_f64();
    assert_eq!(of("recent.objects"), Some(2.0));
    assert!(of("recent.noise_floor").unwrap() > 0.1, "{summary:#}");
    assert_eq!(of("samples.elbo"), None, "not asked for");
    let exact = |name: &str| summary[name].as_f64().unwrap();
    assert!((exact("l1_mean") - exact("l1") / 16.0).abs() < 1e-12);
    // The fake training's log Z is .5 at every update.
    assert!((exact("log_z_error") - (0.5 - exact("log_z_target"))).abs() < 1e-12);
    assert!(exact("entropy_policy") > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_does_not_fit_is_refused_before_the_run() {
    use super::{options, run};
    use tokio_util::sync::CancellationToken;
    use tributary_common::registry::Registry;

    let folder = tempfile::tempdir().unwrap();
    let sets = ["evaluation.test_set=words.tsv", "evaluation.mode_distance=2"];
    let options = options(folder.path(), GRID, &sets);
    let make = |_: &crate::prepare::Prepared| unreachable!("nothing may be started");
    let ended = run(&options, &Registry::builtin(), make, CancellationToken::new()).await;
    let message = ended.unwrap_err().to_string();
    for expected in ["`evaluation.test_set` = ", "line 2", "`evaluation.mode_distance` needs modes"]
    {
        assert!(message.contains(expected), "{expected} is not in {message}");
    }
    assert!(!folder.path().join("run").exists());
}
