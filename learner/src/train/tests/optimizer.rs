//! Schedules, clipping, weight decay and the start of log Z, as a whole trainer does them.

use super::*;

const EVERYTHING: [(&str, &str); 7] = [
    ("learner.optimizer", "adamw"),
    ("learner.weight_decay", "0.1"),
    ("learner.clip_norm", "0.5"),
    ("learner.warm_up", "2"),
    ("learner.schedule", "cosine"),
    ("learner.decay_over", "3"),
    ("learner.log_z_initial", "estimate"),
];

#[test]
fn a_restored_trainer_goes_on_in_the_middle_of_its_schedule() {
    let (run_file, task) = run(&EVERYTHING);
    let batches = batches(&task);
    let mut first = trainer(&run_file, &task);
    let mut rates = Vec::new();
    for step in 0..6 {
        let mut second = trainer(&run_file, &task);
        second.restore(&first.state().unwrap()).unwrap();
        let batch = &batches[step % batches.len()];
        let report = first.update(batch).unwrap();
        assert_eq!(second.update(batch).unwrap(), report);
        assert_eq!(second.state().unwrap(), first.state().unwrap());
        rates.push(report.learning_rate / 0.003);
    }
    for (rate, expected) in rates.iter().zip([0.5, 1.0, 1.0, 0.75, 0.25, 0.0]) {
        assert!((rate - expected).abs() < 1e-12, "{rates:?}");
    }
}

#[test]
fn a_schedule_that_has_ended_leaves_everything_where_it_is() {
    let ended = [("learner.schedule", "linear"), ("learner.decay_over", "1")];
    let (run_file, task) = run(&[&ended[..], &[("learner.optimizer", "adamw")]].concat());
    let batches = batches(&task);
    let mut trainer = trainer(&run_file, &task);
    trainer.update(&batches[0]).unwrap();
    let before = trainer.state().unwrap();
    trainer.update(&batches[1]).unwrap();
    let after = trainer.state().unwrap();
    assert_eq!((after.weights, after.log_z), (before.weights, before.log_z));
    assert_ne!(after.moments, before.moments);
}

#[test]
fn clipping_shortens_the_gradient_of_the_weights_and_no_other() {
    let (run_file, task) = run(&[]);
    let samples = &batches(&task)[0];
    let mut plain = trainer(&run_file, &task);
    let expected = plain.update(samples).unwrap();
    let (run_file, task) = run(&[("learner.clip_norm", "0.5")]);
    let mut clipped = trainer(&run_file, &task);
    let report = clipped.update(samples).unwrap();
    assert!(expected.gradient_norm > 0.5, "nothing to clip: {}", expected.gradient_norm);
    assert_eq!(report.gradient_norm, expected.gradient_norm, "that before clipping");
    let (plain, clipped) = (plain.state().unwrap(), clipped.state().unwrap());
    assert_eq!(clipped.log_z_moments, plain.log_z_moments);
    // The first mean is a tenth of the gradient.
    let norm = clipped.moments.mean.iter().map(|m| f64::from(*m).powi(2)).sum::<f64>().sqrt();
    assert!((10.0 * norm - 0.5).abs() < 1e-4, "{norm}");
    let ratio = 0.5 / expected.gradient_norm;
    for (ours, theirs) in clipped.moments.mean.iter().zip(&plain.moments.mean) {
        assert!((f64::from(*ours) - ratio * f64::from(*theirs)).abs() < 1e-6, "{ours}, {theirs}");
    }
}

#[test]
fn log_z_starts_where_it_balances_the_first_batch_best() {
    let (run_file, task) = run(&[("learner.log_z_initial", "0")]);
    let batches = batches(&task);
    let from_zero = trainer(&run_file, &task).update(&batches[0]).unwrap();
    let (run_file, task) = run(&[("learner.log_z_initial", "estimate")]);
    let mut estimating = trainer(&run_file, &task);
    let mut bad = batches[1].clone();
    bad.log_rewards[3] = f64::NAN;
    assert!(estimating.update(&bad).is_err());
    assert_eq!(estimating.log_z(), 0.0, "a batch without an update tells nothing");
    // The mean of (log Z + s)² is least at log Z = -mean s, by (mean s)² less than at 0; there its
    // slope is 0, so that the update leaves log Z where it is.
    let report = estimating.update(&batches[0]).unwrap();
    assert!(report.log_z.abs() > 0.1, "{}", report.log_z);
    let saved = from_zero.loss - report.loss;
    assert!((saved - report.log_z.powi(2)).abs() < 1e-5, "{saved}, {}", report.log_z);
    // From then on it is learned.
    let next = estimating.update(&batches[1]).unwrap();
    assert!((next.log_z - report.log_z).abs() < 1.1 * run_file.learner.log_z_learning_rate);
}

#[test]
fn a_small_hypergrid_is_learned_with_every_setting_of_the_optimizer() {
    let changes = [&EVERYTHING[..5], &EVERYTHING[6..], &[("learner.weight_decay", "0.001")]];
    let (run_file, task) = run(&changes.concat());
    assert_eq!(run_file.learner.optimizer.decay_over, Some(998), "the rest of the updates");
    let (total_variation, log_z) = converge(&run_file, &task);
    println!("total variation {total_variation}, log Z off by {log_z}");
    assert!(total_variation < 0.05, "total variation {total_variation}");
    assert!(log_z.abs() < 0.1, "log Z is off by {log_z}");
}
