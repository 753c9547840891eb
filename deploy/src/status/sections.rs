//! The sections of a status, each as it stands on every page that shows it.

use tributary_proto::v1::{ActorRow, ActorState, Goals, SettingYield, StatusReply};

use crate::display::{Table, clock, count, grouped, short, shown};

/// The share of the median actor's rate below which one is a straggler.
const STRAGGLING: f64 = 0.1;

/// Hand-overs at which somebody waits without progress.
pub(crate) fn stalls(table: &mut Table, status: &StatusReply) {
    table.section("stalled");
    for stall in &status.stalls {
        let text = format!("for {}: {}", clock(stall.seconds), stall.reason);
        table.row(&stall.edge.replace('.', " for "), text);
    }
}

/// What limits the run.
pub(crate) fn limit(table: &mut Table, status: &StatusReply) {
    if let Some(limit) = &status.limit {
        table.section("what limits the run");
        table.row("now", &limit.text);
    }
}

/// Counters, goals and the figures of training.
pub(crate) fn training(table: &mut Table, status: &StatusReply) {
    table.section("training");
    let counters = status.counters.unwrap_or_default();
    let goals = status.goals.unwrap_or_default();
    let Goals { generated, paid, updates, seconds, .. } = goals;
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

/// What evaluations cost, where rewards are shared.
pub(crate) fn spending(table: &mut Table, status: &StatusReply) {
    let Some(spending) = &status.spending else { return };
    let goals = status.goals.unwrap_or_default();
    table.section("evaluations");
    let unit = if spending.stated { "" } else { " s" };
    let goal = goals.evaluations.map(|goal| format!(" of {}", grouped(goal))).unwrap_or_default();
    let way = grouped(spending.under_way);
    let made = grouped(spending.evaluations);
    table.row("evaluations", format!("{made}{goal}, {way} under way"));
    let goal = goals.cost.map(|goal| format!(" of {}", short(goal))).unwrap_or_default();
    let each = spending.cost / spending.evaluations.max(1) as f64;
    table.row("cost", format!("{}{goal}{unit}, {}{unit} each", short(spending.cost), short(each)));
    table.row("saved by the ledger", grouped(spending.saved));
    if spending.exhausted {
        table.row("the budget", "is spent: nothing more is paid for, the run finishes");
    }
}

/// What each exploration setting has brought, where there is something to compare.
pub(crate) fn yields(table: &mut Table, status: &StatusReply) {
    let tells = |row: &SettingYield| row.good_objects.is_some() || !row.kinds.is_empty();
    if status.yields.len() < 2 && !status.yields.iter().any(tells) {
        return;
    }
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

/// Figures of evaluation besides the exact ones.
pub(crate) fn evaluation(table: &mut Table, status: &StatusReply) {
    table.section("evaluation");
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

/// The best objects, at most so many.
pub(crate) fn best(table: &mut Table, status: &StatusReply, most: usize) {
    table.section("best objects");
    for found in status.best.iter().take(most) {
        let worth = found
            .log_reward
            .map_or_else(|| "R = 0".to_owned(), |of| format!("log R {}", short(of)));
        let far = found.nearest.map(|far| format!("  ({} from a better one)", short(far)));
        table.row(&worth, format!("{}{}", found.object, far.unwrap_or_default()));
    }
}

/// Where all records went.
pub(crate) fn books(table: &mut Table, status: &StatusReply) {
    let Some(books) = &status.books else { return };
    table.section("books");
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
pub(crate) fn straggling(actors: &[ActorRow]) -> Vec<u64> {
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

/// How the ledger is doing.
pub(crate) fn ledger(table: &mut Table, status: &StatusReply) {
    let Some(state) = &status.ledger else { return };
    table.section("ledger");
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

/// Whether actors measure the same.
pub(crate) fn trust(table: &mut Table, status: &StatusReply) {
    let Some(trust) = &status.trust else { return };
    table.section("trust");
    table.row("measured again on purpose", grouped(trust.audits));
    let name = if trust.alarms > 0 { "ALARM: values that differ" } else { "values that differ" };
    table.row(name, grouped(trust.alarms));
    for alarm in &trust.recent {
        table.row("    differs", shown(alarm));
    }
}

/// Who waited for what.
pub(crate) fn waits(table: &mut Table, status: &StatusReply) {
    table.section("seconds waited");
    for (edge, seconds) in &status.waited_seconds {
        table.row(&edge.replace('.', " for "), short(*seconds));
    }
}

/// A row for each actor.
pub(crate) fn actors(table: &mut Table, status: &StatusReply) {
    table.section("actors");
    let slow = straggling(&status.actors);
    for row in &status.actors {
        let mark = if slow.contains(&row.id) { ", a straggler" } else { "" };
        table.row(&format!("{} {}", row.id, row.name), format!("{}{mark}", actor(row)));
    }
}

/// What an actor is doing, in one word.
pub(crate) fn actor_state(actor: &ActorRow) -> String {
    let state = actor.state().as_str_name();
    state.trim_start_matches("ACTOR_STATE_").to_lowercase()
}

pub(super) fn actor(actor: &ActorRow) -> String {
    let state = actor_state(actor);
    let version = actor.policy.unwrap_or_default().step;
    let failures = actor.reward_failures.iter().map(|(kind, count)| format!("{count} {kind}"));
    let failures: Vec<String> = failures.collect();
    let failures = match failures.is_empty() {
        true => String::new(),
        false => format!("; failed requests for rewards: {}", failures.join(", ")),
    };
    let quarantined = if actor.quarantined { "QUARANTINED, " } else { "" };
    let alarms = match actor.alarms {
        0 => String::new(),
        alarms => format!("; differs from others in {}", count(alarms, "value")),
    };
    let trouble = match actor.reward_trouble.as_str() {
        "" => String::new(),
        trouble => format!("; NO REWARDS: {trouble}"),
    };
    format!(
        "{quarantined}{state}, {}/s, {} accepted, {} unacked, weights of update {}, on {} (process {}){failures}{alarms}{trouble}",
        short(actor.trajectories_per_second),
        grouped(actor.accepted),
        grouped(actor.unacked),
        grouped(version),
        actor.host,
        actor.process,
    )
}
