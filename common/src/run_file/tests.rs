#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use proptest::prelude::*;

const SMALLEST: &str = "[environment]\nkind = 'grid'\n[reward]\nkind = 'original'\n\
                        [learner]\nupdates = 10\n";

fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn parse(text: &str, overrides: &[(&str, &str)]) -> Result<RunFile, RunFileError> {
    RunFile::parse(text, &set(overrides))
}

/// The messages of a run file that is fine but for these overrides.
fn messages(overrides: &[(&str, &str)]) -> Vec<String> {
    let error = parse(SMALLEST, overrides).expect_err("the overrides are wrong");
    error.problems.iter().map(ToString::to_string).collect()
}

/// The one message that one override causes.
fn message(key: &str, value: &str) -> String {
    let mut messages = messages(&[(key, value)]);
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Grid {
    side: usize,
    wrap: bool,
}

impl Config for Grid {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("side", &mut self.side, "cells along each dimension").required().at_least(2);
        keys.key("wrap", &mut self.wrap, "whether the ends meet");
    }
}

#[test]
fn sections_left_out_have_their_defaults() {
    let run_file = parse(SMALLEST, &[]).unwrap();
    assert_eq!(run_file.policy.architecture.hidden, [256, 256]);
    assert_eq!(run_file.policy.backward, Backward::Learned);
    assert_eq!(run_file.objective, Objective::default());
    assert_eq!(run_file.exploration.temperature.at(0, 7), 1.0);
    assert_eq!(run_file.replay.selector, Selector::Fifo);
    assert_eq!(run_file.replay.capacity, 100_000);
    assert_eq!(run_file.learner.generated, None);
    assert_eq!(run_file.learner.updates, Some(10));
    assert_eq!(run_file.learner.log_z_learning_rate, 0.1);
    assert_eq!(run_file.learner.checkpoint_every, Duration::from_secs(60));
    assert_eq!(run_file.learner.credit_budget.0, 64 << 20);
    assert_eq!(run_file.actor.on_learner_loss.wait, Duration::from_secs(600));
    assert_eq!(run_file.evaluation.max_states, 2_000_000);
    assert_eq!((run_file.reward.durable, run_file.reward.delay), (None, None));
}

#[test]
fn the_examples_are_read() {
    for name in ["tfbind8", "hypergrid"] {
        let path = format!("{}/../examples/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap();
        let run_file = parse(&text, &[]).unwrap_or_else(|error| panic!("{path}:\n{error}"));
        assert_eq!(run_file.run.name, name);
        assert_eq!(run_file.exploration.epsilon.at(0, u64::MAX), 0.0);
    }
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_known_key() {
    let text = SMALLEST.replace("updates = 10", "updates = 10\n\nbach = 64");
    let error = parse(&text, &[]).unwrap_err().in_file(std::path::Path::new("my.toml"));
    let expected = "my.toml:8: unknown key `learner.bach`; did you mean `batch`?";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_unknown_section_names_the_nearest() {
    let error = parse(&format!("{SMALLEST}[evalution]\nevery = '1s'"), &[]).unwrap_err();
    let expected = "line 7: unknown section `[evalution]`; did you mean `evaluation`?";
    assert_eq!(error.to_string(), expected);
    assert!(message("zzz.every", "1").contains("known: `run`, `environment`"));
    let error = parse(&format!("policy = 3\n{SMALLEST}"), &[]).unwrap_err();
    assert_eq!(error.to_string(), "line 1: `policy` = 3: expected a section `[policy]`");
}

#[test]
fn wrong_types_say_what_was_expected() {
    let starts = |key: &str, value: &str, expected: &str| {
        let message = message(key, value);
        assert!(message.starts_with(&format!("--set: `{key}` {expected}")), "{message}");
    };
    starts("learner.batch", "x", "= \"x\": expected a whole number");
    starts("learner.batch", "6.5", "= 6.5: expected a whole number");
    starts("learner.batch", "-1", "= -1: expected a whole number, 0 or more");
    starts("learner.learning_rate", "nan", "= nan: expected a finite number");
    starts("learner.learning_rate", "true", "= true: expected a number");
    starts("learner.time", "10", "= 10: expected a duration with its unit");
    starts("learner.credit_budget", "64", "= 64: expected a size with its unit");
    starts("run.lockstep", "1", "= 1: expected true or false");
    starts("run.name", "7", "= 7: expected text in quotes");
    starts("policy.hidden", "256", "= 256: expected a list");
    starts("policy.hidden", "[8, 'x']", "= [8, \"x\"]: item 2, \"x\": expected a whole number");
    starts("policy.network", "mpl", "= \"mpl\": expected one of \"mlp\", \"transformer\"");
    starts("policy.backward", "unform", "= \"unform\": expected one of \"learned\", \"uniform\"");
    starts("exploration.epsilon", "'x'", "= \"x\": expected a number or a line");
    starts("actor.on_learner_loss", "wait", "= \"wait\": expected a table");
    starts("actor.on_learner_loss.wait", "9", "= 9: expected a duration with its unit");
    starts("reward.delay", "50", "= 50: expected a duration with its unit");
}

#[test]
fn values_out_of_range_say_the_range() {
    let ends = |key: &str, value: &str, expected: &str| {
        let message = message(key, value);
        assert!(message.ends_with(expected), "{message}");
    };
    ends("learner.batch", "0", "`learner.batch` = 0: must be at least 1");
    ends("learner.updates", "0", "`learner.updates` = 0: must be at least 1");
    ends("learner.learning_rate", "0", "must be greater than 0.0");
    ends("learner.ema", "1", "must be less than 1.0");
    ends("learner.time", "0s", "must be greater than \"0s\"");
    ends("learner.credit_budget", "1KiB", "must be at least \"1MiB\"");
    ends("policy.hidden", "[4, 0]", "must have widths from 1 to 65536");
    ends("exploration.epsilon", "{ start = 1.5, end = 0, over = 9 }", "must lie from 0 to 1");
    ends("exploration.temperature", "0", "must be greater than 0");
    ends("exploration.temperature", "[1, 0]", "must be greater than 0");
    ends(
        "exploration.epsilon",
        "[]",
        "expected at least one entry (probability of a uniformly \
          random action at each step; a list gives each actor one of its entries)",
    );
    let many = format!("[{}]", vec!["0.5"; 65].join(", "));
    ends("exploration.epsilon", &many, "must have at most 64 entries");
    ends("evaluation.good_log_reward", "'a'", "by exploration setting)");
    ends("replay.samples_per_insert", "-2", "must be greater than 0.0");
    ends("evaluation.every", "0s", "must be greater than \"0s\"");
    ends("run.lockstep_patience", "'1m'", "applies only with lockstep = true");
    ends("run.name", "a/b", "the first a letter or digit");
}

#[test]
fn the_sizes_of_a_transformer_fit_each_other() {
    let sizes = |overrides: &[(&str, &str)]| {
        let kind = [("policy.network", "transformer")];
        let overrides: Vec<_> = kind.iter().chain(overrides).copied().collect();
        parse(SMALLEST, &overrides).map(|run_file| {
            let Architecture { width, heads, feed_forward, .. } = run_file.policy.architecture;
            (width, heads, feed_forward)
        })
    };
    assert_eq!(sizes(&[]).unwrap(), (64, 8, 256));
    assert_eq!(sizes(&[("policy.width", "20")]).unwrap(), (20, 4, 80));
    assert_eq!(sizes(&[("policy.width", "1")]).unwrap(), (1, 1, 4));
    assert_eq!(sizes(&[("policy.heads", "2"), ("policy.feed_forward", "7")]).unwrap(), (64, 2, 7));
    let refused = |overrides: &[(&str, &str)]| sizes(overrides).unwrap_err().to_string();
    assert!(refused(&[("policy.heads", "3")]).ends_with("must divide `width`"));
    assert!(refused(&[("policy.heads", "0")]).contains("must be at least 1"));
    assert!(refused(&[("policy.layers", "0")]).ends_with("must be at least 1"));
    assert!(refused(&[("policy.dropout", "1")]).ends_with("must be less than 1.0"));
    let hidden = refused(&[("policy.hidden", "[8]")]);
    assert!(hidden.ends_with("applies only with network = \"mlp\""), "{hidden}");
    let width = message("policy.width", "64");
    assert!(width.ends_with("applies only with network = \"transformer\""), "{width}");
}

#[test]
fn the_keys_of_a_selector_are_refused_where_they_do_not_apply() {
    let only = |key: &str, value: &str, expected: &str| {
        let message = message(&format!("replay.{key}"), value);
        let expected = format!("--set: `replay.{key}` applies only with selector = {expected}");
        assert_eq!(message, expected);
    };
    only("priority", "loss", "\"prioritized\"");
    only("exponent", "2", "\"prioritized\"");
    only("top_fraction", "0.5", "\"top_fraction\"");
    only("top_share", "0.5", "\"top_fraction\"");
    only("online_fraction", "0.5", "\"uniform\", \"prioritized\" or \"top_fraction\"");
    only("online_probability", "0.5", "\"uniform\", \"prioritized\" or \"top_fraction\"");
    only("diversity_distance", "3", "\"top_fraction\"");
    let ends = |key: &str, value: &str, expected: &str| {
        let message = message(&format!("replay.{key}"), value);
        assert!(message.ends_with(expected), "{message}");
    };
    ends("diversity_among", "5", "applies only with diversity_distance");
    ends("initial_fraction", "0.5", "applies only with initial");
    ends("stale", "reject", "applies only with max_lag");
    ends("redraw_uniform", "0.5", "drawn anew: keep = \"objects\", max_lag or initial");
    ends("initial", "", "must name a file");
}

#[test]
fn replay_has_a_quarter_or_what_arrives_that_is_new() {
    let replay = |changes: &[(&str, &str)]| parse(SMALLEST, changes).unwrap().replay;
    let selector = |name| ("replay.selector", name);
    assert_eq!(replay(&[]).online_fraction, 0.0);
    assert_eq!(replay(&[selector("uniform")]).online_fraction, 0.25);
    assert_eq!(replay(&[selector("top_fraction")]).online_fraction, 0.25);
    let often = ("replay.samples_per_insert", "8");
    assert_eq!(replay(&[selector("prioritized"), often]).online_fraction, 0.125);
    let none = ("replay.online_fraction", "0");
    assert_eq!(replay(&[selector("prioritized"), none]).online_fraction, 0.0);
    assert_eq!(replay(&[selector("prioritized")]).exponent, 1.0);
    assert_eq!(replay(&[selector("prioritized"), ("replay.priority", "loss")]).exponent, 0.6);
    let much = [selector("prioritized"), often, ("replay.online_fraction", "0.2")];
    let error = parse(SMALLEST, &much).unwrap_err().to_string();
    assert!(error.contains("= 0.2: must be at most 1 / samples_per_insert"), "{error}");
}

#[test]
fn a_data_set_has_half_of_a_batch_and_leaves_room_for_what_is_new() {
    let initial = ("replay.initial", "data.csv");
    let (uniform, none) = (("replay.selector", "uniform"), ("replay.online_fraction", "0"));
    let replay = |changes: &[(&str, &str)]| parse(SMALLEST, changes).unwrap().replay;
    assert_eq!(replay(&[]).initial_fraction, 0.0);
    let given = replay(&[initial, uniform]);
    assert_eq!((given.initial_fraction, given.online_fraction), (0.5, 0.25));
    let most = ("replay.initial_fraction", "0.9");
    let share = replay(&[initial, uniform, most]).online_fraction;
    assert!((share - 0.1).abs() < 1e-12, "{share}");
    let all = ("replay.initial_fraction", "1");
    assert_eq!(replay(&[initial, uniform, all]).online_fraction, 0.25, "zero must be given");
    assert_eq!(replay(&[initial, uniform, all, none]).online_fraction, 0.0);
    let much = parse(SMALLEST, &[initial, uniform, ("replay.online_fraction", "0.6")]);
    let error = much.unwrap_err().to_string();
    assert!(
        error.contains("must be at most (1 - initial_fraction) / samples_per_insert"),
        "{error}"
    );
}

#[test]
fn a_replay_without_anything_new_is_warned_of() {
    let replay = |changes: &[(&str, &str)]| parse(SMALLEST, changes).unwrap().replay;
    let (uniform, none) = (("replay.selector", "uniform"), ("replay.online_fraction", "0"));
    assert!(replay(&[]).warnings().is_empty());
    assert!(replay(&[uniform]).warnings().is_empty());
    assert!(replay(&[uniform, none]).warnings()[0].contains("log Z is not identified offline"));
}

#[test]
fn lists_of_exploration_pair_up() {
    let epsilon = ("exploration.epsilon", "[0.0, { start = 0.5, end = 0, over = 10 }]");
    let of = |temperature| parse(SMALLEST, &[epsilon, ("exploration.temperature", temperature)]);
    let three = of("[1, 1.5, 2]").unwrap_err().to_string();
    assert!(three.ends_with("must have one entry or as many as `epsilon`, 2"), "{three}");
    let single = of("1.5").unwrap().exploration;
    assert_eq!((single.settings(), single.temperature.at(1, 0)), (2, 1.5));
    let paired = of("[1, 2]").unwrap();
    assert_eq!(paired.exploration.describe(0), "epsilon 0, temperature 1");
    assert_eq!(paired.exploration.describe(1), "epsilon 0.5 to 0 over 10, temperature 2");
    assert_eq!(parse(&paired.to_toml(), &[]).unwrap(), paired);
    let temperatures = parse(SMALLEST, &[("exploration.temperature", "[1, 2, 3]")]).unwrap();
    assert_eq!(temperatures.exploration.settings(), 3);
}

#[test]
fn the_keys_of_an_objective_are_refused_where_they_do_not_apply() {
    let kind = message("objective.kind", "subtb");
    assert!(kind.contains("expected one of \"trajectory_balance\", \"sub_traj"), "{kind}");
    let only = |key: &str, value: &str, expected: &str| {
        let message = message(&format!("objective.{key}"), value);
        let expected = format!("--set: `objective.{key}` applies only with {expected}");
        assert!(message.starts_with(&expected), "{message}");
    };
    only("weighting", "DB", "kind = \"sub_trajectory_balance\"");
    only("lambda", "0.5", "weighting = \"geometric_within\" or \"geometric\"");
    only("forward_looking", "true", "kind = \"sub_trajectory_balance\"");
    only("huber_threshold", "2", "residual = \"huber\"");
    only("alpha", "2", "kind = \"flow_matching\"");
    only("target", "network", "kind = \"sub_trajectory_balance\" (not its weighting");
    only("target_every", "2", "target = \"network\"");
    only("target_decay", "0.5", "target = \"network\"");
    let parts = ("objective.kind", "sub_trajectory_balance");
    let problems = messages(&[parts, ("objective.lambda", "0"), ("objective.residual", "l1")]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].ends_with("`objective.lambda` = 0.0: must be greater than 0.0"));
    assert_eq!(
        messages(&[parts, ("objective.weighting", "TB"), ("objective.lambda", "1")]).len(),
        1
    );
}

#[test]
fn a_target_is_refused_where_nothing_is_bootstrapped() {
    let target = ("objective.target", "stop_gradient");
    let kind = |name| ("objective.kind", name);
    for keys in [
        &[kind("sub_trajectory_balance")][..],
        &[kind("detailed_balance")][..],
        &[kind("modified_detailed_balance")][..],
        &[kind("flow_matching"), ("objective.alpha", "0.5")][..],
    ] {
        let run_file = parse(SMALLEST, &[keys, &[target]].concat()).unwrap();
        assert_eq!(run_file.objective.target, FlowTarget::StopGradient);
        assert_eq!(parse(&run_file.to_toml(), &[]).unwrap(), run_file);
    }
    for keys in [
        &[kind("trajectory_balance")][..],
        &[kind("log_partition_variance")][..],
        &[kind("sub_trajectory_balance"), ("objective.weighting", "TB")][..],
    ] {
        let problems = messages(&[keys, &[target]].concat());
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].ends_with("the others do not bootstrap"), "{problems:?}");
    }
}

#[test]
fn an_objective_is_written_with_the_keys_that_apply() {
    let plain = parse(SMALLEST, &[]).unwrap();
    let text = "[objective]\nkind = \"trajectory_balance\"\nresidual = \"squared\"\n\
                log_reward_min = -100.0\n\n";
    assert!(plain.to_toml().contains(text), "{}", plain.to_toml());
    let overrides = [
        ("objective.kind", "sub_trajectory_balance"),
        ("objective.lambda", "1.9"),
        ("objective.residual", "huber"),
        ("objective.huber_threshold", "3"),
    ];
    let run_file = parse(SMALLEST, &overrides).unwrap();
    assert_eq!(run_file.objective.weighting, Weighting::GeometricWithin);
    assert!(run_file.objective.needs_flow() && !run_file.objective.needs_state_rewards());
    assert_eq!(parse(&run_file.to_toml(), &[]).unwrap(), run_file);
    assert_eq!(plain.difference(&run_file).len(), 7, "{:?}", plain.difference(&run_file));
}

#[test]
fn what_has_no_default_must_be_given() {
    let error = parse("", &[]).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert_eq!(lines[0], "section `[environment]` is missing; it needs at least its `kind`");
    assert_eq!(lines[1], "section `[reward]` is missing; it needs at least its `kind`");
    assert!(lines[2].starts_with("the run has no end: give at least one of `learner.generated`"));
    let text = SMALLEST.replace("kind = 'grid'", "").replace("'original'", "5");
    let error = parse(&text, &[]).unwrap_err().to_string();
    assert!(error.contains("line 1: `environment.kind` is missing"), "{error}");
    assert!(error.contains("line 4: `reward.kind` = 5: expected text"), "{error}");
}

#[test]
fn all_problems_come_at_once_with_those_of_the_kinds() {
    let overrides = [
        ("learner.batch", "x"),
        ("actor.batch", "0"),
        ("environment.side", "1"),
        ("environment.warp", "true"),
        ("reward.delay", "fast"),
        ("replay.capasity", "5"),
    ];
    let check = |environment: Option<&Section>, reward: Option<&Section>| {
        assert_eq!(reward.map(|section| section.kind.as_str()), Some("original"));
        environment.unwrap().parse::<Grid>().unwrap_err()
    };
    let error = RunFile::parse_with(SMALLEST, &set(&overrides), check).unwrap_err();
    let text = error.to_string();
    assert_eq!(text.lines().count(), overrides.len(), "{text}");
    assert!(text.contains("`environment.side` = 1: must be at least 2"), "{text}");
    assert!(text.contains("unknown key `environment.warp`; did you mean `wrap`?"), "{text}");
}

#[test]
fn a_kind_reads_its_own_keys_without_the_shared_ones() {
    let text = SMALLEST.replace("'grid'", "'grid'\nside = 8");
    let overrides = [("reward.delay", "50ms"), ("reward.durable", "false"), ("reward.r0", "0.1")];
    let run_file = parse(&text, &overrides).unwrap();
    assert_eq!(run_file.environment.kind, "grid");
    assert_eq!(run_file.environment.parse::<Grid>().unwrap(), Grid { side: 8, wrap: false });
    assert_eq!(run_file.reward.durable, Some(false));
    assert_eq!(run_file.reward.delay, Some(Duration::from_millis(50)));
    let keys: Vec<&String> = run_file.reward.section.table.keys().collect();
    assert_eq!(keys, ["r0"]);
}

#[test]
fn a_kind_can_report_problems_of_its_own() {
    let section = Section::from_toml("environment", "kind = 'gird'").unwrap();
    let problems = section.parse::<Grid>().unwrap_err();
    let expected = "`environment.side` is missing (cells along each dimension)";
    assert_eq!(problems[0].message, expected);
    let problem = section.unknown_kind(&["grid", "sequence"]);
    let expected = "`environment.kind` = \"gird\": expected one of \"grid\", \"sequence\"; did \
                    you mean `grid`?";
    assert_eq!(problem.message, expected);
    let text = format!("{SMALLEST}# end\n").replace("'original'", "'table'\nfile = 'x.tsv'");
    let run_file = parse(&text, &[]).unwrap();
    let problem = run_file.reward.section.problem("file", "= \"x.tsv\": no such file");
    assert_eq!(problem.to_string(), "line 5: `reward.file` = \"x.tsv\": no such file");
}

#[test]
fn text_that_is_no_toml_gives_every_error_with_its_line() {
    let error = parse("[run]\nname = \nseed = 1\nseed = 2\n= 5\n", &[]).unwrap_err();
    let lines: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
    assert!(lines.len() >= 2, "{lines:?}");
    assert!(lines[0].starts_with("line 2: this is not TOML: "), "{lines:?}");
    let error = parse("[run]\nseed = 1\nseed = 2\n", &[]).unwrap_err().to_string();
    assert!(error.starts_with("line 3: this is not TOML: duplicate key"), "{error}");
}

#[test]
fn overrides_are_toml_or_bare_words_and_the_last_one_wins() {
    let overrides = [
        ("learner.batch", "8"),
        ("learner.batch", "16"),
        ("learner.time", "5s"),
        ("policy.hidden", "[32]"),
        ("policy.backward", "uniform"),
        ("exploration.epsilon.start", "0.5"),
        ("exploration.epsilon.end", "0.0"),
        ("exploration.epsilon.over", "1_000"),
    ];
    let run_file = parse(SMALLEST, &overrides).unwrap();
    assert_eq!(run_file.learner.batch, 16);
    assert_eq!(run_file.learner.time, Some(Duration::from_secs(5)));
    assert_eq!(run_file.policy.architecture.hidden, [32]);
    assert_eq!(run_file.policy.backward, Backward::Uniform);
    assert_eq!(run_file.exploration.epsilon.at(0, 500), 0.25);
}

#[test]
fn overrides_that_name_no_key_are_refused() {
    assert_eq!(message("batch", "8"), "--set: `batch`: expected `section.key=value`");
    assert!(message("learner.", "8").contains("expected `section.key=value`"));
    assert!(message("learner.updates.x", "8").contains("`updates` is not a table"));
    assert_eq!(parse_override("a.b = c = d"), Ok(("a.b".to_owned(), "c = d".to_owned())));
    assert!(parse_override("a.b").unwrap_err().contains("expected `section.key=value`"));
    assert!(parse_override("a=1.5").unwrap_err().contains("expected `section.key=value`"));
}

#[test]
fn the_effective_text_parses_to_the_same_run() {
    let overrides = [
        ("environment.words", "[\"a b\", 'c\"d\\']"),
        ("environment.nested.deep", "{ x = 1.5, \"a b\" = [1, 2] }"),
        ("reward.delay", "1500ms"),
        ("exploration.epsilon", "{ start = 0.5, end = 1e-3, over = 225_000 }"),
        ("learner.learning_rate", "3e-4"),
        ("learner.credit_budget", "10MB"),
        ("learner.threads", "2"),
        ("actor.on_learner_loss.wait", "90s"),
    ];
    let run_file = parse(SMALLEST, &overrides).unwrap();
    let text = run_file.to_toml();
    assert!(text.starts_with("[run]\nname = \"run\"\n"), "{text}");
    assert!(text.contains("\ndelay = \"1500ms\"\n"), "{text}");
    assert_eq!(parse(&text, &[]).unwrap(), run_file, "{text}");
    assert_eq!(parse(&text, &[]).unwrap().to_toml(), text);
}

#[test]
fn a_difference_lists_the_changed_keys() {
    let before = parse(SMALLEST, &[("environment.side", "8")]).unwrap();
    assert_eq!(before.difference(&before.clone()), []);
    let overrides = [("learner.updates", "20"), ("learner.time", "1h"), ("reward.r0", "0.1")];
    let after = parse(SMALLEST, &overrides).unwrap();
    let changes: Vec<String> = before.difference(&after).iter().map(Change::to_string).collect();
    let expected = [
        "environment.side: 8 -> not set",
        "reward.r0: not set -> 0.1",
        "learner.updates: 10 -> 20",
        "learner.time: not set -> \"1h\"",
    ];
    assert_eq!(changes, expected);
}

#[test]
fn bottomless_nesting_is_refused() {
    let deep = 100_000;
    assert!(parse(&format!("a = {}", "[".repeat(deep)), &[]).is_err());
    assert!(parse(&format!("{}b = 1", "a.".repeat(deep)), &[]).is_err());
    assert!(parse(&format!("[{}b]", "a.".repeat(deep)), &[]).is_err());
    let level = format!("{}b = {{", "a.".repeat(70));
    let text = format!("{}x = 1{}", level.repeat(78), "}".repeat(78));
    let message = parse(&format!("{SMALLEST}{text}"), &[]).unwrap_err().to_string();
    assert_eq!(message, "this nests deeper than 16 brackets or dots in a key");
    assert!(parse(SMALLEST, &[(&format!("{}b", "a.".repeat(deep)), "1")]).is_err());
    assert!(parse(SMALLEST, &[("learner.batch", &"{ a = ".repeat(deep))]).is_err());
}

/// Lines that look like those of a run file, so that random text gets past the TOML parser.
fn line() -> impl Strategy<Value = String> {
    let words =
        ["run", "reward", "learner", "actor", "kind", "batch", "time", "epsilon", "\"\\n\""];
    let values = ["1", "-1", "nan", "1e400", "'5s'", "'9e9d'", "[[1]]", "{ start = 1 }", "''", "é"];
    let (word, value) =
        (prop::sample::select(words.to_vec()), prop::sample::select(values.to_vec()));
    (word, value, 0..3).prop_map(|(word, value, form)| match form {
        0 => format!("[{word}]"),
        1 => format!("{word} = {value}"),
        _ => format!("{word}.{word} = {value}"),
    })
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>(), path in ".{0,12}", value in ".{0,12}") {
        if let Err(error) = RunFile::parse(&text, &[(path, value)]) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn arbitrary_run_files_give_problems_or_a_run_that_survives_writing(
        lines in prop::collection::vec(line(), 0..12),
        path in "(run|learner|environment)\\.[a-z\"]{1,3}(\\.x)?",
        value in "[-0-9a-z'\\[\\]{}=. ]{0,6}",
    ) {
        let text = format!("{}\n", lines.join("\n"));
        if let Err(error) = RunFile::parse(&text, &[(path.clone(), value.clone())]) {
            prop_assert!(!error.to_string().is_empty());
        }
        if let Ok(run_file) = RunFile::parse(SMALLEST, &[(path, value)]) {
            let again = RunFile::parse(&run_file.to_toml(), &[]);
            prop_assert_eq!(again.map(|run| run.to_toml()), Ok(run_file.to_toml()));
        }
    }
}

#[test]
fn weights_are_broadcast_as_often_as_actors_can_use_them() {
    let every = |keys: &[(&str, &str)]| parse(SMALLEST, keys).unwrap().publish_every();
    let batch = |batch| ("learner.batch", batch);
    assert_eq!(every(&[]), 4);
    assert_eq!(every(&[batch("128")]), 4);
    assert_eq!(every(&[batch("16")]), 4);
    assert_eq!(every(&[batch("2")]), 8);
    assert_eq!(every(&[batch("16"), ("actor.batch", "1024")]), 64);
    let large = ("actor.batch", "128");
    assert_eq!(every(&[batch("16"), large]), 8);
    assert_eq!(every(&[batch("16"), large, ("learner.publish_every", "2")]), 2);
    assert_eq!(every(&[batch("16"), large, ("replay.max_lag", "5")]), 6);
    assert_eq!(every(&[batch("16"), large, ("replay.max_lag", "1")]), 4);
    assert_eq!(every(&[batch("16"), large, ("run.lockstep", "true")]), 4);
}

#[test]
fn actors_draw_no_more_at_once_than_is_soon_trained_on() {
    let batch = |keys: &[(&str, &str)]| parse(SMALLEST, keys).unwrap().actor_batch();
    for (of_learner, expected) in [("1", 16), ("8", 32), ("16", 64), ("32", 128), ("1024", 128)] {
        assert_eq!(batch(&[("learner.batch", of_learner)]), expected, "{of_learner}");
    }
    assert_eq!(batch(&[("learner.batch", "16"), ("actor.batch", "7")]), 7);
}
