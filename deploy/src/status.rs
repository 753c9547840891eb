//! `tributary status`: a running learner on one page.

use clap::Args;
use tributary_proto::v1::{
    ActorRow, ActorState, Books, Goals, LedgerState, RunState, SettingYield, StatusReply,
};

use crate::control::{self, Control};
use crate::credentials::LearnerOptions;
use crate::display::{Table, clock, count, grouped, short, shown};
use crate::error::CommandError;
use crate::output;

/// Shows what a running learner is doing: figures, actors, books
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    learner: LearnerOptions,
}

/// The share of the median actor's rate below which one is a straggler.
const STRAGGLING: f64 = 0.1;

/// Asks and prints.
pub(crate) fn run(options: &Options) -> Result<(), CommandError> {
    let target = options.learner.target()?;
    let status = control::block_on(async { Control::connect(&target).await?.status().await })?;
    output::print(&page(&status))
}

/// The page.
pub(crate) fn page(status: &StatusReply) -> String {
    let mut table = Table::default();
    table.section("stalled");
    for stall in &status.stalls {
        let text = format!("for {}: {}", clock(stall.seconds), stall.reason);
        table.row(&stall.edge.replace('.', " for "), text);
    }
    table.section("training");
    figures(&mut table, status);
    let tells = |row: &SettingYield| row.good_objects.is_some() || !row.kinds.is_empty();
    if status.yields.len() > 1 || status.yields.iter().any(tells) {
        table.section("exploration settings");
        for row in &status.yields {
            let name = format!("{} {}", row.setting, row.description);
            table.row(&name, found(row.generated, row.objects, row.good_objects));
            for kind in &row.kinds {
                let name = format!("    {}", kind.kind.replace('_', " "));
                table.row(&name, found(kind.generated, kind.objects, kind.good_objects));
            }
        }
    }
    table.section("evaluation");
    evaluation(&mut table, status);
    table.section("books");
    if let Some(books) = &status.books {
        self::books(&mut table, books);
    }
    if let Some(state) = &status.ledger {
        table.section("ledger");
        ledger(&mut table, state);
    }
    table.section("seconds waited");
    for (edge, seconds) in &status.waited_seconds {
        table.row(&edge.replace('.', " for "), short(*seconds));
    }
    table.section("actors");
    let slow = straggling(&status.actors);
    for actor in &status.actors {
        let mark = if slow.contains(&actor.id) { ", a straggler" } else { "" };
        let text = format!("{}{mark}", self::actor(actor));
        table.row(&format!("{} {}", actor.id, actor.name), text);
    }
    let state = match status.state() {
        RunState::Unspecified => "in an unknown state",
        RunState::Recovering => "recovering",
        RunState::Running => "running",
        RunState::Degraded => "degraded: not acking",
        RunState::Stopping => "stopping",
    };
    format!(
        "{}: {state}, {} of training ({}, incarnation {})\n{}",
        shown(&status.run_name),
        clock(status.seconds),
        shown(&status.software),
        status.incarnation,
        table.text()
    )
}

fn figures(table: &mut Table, status: &StatusReply) {
    let counters = status.counters.unwrap_or_default();
    let goals = status.goals.unwrap_or_default();
    let Goals { generated, paid, updates, seconds } = goals;
    let of = |done: u64, goal: Option<u64>| match goal {
        Some(goal) => format!("{} of {}", grouped(done), grouped(goal)),
        None => grouped(done),
    };
    table.row("trajectories", of(counters.generated, generated));
    table.row("objects paid for", of(counters.paid, paid));
    table.row("updates", of(counters.updates, updates));
    table.row("samples trained on", grouped(counters.samples));
    if let Some(seconds) = seconds {
        table.row("time", format!("{} of {}", clock(status.seconds), clock(seconds)));
    }
    table.row("trajectories/s", short(status.trajectories_per_second));
    if let Some(loss) = status.loss {
        table.row("loss", short(loss));
    }
    if let Some(log_z) = status.log_z {
        table.row("log Z", format!("{log_z:.4}"));
    }
    if let Some(exact) = &status.exact {
        let at = count(exact.generated, "trajectory").replace("ys", "ies");
        table.row("total variation", format!("{:.4} (after {at})", exact.total_variation));
        table.row("log Z of the target", format!("{:.4}", exact.log_z_target));
    }
    let lag = format!("{} updates on average, {} at most", short(status.lag_mean), status.lag_max);
    table.row("lag", lag);
    for warning in &status.warnings {
        table.row("warning", warning);
    }
}

fn evaluation(table: &mut Table, status: &StatusReply) {
    let figure = |name: &str| status.evaluation.get(name).copied();
    if let Some(spearman) = figure("test_set.spearman") {
        let ends = figure("test_set.spearman_low").zip(figure("test_set.spearman_high"));
        let ends = ends.map(|(low, high)| format!(" ({low:.4} to {high:.4})"));
        table.row("Spearman, test set", format!("{spearman:.4}{}", ends.unwrap_or_default()));
    }
    if let (Some(found), Some(known)) = (figure("modes.found"), figure("modes.known")) {
        table.row("modes found", format!("{found} of {known}"));
    }
    if let (Some(best), Some(count)) = (figure("top_k.mean_log_reward"), figure("top_k.count")) {
        let diversity = figure("top_k.diversity").map(|far| format!(", {} apart", short(far)));
        let text = format!("log R {}{} on average", short(best), diversity.unwrap_or_default());
        table.row(&format!("best {count} objects"), text);
    }
    if let Some(elbo) = figure("samples.elbo") {
        table.row("ELBO", format!("{elbo:.4}"));
    }
    if let (Some(far), Some(floor)) =
        (figure("recent.total_variation"), figure("recent.noise_floor"))
    {
        let text = format!("{far:.4}, perfect samples {floor:.4}");
        table.row("total variation, recent objects", text);
    }
    let share = figure("evaluation.share").unwrap_or_default();
    if let Some(seconds) = figure("evaluation.seconds") {
        table.row("cost", format!("{} s, {:.1} % of the time", short(seconds), 100.0 * share));
    }
}

fn found(generated: u64, objects: u64, good_objects: Option<u64>) -> String {
    let (generated, objects) = (grouped(generated), grouped(objects));
    let good = good_objects.map(|good| format!(", {} good", grouped(good)));
    format!("{generated} trajectories, {objects} objects found first{}", good.unwrap_or_default())
}

fn books(table: &mut Table, books: &Books) {
    let rejected: u64 = books.rejected.values().sum();
    table.row("received", grouped(books.received));
    table.row("= accepted", grouped(books.accepted));
    table.row("+ duplicate", grouped(books.duplicate));
    table.row("+ rejected", grouped(rejected));
    for (reason, number) in &books.rejected {
        table.row(&format!("    {}", reason.replace('_', " ")), grouped(*number));
    }
    table.row("+ pending", grouped(books.pending));
    table.row("accepted", grouped(books.accepted));
    table.row("= resident", grouped(books.resident));
    table.row("+ evicted", grouped(books.evicted));
    table.row("+ merged", grouped(books.merged));
    table.row("+ lost in restart", grouped(books.lost_in_restart));
    table.row("+ waiting", grouped(books.waiting));
}

/// Connected actors that bring less than a tenth of what the median one brings in the same time.
fn straggling(actors: &[ActorRow]) -> Vec<u64> {
    let is_here = |actor: &&ActorRow| {
        !matches!(actor.state(), ActorState::Lost | ActorState::Gone | ActorState::Connecting)
    };
    let mut rates: Vec<f64> =
        actors.iter().filter(is_here).map(|actor| actor.trajectories_per_second).collect();
    rates.sort_by(f64::total_cmp);
    let Some(median) = rates.get(rates.len() / 2) else { return Vec::new() };
    let is_slow = |actor: &&ActorRow| actor.trajectories_per_second < STRAGGLING * median;
    actors.iter().filter(is_here).filter(is_slow).map(|actor| actor.id).collect()
}

fn ledger(table: &mut Table, state: &LedgerState) {
    let mode = if state.durable {
        "durable: acked means on disk"
    } else {
        "not durable: acked means in the learner's memory"
    };
    table.row("mode", mode);
    table.row("journal", &state.journal);
    table.row("commits", grouped(state.commits));
    if state.failures > 0 {
        table.row("tries that failed", grouped(state.failures));
    }
    if let Some(trouble) = &state.trouble {
        table.row("not written now", trouble);
    }
}

fn actor(actor: &ActorRow) -> String {
    let state = actor.state().as_str_name();
    let state = state.trim_start_matches("ACTOR_STATE_").to_lowercase();
    let version = actor.policy.unwrap_or_default().step;
    let failures = actor.reward_failures.iter().map(|(kind, count)| format!("{count} {kind}"));
    let failures: Vec<String> = failures.collect();
    let failures = match failures.is_empty() {
        true => String::new(),
        false => format!("; failed requests for rewards: {}", failures.join(", ")),
    };
    let trouble = match actor.reward_trouble.as_str() {
        "" => String::new(),
        trouble => format!("; NO REWARDS: {trouble}"),
    };
    format!(
        "{state}, {}/s, {} accepted, {} unacked, weights of update {}, on {} (process {}){failures}{trouble}",
        short(actor.trajectories_per_second),
        grouped(actor.accepted),
        grouped(actor.unacked),
        grouped(version),
        actor.host,
        actor.process,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_proto::v1::Stall;

    fn row(id: u64, state: ActorState, trajectories_per_second: f64) -> ActorRow {
        ActorRow { id, state: state.into(), trajectories_per_second, ..ActorRow::default() }
    }

    #[test]
    fn stalls_and_stragglers_are_on_the_page() {
        let stall = Stall {
            edge: "trainer.data".to_owned(),
            seconds: 95.0,
            reason: "no actor has come yet".to_owned(),
            blocking: true,
        };
        let streaming = ActorState::Streaming;
        let actors =
            vec![row(1, streaming, 40.0), row(2, streaming, 0.4), row(3, ActorState::Lost, 0.0)];
        assert_eq!(straggling(&actors), [2]);
        assert_eq!(straggling(&[]), [0; 0]);
        let page = page(&StatusReply { stalls: vec![stall], actors, ..StatusReply::default() });
        let stalled = page.lines().find(|line| line.contains("trainer for data"));
        assert!(
            stalled.is_some_and(|line| line.ends_with("1:35: no actor has come yet")),
            "{page}"
        );
        let lines: Vec<&str> = page.lines().filter(|line| line.contains("a straggler")).collect();
        assert_eq!(lines.len(), 1, "{page}");
        assert!(lines[0].trim().starts_with('2'), "{page}");
    }

    #[test]
    fn a_reward_that_does_not_work_is_on_the_page() {
        let mut row = row(1, ActorState::Streaming, 0.0);
        assert!(!actor(&row).contains("rewards"));
        row.reward_failures = [("crash".to_owned(), 6), ("time-out".to_owned(), 1)].into();
        row.reward_trouble = "the reward's command does not work: crash".to_owned();
        let expected = "; failed requests for rewards: 6 crash, 1 time-out; NO REWARDS: the reward's \
                        command does not work: crash";
        assert!(actor(&row).ends_with(expected), "{}", actor(&row));
    }
}
