//! The figures as people read them.

use tributary_common::estimate::{SampleFigures, TargetSampleFigures, TestSetFigures};
use tributary_common::exact::Comparison;

use super::flow::Flow;
use super::{LogP, Report};
use crate::display::{Table, grouped, short};

pub(super) fn page(report: &Report) -> String {
    let mut table = Table::default();
    let sizes = report.comparison.map(|comparison| {
        let Comparison { states, objects, .. } = comparison;
        format!(": {} states, {} objects", grouped(states), grouped(objects))
    });
    table.section(&format!(
        "{} weights of update {}, after {} trajectories{}",
        report.weights,
        grouped(report.step),
        grouped(report.generated),
        sizes.unwrap_or_default()
    ));
    let exact = report.comparison.map(|exact| format!(", {:.4} exact", exact.log_z_target));
    table.row("log Z", format!("{:.4} learned{}", report.log_z, exact.unwrap_or_default()));
    if let Some(exact) = &report.comparison {
        comparison(&mut table, exact);
    }
    if let Some(figures) = &report.test_set {
        test_set(&mut table, figures);
    }
    if let Some(figures) = &report.samples {
        samples(&mut table, figures, report.log_z);
    }
    if let Some(figures) = &report.target_samples {
        target_samples(&mut table, figures);
    }
    flows(&mut table, &report.flows);
    log_p(&mut table, &report.log_p);
    table.text().trim_start().to_owned()
}

fn comparison(table: &mut Table, comparison: &Comparison) {
    let optional = |value: Option<f64>, none: &str| value.map_or(none.to_owned(), short);
    table.section("distance to the target, exact");
    table.row("total variation", format!("{:.4}", comparison.total_variation));
    let mean = short(comparison.l1_mean);
    table.row("L1", format!("{:.4}, a mean of {mean} per object", comparison.l1));
    table.row("Jensen-Shannon", short(comparison.jensen_shannon));
    table.row("KL(target, policy)", optional(comparison.kl_target_policy, "infinite"));
    table.row("KL(policy, target)", optional(comparison.kl_policy_target, "infinite"));
    table.row("Pearson (log p, log R)", optional(comparison.pearson, "undefined"));
    table.row("Spearman", optional(comparison.spearman, "undefined"));
    let target = comparison.entropy_target;
    table.row("entropy", format!("{:.4}, {target:.4} of the target", comparison.entropy_policy));
}

fn test_set(table: &mut Table, figures: &TestSetFigures) {
    let exact = match figures.exact_objects {
        exact if exact == figures.objects => "log p exact".to_owned(),
        0 => "log p estimated from paths".to_owned(),
        exact => format!("log p exact for {}, else estimated from paths", grouped(exact)),
    };
    table.section(&format!("test set of {} objects, {exact}", grouped(figures.objects)));
    let within = |value: Option<f64>, low: Option<f64>, high: Option<f64>| {
        let Some(value) = value else { return "undefined".to_owned() };
        let interval = low.zip(high).map(|(low, high)| format!(" ({low:.4} to {high:.4})"));
        format!("{value:.4}{}", interval.unwrap_or_default())
    };
    let TestSetFigures { spearman_low, spearman_high, pearson_low, pearson_high, .. } = *figures;
    let spearman = within(figures.spearman, spearman_low, spearman_high);
    table.row("Spearman (log p, log R)", spearman);
    table.row("Pearson (log p, log R)", within(figures.pearson, pearson_low, pearson_high));
    let mean = within(figures.mean_log_p, figures.mean_log_p_low, figures.mean_log_p_high);
    table.row("mean log p", mean);
}

fn samples(table: &mut Table, figures: &SampleFigures, log_z: f64) {
    let heading = format!("{} samples of the policy", grouped(figures.count));
    table.section(&heading);
    table.row("ELBO, at most log Z", with_error(figures.elbo, figures.elbo_error));
    let effective = figures.effective_log_z.map_or("undefined".to_owned(), |z| format!("{z:.4}"));
    table.row("effective log Z (low on average)", effective);
    if figures.entropy.is_some() {
        let entropy = with_error(figures.entropy, figures.entropy_error);
        table.row("entropy, -E[log p]", entropy);
    }
    if let Some(mean) = figures.mean_log_reward {
        table.row("mean log R", format!("{mean:.4}"));
        let entropy = format!("{:.4}, its entropy once it has converged", log_z - mean);
        table.row("log Z - mean log R", entropy);
    }
}

fn target_samples(table: &mut Table, figures: &TargetSampleFigures) {
    table.section(&format!("{} samples of the target", grouped(figures.count)));
    table.row("EUBO, at least log Z", with_error(figures.eubo, figures.eubo_error));
}

fn flows(table: &mut Table, flows: &[Flow]) {
    if flows.is_empty() {
        return;
    }
    let is_tree = flows.iter().all(|flow| flow.is_partition_function);
    let meaning = if is_tree {
        "the sum of R over all that grows out of a state"
    } else {
        "with the policy's P_B"
    };
    table.section(&format!("log F, {meaning}"));
    for Flow { state, log_flow_target, log_flow_policy, .. } in flows {
        let text = format!("{log_flow_target:.4} of the target, {log_flow_policy:.4} learned");
        table.row(if state.is_empty() { "(nothing)" } else { state }, text);
    }
}

fn log_p(table: &mut Table, objects: &[LogP]) {
    if objects.is_empty() {
        return;
    }
    table.section("log p");
    for LogP { object, estimate, low, high, exact } in objects {
        let interval = low.zip(*high).map(|(low, high)| format!(" ({low:.4} to {high:.4})"));
        let exact = exact.map(|exact| format!(", {exact:.4} exact"));
        let (interval, exact) = (interval.unwrap_or_default(), exact.unwrap_or_default());
        table.row(object, format!("{estimate:.4}{interval} from paths{exact}"));
    }
}

fn with_error(value: Option<f64>, error: Option<f64>) -> String {
    let Some(value) = value else { return "undefined: an object has R = 0".to_owned() };
    let error = error.map(|error| format!(" +- {error:.4}"));
    format!("{value:.4}{}", error.unwrap_or_default())
}
