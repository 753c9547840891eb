//! Every P_B leads to the target, and the pessimistic one learns from the trajectories alone.

use tributary_common::run_file::ObjectiveKind;

use super::*;

#[test]
fn a_small_hypergrid_is_learned_with_fixed_and_fitted_backward_policies() {
    for backward in ["maxent", "pessimistic"] {
        let (run_file, task) = run(&[("policy.backward", backward)]);
        let (total_variation, log_z) = converge(&run_file, &task);
        println!("{backward}: total variation {total_variation}, log Z off by {log_z}");
        assert!(total_variation < 0.05, "{backward}: total variation {total_variation}");
        assert!(log_z.abs() < 0.1, "{backward}: log Z is off by {log_z}");
    }
}

/// Words of four letters, built at both ends: several edges join the same two states, and n letters
/// have 2^n paths.
const WORDS: &str = r#"
[environment]
kind = "sequence"
construction = "prepend_append"
alphabet = "AC"
length = 4
[reward]
kind = "table"
file = "words.tsv"
[policy]
hidden = [32]
[learner]
updates = 1000
batch = 16
learning_rate = 0.01
ema = 0.99
device = "cpu"
"#;

#[test]
fn a_multigraph_is_learned_with_every_backward_policy() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let letter = |i: u32| if i & 1 == 0 { 'A' } else { 'C' };
    let word = |i: u32| -> String { (0..4).map(|at| letter(i >> at)).collect() };
    let line = |i: u32| format!("{}\t{}\n", word(i), 1 + i * i % 7);
    let table: String = (0..16).map(line).collect();
    std::fs::write(folder.path().join("words.tsv"), format!("word\tvalue\n{table}")).unwrap();
    for backward in ["learned", "uniform", "maxent", "pessimistic"] {
        let changes = [("policy.backward".to_owned(), backward.to_owned())];
        let (run_file, task) = Registry::builtin().read(WORDS, &changes, folder.path()).unwrap();
        let (total_variation, log_z) = converge(&run_file, &task);
        println!("{backward}: total variation {total_variation}, log Z off by {log_z}");
        assert!(total_variation < 0.05, "{backward}: total variation {total_variation}");
        assert!(log_z.abs() < 0.1, "{backward}: log Z is off by {log_z}");
    }
}

/// The parameters of a linear policy's backward logits after one update on these samples.
fn backward_parameters(changes: &[(&str, &str)], samples: &Samples) -> Vec<f32> {
    let (run_file, task) = run(&[changes, &[("policy.hidden", "[]")]].concat());
    let mut trainer = trainer(&run_file, &task);
    trainer.update(samples).unwrap();
    let heads = trainer.network().heads;
    let columns = heads.backward_column()..heads.backward_column() + heads.backward;
    let weights = trainer.state().unwrap().weights;
    // The table of the inputs' rows, then the bias: rows of the heads' width.
    assert_eq!(weights.len() % heads.width(), 0);
    let rows = weights.chunks_exact(heads.width());
    rows.flat_map(|row| row[columns.clone()].to_vec()).collect()
}

#[test]
fn no_objective_reaches_the_pessimistic_backward_policy() {
    let (_, task) = run(&[]);
    let samples = batches(&task).remove(0);
    let mut others = samples.clone();
    others.log_rewards.iter_mut().zip(0..).for_each(|(log_reward, i)| *log_reward += f64::from(i));
    for kind in [
        ObjectiveKind::TrajectoryBalance,
        ObjectiveKind::SubTrajectoryBalance,
        ObjectiveKind::DetailedBalance,
        ObjectiveKind::ModifiedDetailedBalance,
        ObjectiveKind::LogPartitionVariance,
    ] {
        let after = |backward, samples| {
            let changes = [("policy.backward", backward), ("objective.kind", kind.name())];
            backward_parameters(&changes, samples)
        };
        let fitted = after("pessimistic", &samples);
        assert!(!fitted.is_empty() && fitted == after("pessimistic", &others), "{kind:?}");
        // The others' residuals with log P_B in them are not those with this log R.
        if matches!(
            kind,
            ObjectiveKind::TrajectoryBalance
                | ObjectiveKind::SubTrajectoryBalance
                | ObjectiveKind::LogPartitionVariance
        ) {
            assert_ne!(after("learned", &samples), after("learned", &others), "{kind:?}");
        }
    }
}
