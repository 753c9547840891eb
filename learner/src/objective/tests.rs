#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod exact_solution;
mod parts;
mod vectors;

use tributary_common::network::Ragged;
use tributary_common::random::{Purpose, Stream};
use tributary_common::run_file::{RunFile, Weighting};

use super::*;

/// `[objective]` with these keys, given as TOML.
fn configured(keys: &[(&str, &str)]) -> run_file::Objective {
    let smallest = "[environment]\nkind = 'x'\n[reward]\nkind = 'x'\n[learner]\nupdates = 1";
    let of_section = |&(key, value): &(&str, &str)| (format!("objective.{key}"), value.to_owned());
    let overrides: Vec<_> = keys.iter().map(of_section).collect();
    RunFile::parse(smallest, &overrides).unwrap().objective
}

/// Every objective with every weighting, and two λ of the geometric ones.
fn every_objective() -> Vec<run_file::Objective> {
    let mut all = Vec::new();
    let parts = ("kind", "sub_trajectory_balance");
    for lambda in ["0.9", "1.9"] {
        for weighting in ["geometric_within", "geometric"] {
            all.push(configured(&[parts, ("weighting", weighting), ("lambda", lambda)]));
        }
    }
    for weighting in ["equal_within", "equal", "TB", "DB", "ModifiedDB"] {
        all.push(configured(&[parts, ("weighting", weighting)]));
    }
    let others = [
        "trajectory_balance",
        "detailed_balance",
        "modified_detailed_balance",
        "log_partition_variance",
        "flow_matching",
    ];
    all.extend(others.map(|kind| configured(&[("kind", kind)])));
    all.push(configured(&[parts, ("forward_looking", "true")]));
    all.push(configured(&[("kind", "detailed_balance"), ("forward_looking", "true")]));
    all.push(configured(&[("kind", "flow_matching"), ("alpha", "0.3")]));
    all
}

/// Five trajectories of 1 to 6 transitions with all terms.
fn random_terms(seed: u64) -> Terms {
    let mut stream = Stream::new(seed, Purpose::Walk, 0, 0);
    let mut terms = Terms { offsets: vec![0], ..Terms::default() };
    for _ in 0..5 {
        for _ in 0..1 + stream.below(6) {
            terms.log_pf.push(-3.0 * stream.uniform());
            terms.log_pb.push(-3.0 * stream.uniform());
            terms.log_flow.push(4.0 * stream.uniform() - 2.0);
            terms.log_stop.push(-3.0 * stream.uniform());
            terms.state_log_reward.push(6.0 * stream.uniform() - 3.0);
        }
        terms.offsets.push(terms.log_pf.len() as u32);
        terms.log_reward.push(6.0 * stream.uniform() - 3.0);
    }
    terms.log_z = stream.uniform();
    terms.edges = random_edges(&terms, &mut stream);
    terms
}

/// A state for each transition, some of them met twice, and three more that are only parents; every
/// visited state but the initial one has one to three edges into it, from anywhere.
fn random_edges(terms: &Terms, stream: &mut Stream) -> EdgeFlows {
    let mut edges = EdgeFlows { outgoing: vec![0], ..EdgeFlows::default() };
    let mut visited = 1;
    for (transitions, _) in terms.trajectories() {
        edges.states.push(0);
        for _ in transitions.skip(1) {
            let is_new = visited == 1 || stream.uniform() < 0.7;
            edges.states.push(if is_new { visited } else { 1 + stream.below(visited - 1) } as u32);
            visited += usize::from(is_new);
        }
    }
    for _ in 0..visited + 3 {
        (0..1 + stream.below(3)).for_each(|_| edges.log_flow.push(4.0 * stream.uniform() - 2.0));
        edges.outgoing.push(edges.log_flow.len());
        edges.can_stop.push(stream.uniform() < 0.8);
    }
    edges.incoming.push_with(|_| {});
    for _ in 1..visited {
        let count = 1 + stream.below(3);
        let edge = |_| stream.below(edges.log_flow.len()) as u32;
        let into: Vec<u32> = (0..count).map(edge).collect();
        edges.incoming.push_with(|row| row.extend(into));
    }
    edges
}

/// The same terms with targets.
fn with_targets(mut terms: Terms, seed: u64) -> Terms {
    let mut stream = Stream::new(seed, Purpose::Walk, 1, 0);
    let mut near = |values: &[f64]| -> Vec<f64> {
        values.iter().map(|value| value + stream.uniform() - 0.5).collect()
    };
    terms.target_log_flow = near(&terms.log_flow);
    terms.target_log_stop = near(&terms.log_stop);
    terms.edges.target = near(&terms.edges.log_flow);
    terms
}

#[track_caller]
fn assert_close(ours: f64, theirs: f64, tolerance: f64, context: &dyn std::fmt::Debug) {
    let scale = theirs.abs().max(1e-300);
    assert!((ours - theirs).abs() <= tolerance * scale, "{context:?}: {ours} is not {theirs}");
}

fn check_gradients(wanted: &run_file::Objective, terms: &Terms, seed: u64) {
    let objective = objective(wanted);
    let mut gradients = Gradients::default();
    objective.loss(terms, &mut gradients);
    type Field = fn(&mut Terms) -> &mut [f64];
    let mut fields: Vec<(Field, &[f64])> = vec![
        (|t| &mut t.log_pf, &gradients.log_pf),
        (|t| &mut t.log_pb, &gradients.log_pb),
        (|t| &mut t.log_flow, &gradients.log_flow),
        (|t| &mut t.log_stop, &gradients.log_stop),
        (|t| &mut t.edges.log_flow, &gradients.edges),
    ];
    // The others have no log Z in their loss.
    if !matches!(
        wanted.kind,
        ObjectiveKind::LogPartitionVariance
            | ObjectiveKind::ModifiedDetailedBalance
            | ObjectiveKind::FlowMatching
    ) {
        fields
            .push((|t| std::slice::from_mut(&mut t.log_z), std::slice::from_ref(&gradients.log_z)));
    }
    for (which, (field, gradient)) in fields.into_iter().enumerate() {
        for (i, &expected) in gradient.iter().enumerate() {
            let loss_at = |shift: f64| {
                let mut shifted = terms.clone();
                field(&mut shifted)[i] += shift;
                objective.loss(&shifted, &mut Gradients::default())
            };
            let difference = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5;
            assert!(
                (difference - expected).abs() < 1e-7 * expected.abs().max(1.0),
                "{wanted:?}, seed {seed}, field {which}, {i}: {difference} is not {expected}"
            );
        }
    }
}

#[test]
fn gradients_are_the_finite_differences_of_the_loss() {
    let residuals =
        [run_file::Residual::Squared, run_file::Residual::Huber, run_file::Residual::LogCosh];
    for wanted in every_objective() {
        for residual in residuals {
            let wanted = run_file::Objective { residual, ..wanted.clone() };
            for seed in 0..10 {
                let terms = random_terms(seed);
                check_gradients(&wanted, &terms, seed);
                if wanted.bootstraps() {
                    check_gradients(&wanted, &with_targets(terms, seed), seed);
                }
            }
        }
    }
}

#[test]
fn a_gradient_that_is_not_reset_does_not_leak_into_the_next() {
    for wanted in every_objective() {
        let objective = objective(&wanted);
        let (mut fresh, mut used) = (Gradients::default(), Gradients::default());
        objective.loss(&random_terms(3), &mut used);
        let again = objective.loss(&random_terms(4), &mut used);
        assert_eq!(objective.loss(&random_terms(4), &mut fresh), again);
        assert_eq!(fresh, used, "{wanted:?}");
    }
}

#[test]
fn a_target_that_is_equal_changes_no_loss_and_takes_its_gradient_away() {
    for wanted in every_objective().into_iter().filter(run_file::Objective::bootstraps) {
        let objective = objective(&wanted);
        let (mut own, mut semi) = (Gradients::default(), Gradients::default());
        let mut terms = random_terms(6);
        let loss = objective.loss(&terms, &mut own);
        terms.target_log_flow.clone_from(&terms.log_flow);
        terms.target_log_stop.clone_from(&terms.log_stop);
        terms.edges.target.clone_from(&terms.edges.log_flow);
        assert_close(objective.loss(&terms, &mut semi), loss, 1e-12, &wanted);
        assert_eq!((&own.log_pb, own.log_z), (&semi.log_pb, semi.log_z), "{wanted:?}");
        let learned = |gradients: &Gradients| match wanted.kind {
            ObjectiveKind::FlowMatching => gradients.edges.clone(),
            ObjectiveKind::ModifiedDetailedBalance => gradients.log_stop.clone(),
            _ => gradients.log_flow.clone(),
        };
        assert_ne!(learned(&own), learned(&semi), "{wanted:?}");
    }
}

#[test]
fn objectives_without_log_z_track_what_it_is() {
    for kind in ["log_partition_variance", "modified_detailed_balance", "flow_matching"] {
        let objective = objective(&configured(&[("kind", kind)]));
        let mut terms = random_terms(7);
        let mut gradients = Gradients::default();
        let loss = objective.loss(&terms, &mut gradients);
        // Halfway down the parabola is its bottom.
        terms.log_z -= gradients.log_z / 2.0;
        assert_eq!(objective.loss(&terms, &mut gradients), loss);
        assert!(gradients.log_z.abs() < 1e-13, "{kind}: {}", gradients.log_z);
    }
}

#[test]
fn huber_and_log_cosh_are_squares_near_zero_and_lines_far_away() {
    let huber = ResidualLoss::Huber(2.0);
    assert_eq!(huber.at(1.5), (2.25, 3.0));
    assert_eq!(huber.at(-2.0), (4.0, -4.0));
    assert_eq!(huber.at(-5.0), (16.0, -4.0));
    assert_eq!(huber.at(5.0), (16.0, 4.0));
    let (value, slope) = ResidualLoss::LogCosh.at(1.0);
    assert_close(value, 2.0 * 1f64.cosh().ln(), 1e-14, &"log cosh 1");
    assert_close(slope, 2.0 * 1f64.tanh(), 1e-14, &"tanh 1");
    let (value, slope) = ResidualLoss::LogCosh.at(-1000.0);
    assert_close(value, 2.0 * (1000.0 - 2f64.ln()), 1e-14, &"log cosh 1000");
    assert_eq!(slope, -2.0);
    for loss in [ResidualLoss::Squared, huber, ResidualLoss::LogCosh] {
        assert_close(loss.at(1e-3).0, 1e-6, 1e-6, &loss);
        assert_close(loss.at(1e-3).1, 2e-3, 1e-6, &loss);
    }
}

/// The example of each page in docs/objectives: from s0 stop (x0, R = 1) or go to s1 and stop there
/// (x1, R = 3), with all logits 0: P_F = 1/2 in s0, the exit of s1 forced; log Z = log F(s1) = 0.
#[test]
fn the_examples_of_the_pages() {
    let half = 0.5f64.ln();
    let terms = Terms {
        offsets: vec![0, 1, 3],
        log_pf: vec![half, half, 0.0],
        log_pb: vec![0.0; 3],
        log_flow: vec![0.0; 3],
        log_stop: vec![half, half, 0.0],
        log_reward: vec![0.0, 3f64.ln()],
        state_log_reward: vec![0.0, 0.0, 3f64.ln()],
        edges: EdgeFlows {
            log_flow: vec![0.0; 3],
            outgoing: vec![0, 2, 3],
            can_stop: vec![true, true],
            incoming: Ragged { values: vec![0], offsets: vec![0, 0, 1] },
            states: vec![0, 0, 1],
            ..EdgeFlows::default()
        },
        ..Terms::default()
    };
    let parts = ("kind", "sub_trajectory_balance");
    let examples: [(&[(&str, &str)], f64); 8] = [
        (&[("kind", "trajectory_balance")], 1.845428),
        (&[("kind", "detailed_balance")], 0.722618),
        (&[("kind", "modified_detailed_balance")], 1.206949),
        (&[("kind", "log_partition_variance")], 0.301737),
        (&[("kind", "flow_matching")], 1.206949),
        (&[parts], 1.029324),
        (&[parts, ("weighting", "TB")], 1.845428),
        (&[("kind", "trajectory_balance"), ("residual", "huber")], 1.531986),
    ];
    for (keys, expected) in examples {
        let loss = objective(&configured(keys)).loss(&terms, &mut Gradients::default());
        assert!((loss - expected).abs() < 5e-7, "{keys:?}: {loss} is not {expected}");
    }
}
