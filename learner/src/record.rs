//! The run's records on disk: `metrics.jsonl`, a line for each second and each comparison, and
//! `summary.json` at the end. Both carry `schema = 1`.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Map, Value};
use tributary_common::exact::Comparison;

use crate::costs::Costs;
use crate::figures::{ExactFigures, RunState};
use crate::memory;
use crate::replay_summary::ReplaySummary;
use crate::view::View;
use crate::yields::{self, Yield};

/// Over this time the rate of trajectories is averaged.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// Figures of one moment, as written to `metrics.jsonl` and streamed to watchers.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Counts from 1.
    pub number: u64,
    /// Updates done.
    pub step: u64,
    /// Since the learner's start; times in which no learner lived do not count.
    pub seconds: f64,
    /// Seconds since 1970.
    pub time: f64,
    /// Name to value.
    pub values: BTreeMap<String, f64>,
    /// The hand-over that does not get on, the blocking one first.
    pub stalled_edge: Option<&'static str>,
}

impl Record {
    /// One line of JSON, flat.
    pub fn to_json(&self) -> Value {
        let mut line = Map::new();
        line.insert("schema".into(), 1.into());
        line.insert("number".into(), self.number.into());
        line.insert("step".into(), self.step.into());
        line.insert("seconds".into(), self.seconds.into());
        line.insert("time".into(), self.time.into());
        for (name, value) in &self.values {
            line.insert(name.clone(), (*value).into());
        }
        if let Some(edge) = self.stalled_edge {
            line.insert("stalled_edge".into(), edge.into());
        }
        Value::Object(line)
    }
}

/// Makes the records of a run, in order.
#[derive(Debug)]
pub struct Recorder {
    file: BufWriter<File>,
    started: Instant,
    /// What earlier learners of the run recorded.
    before: Duration,
    number: u64,
    recent: VecDeque<(Instant, u64)>,
}

impl Recorder {
    /// Behind what is in the file; makes it if need be. Numbers and seconds go on from the last record.
    ///
    /// # Errors
    /// The file system's.
    pub fn append(path: &Path, started: Instant) -> io::Result<Self> {
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let Last { end, number, seconds } = last_record(&mut file)?;
        // A line that a dying learner did not finish is no record.
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        let before = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let file = BufWriter::new(file);
        Ok(Self { file, started, before, number, recent: VecDeque::new() })
    }

    /// Writes the figures of this moment.
    ///
    /// # Errors
    /// The file system's; the record was made nevertheless and its number is used up.
    pub fn write(&mut self, view: &View) -> (Record, io::Result<()>) {
        self.number += 1;
        let mut values = values(view);
        values.insert("trajectories_per_second".into(), self.rate(view.figures.generated));
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let seconds = (self.before + self.started.elapsed()).as_secs_f64();
        let stalled_edge = view.figures.stalls.first().map(|stall| stall.edge.name());
        let (number, step) = (self.number, view.figures.updates);
        let record = Record { number, step, seconds, time, values, stalled_edge };
        let written = writeln!(self.file, "{}", record.to_json()).and_then(|()| self.file.flush());
        (record, written)
    }

    /// Accepted trajectories per second, over the last seconds.
    fn rate(&mut self, generated: u64) -> f64 {
        let now = Instant::now();
        self.recent.push_back((now, generated));
        while self.recent.len() > 2
            && self.recent.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= RATE_WINDOW)
        {
            self.recent.pop_front();
        }
        let (start, before) = self.recent.front().copied().unwrap_or((now, generated));
        let seconds = now.duration_since(start).as_secs_f64();
        if seconds > 0.0 { (generated - before) as f64 / seconds } else { 0.0 }
    }
}

/// Bytes at the end of a file in which its last record is looked for.
const TAIL: u64 = 1 << 20;

/// The last whole record of a file.
#[derive(Default)]
struct Last {
    /// Where it ends.
    end: u64,
    number: u64,
    seconds: f64,
}

fn last_record(file: &mut File) -> io::Result<Last> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let Some(newline) = tail.iter().rposition(|&byte| byte == b'\n') else {
        return Ok(Last::default());
    };
    let lines = tail.get(..newline).unwrap_or_default();
    let line = lines.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let record: Value = serde_json::from_slice(line).unwrap_or_default();
    Ok(Last {
        end: start + newline as u64 + 1,
        number: record["number"].as_u64().unwrap_or(0),
        seconds: record["seconds"].as_f64().unwrap_or(0.0),
    })
}

/// The figures by their names in `metrics.jsonl`.
fn values(view: &View) -> BTreeMap<String, f64> {
    let figures = &view.figures;
    let mut values: BTreeMap<String, f64> = [
        ("generated", figures.generated as f64),
        ("paid", figures.paid as f64),
        ("zero_rewards", view.replay.zero_rewards as f64),
        ("clipped_rewards", view.replay.clipped_rewards as f64),
        ("updates", figures.updates as f64),
        ("samples", figures.samples as f64),
        ("skipped_batches", figures.skipped_batches as f64),
        ("not_written.rejected", figures.not_written.rejected as f64),
        ("not_written.skipped", figures.not_written.skipped as f64),
        ("checkpoints", figures.checkpoints.written as f64),
        ("checkpoint_failures", figures.checkpoints.failures as f64),
        ("checkpoints_skipped", figures.checkpoints.skipped as f64),
        ("checkpoint_pause_seconds", figures.checkpoints.pause_seconds),
        ("checkpoint_pause_seconds_max", figures.checkpoints.pause_seconds_max),
        ("checkpoint_write_seconds", figures.checkpoints.write_seconds),
        ("resident", view.resident() as f64),
        ("mean_length", figures.mean_length()),
        ("lag_mean", figures.lag_mean()),
        ("lag_max", figures.lag_max as f64),
        ("actors", view.connected() as f64),
        ("training_seconds", figures.training_time().as_secs_f64()),
        ("stopping", f64::from(u8::from(figures.state == RunState::Stopping))),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let mut optional = |name: &str, value: Option<f64>| {
        if let Some(value) = value {
            values.insert(name.to_owned(), value);
        }
    };
    optional("memory_bytes", memory::resident_bytes().map(|bytes| bytes as f64));
    for stall in &figures.stalls {
        let name = format!("stalled_seconds.{}", stall.edge.name());
        optional(&name, Some(stall.waited.as_secs_f64()));
    }
    optional("loss", figures.loss);
    for (source, loss) in &figures.loss_by_source {
        optional(&format!("loss.{source}"), Some(*loss));
    }
    optional("log_z", figures.log_z);
    optional("log_z_mean_1000", figures.log_z_mean());
    optional("gradient_norm", figures.gradient_norm);
    optional("learning_rate", figures.learning_rate);
    if let Some(exact) = &figures.exact {
        let Comparison { total_variation, l1, l1_mean, jensen_shannon, log_z_target, .. } =
            exact.comparison;
        optional("exact_step", Some(exact.policy.step as f64));
        optional("exact_generated", Some(exact.generated as f64));
        optional("exact_seconds", Some(exact.seconds));
        optional("total_variation", Some(total_variation));
        optional("l1", Some(l1));
        optional("l1_mean", Some(l1_mean));
        optional("jensen_shannon", Some(jensen_shannon));
        optional("log_z_target", Some(log_z_target));
        optional("log_z_error", Some(exact.log_z_error()));
        optional("entropy_policy", Some(exact.comparison.entropy_policy));
        optional("entropy_target", Some(exact.comparison.entropy_target));
        optional("kl_target_policy", exact.comparison.kl_target_policy);
        optional("kl_policy_target", exact.comparison.kl_policy_target);
        optional("pearson", exact.comparison.pearson);
        optional("spearman", exact.comparison.spearman);
    }
    if let Some(spending) = &figures.spending {
        optional("evaluations", Some(spending.spent.evaluations as f64));
        optional("evaluation_seconds", Some(spending.spent.seconds));
        optional("evaluation_cost", Some(spending.spent.cost));
        optional("evaluations_saved", Some(spending.saved as f64));
    }
    values.extend(ReplaySummary::new(view).values());
    for (setting, row) in figures.yields.iter().enumerate() {
        found(&format!("yield.{setting}"), row.all, &mut values);
        for (kind, counted) in row.kinds() {
            found(&format!("yield.{setting}.{kind}"), counted, &mut values);
        }
    }
    values.extend(figures.evaluation_values());
    for (edge, seconds) in view.waited_seconds() {
        values.insert(format!("waited_seconds.{edge}"), seconds);
    }
    values
}

fn found(name: &str, found: Yield, values: &mut BTreeMap<String, f64>) {
    values.insert(format!("{name}.generated"), found.generated as f64);
    values.insert(format!("{name}.objects"), found.objects as f64);
    if let Some(good) = found.good_objects {
        values.insert(format!("{name}.good_objects"), good as f64);
    }
}

/// What `summary.json` says of a run that is over.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Of this file's form.
    pub schema: u32,
    /// The run's name.
    pub name: String,
    /// The run's id.
    pub run_id: String,
    /// The environment's kind and canonical configuration.
    pub environment: String,
    /// Whether somebody stopped it before its goal.
    pub interrupted: bool,
    /// The key of `[learner]` whose goal it reached; absent where it reached none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<&'static str>,
    /// Accepted.
    pub trajectories: u64,
    /// Updates.
    pub steps: u64,
    /// Of training: from the first accepted trajectory to the last update.
    pub seconds: f64,
    /// `trajectories` over `seconds`.
    pub trajectories_per_second: f64,
    /// The last exact comparison, of the averaged weights; absent without one.
    #[serde(flatten)]
    pub exact: Option<Comparison>,
    /// How far log Z was above the target's at that comparison, in nats.
    pub log_z_error: Option<f64>,
    /// The other figures of evaluation, by their names in `metrics.jsonl`.
    pub evaluation: BTreeMap<String, f64>,
    /// Hash of the last weights: raw, averaged, log Z.
    pub weights_blake3: Option<String>,
    /// After the last update.
    pub log_z: Option<f64>,
    /// Averaged over the last 1,000 updates.
    pub log_z_mean_1000: Option<f64>,
    /// Loss of the last update.
    pub loss: Option<f64>,
    /// Actors that ever took part.
    pub actors: usize,
    /// By reason; surplus after the goal is `run_complete`.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Mean transitions of the trajectories trained on, the exit included.
    pub mean_length: f64,
    /// Updates between a trajectory's weights and the steps that trained on it.
    pub lag_mean: f64,
    /// The largest.
    pub lag_max: u64,
    /// The four counters: generated, paid, updates, samples.
    pub counters: BTreeMap<&'static str, u64>,
    /// What evaluations cost; absent where rewards are not shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spending: Option<Costs>,
    /// What each exploration setting has brought, by its number.
    pub yields: Vec<SettingYield>,
    /// Where all records went.
    pub books: BTreeMap<&'static str, u64>,
    /// Where the samples came from.
    pub replay: ReplaySummary,
    /// What to know before trusting the run, in sentences.
    pub warnings: Vec<&'static str>,
    /// Batches without a step.
    pub skipped_batches: u64,
    /// How often a checkpoint could not be written.
    pub checkpoint_failures: u64,
    /// Accepted trajectories with R = 0.
    pub zero_rewards: u64,
    /// Accepted trajectories trained on with `objective.log_reward_min` in the place of a lower log R,
    /// those with R = 0 among them.
    pub clipped_rewards: u64,
    /// Seconds for which rewards, rollouts, the learner or the network limited the run, since the
    /// learner started.
    pub limited_seconds: BTreeMap<&'static str, f64>,
    /// Seconds waited, for each edge "who.for_what".
    pub waited_seconds: BTreeMap<String, f64>,
}

/// What an exploration setting has brought, with its definition.
#[derive(Debug, Serialize)]
pub struct SettingYield {
    /// In words: "epsilon 0.1, temperature 1".
    pub exploration: String,
    /// What it has brought.
    #[serde(flatten)]
    pub figures: Yield,
    /// The same for each kind of trajectory; absent where all are forward ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<&'static str, Yield>,
}

/// What a summary needs besides the figures.
#[derive(Clone, Debug)]
pub struct RunNames {
    /// `[run] name`.
    pub name: String,
    /// The run's id.
    pub run_id: String,
    /// The environment's kind and canonical configuration.
    pub environment: String,
    /// The exploration settings in words.
    pub explorations: Vec<String>,
    /// What to know before trusting the run, in sentences.
    pub warnings: Vec<&'static str>,
    /// The key of `[learner]` whose goal was reached.
    pub stopped_by: Option<&'static str>,
    /// What evaluations cost, where rewards are shared.
    pub costs: Option<Costs>,
}

impl Summary {
    /// Of a run as it stands.
    pub fn new(names: &RunNames, interrupted: bool, view: &View) -> Self {
        let figures = &view.figures;
        Self {
            schema: 1,
            name: names.name.clone(),
            run_id: names.run_id.clone(),
            environment: names.environment.clone(),
            interrupted,
            stopped_by: names.stopped_by,
            trajectories: figures.generated,
            steps: figures.updates,
            seconds: figures.training_time().as_secs_f64(),
            trajectories_per_second: figures.trajectories_per_second(),
            exact: figures.exact.as_ref().map(|exact| exact.comparison),
            log_z_error: figures.exact.as_ref().map(ExactFigures::log_z_error),
            evaluation: figures.evaluation_values(),
            weights_blake3: figures.weights_blake3.clone(),
            log_z: figures.log_z,
            log_z_mean_1000: figures.log_z_mean(),
            loss: figures.loss,
            actors: view.actors.len(),
            rejected: view.rejected(),
            mean_length: figures.mean_length(),
            lag_mean: figures.lag_mean(),
            lag_max: figures.lag_max,
            counters: counters(view),
            spending: names.costs,
            yields: yields(names, view),
            books: view.balance(),
            replay: ReplaySummary::new(view),
            warnings: names.warnings.clone(),
            skipped_batches: figures.skipped_batches,
            checkpoint_failures: figures.checkpoints.failures,
            zero_rewards: view.replay.zero_rewards,
            clipped_rewards: view.replay.clipped_rewards,
            limited_seconds: figures
                .limited_seconds
                .iter()
                .map(|(bound, seconds)| (bound.name(), *seconds))
                .collect(),
            waited_seconds: view.waited_seconds(),
        }
    }
}

fn counters(view: &View) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([
        ("generated", view.figures.generated),
        ("paid", view.figures.paid),
        ("updates", view.figures.updates),
        ("samples", view.figures.samples),
    ])
}

fn yields(names: &RunNames, view: &View) -> Vec<SettingYield> {
    let rows = names.explorations.iter().cloned().zip(&view.figures.yields);
    let row = |(exploration, row): (String, &yields::SettingYield)| {
        let (figures, kinds) = (row.all, row.kinds().collect());
        SettingYield { exploration, figures, kinds }
    };
    rows.map(row).collect()
}
