//! How good a sampler is for what it has paid: exact distance and recall of the best against distinct
//! objects that were measured, with different uses of each trajectory, beside searches of other kinds.

pub(crate) mod landscape;
mod peer;
mod searches;
mod subject;

use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use tributary_common::exact::Target;
use tributary_common::object::Object;

use self::landscape::Landscape;
use self::searches::Search;
use self::subject::{SUBJECTS, Subject};
use crate::experiment::{Drawn, Experiment, Standing, Watch, measure};
use crate::figure::Scale;
use crate::figure::lines::{self, Panel, Series};
use crate::kept::Kept;
use crate::machine::Machine;
use crate::parallel::in_parallel;
use crate::peers;
use crate::report::{Outputs, Table, grouped, seeds, with_error, write};

/// Options of `quality`.
#[derive(Args, Serialize)]
pub(crate) struct Options {
    /// Seeds 1 to this
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Distinct objects that a run pays for at most
    #[arg(long, default_value_t = 50_000)]
    most: usize,
    /// Updates of a run at most: who uses each trajectory more often draws fewer
    #[arg(long, default_value_t = 6_000)]
    most_updates: usize,
    /// Uses of each trajectory at most
    #[arg(long, default_value_t = 64)]
    most_uses: u32,
    /// Where the measured table is
    #[arg(long, default_value = "examples")]
    #[serde(skip)]
    examples: PathBuf,
    /// The table of RNA words, as bench/rna_words.py writes it
    #[arg(long, default_value = "target/rna-words.tsv")]
    #[serde(skip)]
    rna: PathBuf,
    /// Where the peers' set-up and runners are
    #[arg(long, default_value = "bench/peers")]
    #[serde(skip)]
    peers: PathBuf,
    /// Keep what was measured here, and measure nothing again that is kept: for a run that may be interrupted
    #[arg(long)]
    #[serde(skip)]
    keep: Option<PathBuf>,
    /// Without torchgfn, which is installed else
    #[arg(long)]
    without_peer: bool,
    /// Also draw the figure here, as SVG
    #[arg(long)]
    #[serde(skip)]
    figure: Option<PathBuf>,
    #[command(flatten)]
    #[serde(skip)]
    outputs: Outputs,
}

/// Distinct objects paid for, at which is looked.
const POINTS: [usize; 6] = [1_000, 2_000, 5_000, 10_000, 20_000, 50_000];

/// Trajectories of an update.
const BATCH: usize = 64;

/// A run gives up when it has drawn so many times as many objects as it may pay for.
const PATIENCE: usize = 5;

#[derive(Clone, Copy, PartialEq)]
enum Method {
    /// A GFlowNet that trains so often on each trajectory.
    Uses(u32),
    /// As before; only objects are kept, and letters are put at both ends.
    Objects(u32),
    /// torchgfn, which trains so often on each trajectory.
    Torchgfn(u32),
    Other(Search),
}

const METHODS: [Method; 10] = [
    Method::Uses(1),
    Method::Uses(4),
    Method::Uses(16),
    Method::Uses(64),
    Method::Objects(16),
    Method::Torchgfn(1),
    Method::Torchgfn(16),
    Method::Other(Search::Genetic),
    Method::Other(Search::Metropolis),
    Method::Other(Search::Random),
];

impl Method {
    fn name(self) -> String {
        match self {
            Self::Uses(1) => "each trajectory used once".to_owned(),
            Self::Uses(uses) => format!("each used {uses} times"),
            Self::Objects(uses) => format!("objects only, {uses} times"),
            Self::Torchgfn(1) => "torchgfn, used once".to_owned(),
            Self::Torchgfn(uses) => format!("torchgfn, replay, {uses} times"),
            Self::Other(Search::Genetic) => "genetic algorithm".to_owned(),
            Self::Other(Search::Metropolis) => "Metropolis-Hastings".to_owned(),
            Self::Other(Search::Random) => "random search".to_owned(),
        }
    }

    fn uses(self) -> u32 {
        match self {
            Self::Uses(uses) | Self::Objects(uses) | Self::Torchgfn(uses) => uses,
            Self::Other(_) => 0,
        }
    }

    fn is_peer(self) -> bool {
        matches!(self, Self::Torchgfn(_))
    }
}

struct Run {
    subject: Subject,
    method: Method,
    seed: u64,
}

/// A curve.
#[derive(Clone, Deserialize, Serialize)]
struct Row {
    subject: String,
    method: String,
    seed: u64,
    points: Vec<Point>,
}

/// Where it stands when so many distinct objects are paid for.
#[derive(Clone, Deserialize, Serialize)]
struct Point {
    paid: usize,
    drawn: usize,
    /// Of the policy from the target; searches have no policy.
    total_variation: Option<f64>,
    /// Share of the best hundredth of all objects that is among those that were paid for.
    recall: f64,
}

/// Runs everything, prints the table and draws the figure.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.most >= POINTS[0], "a run pays for at least {}", POINTS[0]);
    let mut runs = Vec::new();
    let is_wanted = |method: &Method| {
        method.uses() <= options.most_uses && !(method.is_peer() && options.without_peer)
    };
    for subject in SUBJECTS {
        for method in METHODS.into_iter().filter(is_wanted) {
            runs.extend((1..=options.seeds).map(|seed| Run { subject, method, seed }));
        }
    }
    if !options.without_peer {
        peers::python(&options.peers, "torchgfn")?;
    }
    let machine = Machine::this();
    let name =
        |run: &Run| format!("{}: {}, seed {}", run.subject.name, run.method.name(), run.seed);
    let settings = format!("{} {}", options.most, options.most_updates);
    let kept = Kept::read(options.keep.as_deref(), &settings)?;
    let measure = |run: &Run| kept.or_measured(|row| run.made(row), || run.measure(options));
    let rows = in_parallel(&runs, options.outputs.threads, name, measure)?;
    options.outputs.json(&machine, options, &rows)?;
    if let Some(path) = &options.figure {
        write(path, &figure(&rows))?;
    }
    options.outputs.section("quality", &text(options, &machine, &rows))
}

impl Options {
    /// Trajectories that a run draws at most.
    fn most_drawn(&self, uses: u32) -> usize {
        (self.most * PATIENCE).min(self.most_updates * BATCH / uses.max(1) as usize)
    }
}

impl Run {
    /// Whether this is its row.
    fn made(&self, row: &Row) -> bool {
        row.subject == self.subject.name
            && row.method == self.method.name()
            && row.seed == self.seed
    }

    fn measure(&self, options: &Options) -> Result<Row> {
        let experiment = self.experiment(options)?;
        let target = measure::target(&experiment.task)?;
        let landscape = Landscape::new(&experiment.task, &target)?;
        let counter = Counter::new(&landscape, options.most);
        let points = match self.method {
            Method::Other(search) => {
                let mut counter = counter;
                search.run(&landscape, self.seed, &mut |word| counter.searched(word));
                counter.points
            }
            Method::Torchgfn(uses) => peer::run(options, &landscape, uses, self.seed)?,
            Method::Uses(_) | Method::Objects(_) => {
                let mut follower = Follower { experiment: &experiment, target: &target, counter };
                // How many updates it takes to pay for so much shows as it goes.
                let looks: Vec<u64> = (1..=experiment.updates()?).collect();
                experiment.run(&looks, &mut follower)?;
                follower.counter.points
            }
        };
        Ok(Row {
            subject: self.subject.name.to_owned(),
            method: self.method.name(),
            seed: self.seed,
            points,
        })
    }

    fn experiment(&self, options: &Options) -> Result<Experiment> {
        let uses = self.method.uses();
        let generated = options.most_drawn(uses);
        let mut changes = vec![
            format!("run.seed={}", self.seed),
            format!("reward.exponent={}", self.subject.exponent),
            format!("learner.generated={generated}"),
            format!("learner.batch={BATCH}"),
            format!("actor.batch={BATCH}"),
            "learner.device=cpu".to_owned(),
            "learner.ema=0.998".to_owned(),
            "learner.log_z_initial=estimate".to_owned(),
            "exploration.epsilon=0.1".to_owned(),
        ];
        if uses > 1 {
            changes.push("replay.selector=uniform".to_owned());
            changes.push(format!("replay.samples_per_insert={uses}"));
        }
        if matches!(self.method, Method::Objects(_)) {
            changes.push("replay.keep=objects".to_owned());
            changes.push("environment.construction=prepend_append".to_owned());
        }
        self.subject.read(&mut changes, options)
    }
}

/// What has been paid for.
struct Counter<'a> {
    landscape: &'a Landscape,
    most: usize,
    drawn: usize,
    paid: HashSet<Object>,
    of_the_best: usize,
    points: Vec<Point>,
}

impl<'a> Counter<'a> {
    fn new(landscape: &'a Landscape, most: usize) -> Self {
        let paid = HashSet::new();
        Self { landscape, most, drawn: 0, paid, of_the_best: 0, points: Vec::new() }
    }

    /// An object was drawn; it is paid for the first time only.
    fn drawn(&mut self, object: &Object) {
        self.drawn += 1;
        if self.paid.len() < self.most && self.paid.insert(object.clone()) {
            self.of_the_best += usize::from(self.landscape.is_best(object));
        }
    }

    /// The number of objects at which to look next, if it has been paid for.
    fn is_due(&self) -> bool {
        let next = POINTS.get(self.points.len());
        next.is_some_and(|next| *next <= self.most && self.paid.len() >= *next)
    }

    fn is_done(&self) -> bool {
        let next = POINTS.get(self.points.len());
        next.is_none_or(|next| *next > self.most)
    }

    fn look(&mut self, total_variation: Option<f64>) {
        self.points.push(Point {
            paid: POINTS[self.points.len()],
            drawn: self.drawn,
            total_variation,
            recall: self.of_the_best as f64 / self.landscape.best() as f64,
        });
    }

    /// A search looked at an object; whether it goes on.
    fn searched(&mut self, object: &Object) -> bool {
        self.drawn(object);
        while self.is_due() {
            self.look(None);
        }
        !self.is_done() && self.drawn < PATIENCE * self.most
    }
}

struct Follower<'a> {
    experiment: &'a Experiment,
    target: &'a Target,
    counter: Counter<'a>,
}

impl Watch for Follower<'_> {
    fn drawn(&mut self, drawn: &Drawn<'_>) {
        self.counter.drawn(drawn.object);
    }

    fn is_awaited(&self) -> bool {
        self.counter.is_due()
    }

    fn is_done(&self) -> bool {
        self.counter.is_done()
    }

    fn look(&mut self, standing: Standing) -> Result<()> {
        let (task, policy) = (&self.experiment.task, &standing.policy);
        let exact = measure::exact(task, self.target, policy)?;
        while self.counter.is_due() {
            self.counter.look(Some(exact.total_variation));
        }
        Ok(())
    }
}

fn figure(rows: &[Row]) -> String {
    let panel = |subject: &str, label: &str, value: &dyn Fn(&Point) -> Option<f64>| {
        let mut series: Vec<Series> = Vec::new();
        for row in rows.iter().filter(|row| row.subject == subject) {
            if series.last().is_none_or(|last| last.name != row.method) {
                series.push(Series { name: row.method.clone(), points: Vec::new() });
            }
            let Some(series) = series.last_mut() else { continue };
            for point in &row.points {
                let Some(value) = value(point) else { continue };
                let x = point.paid as f64;
                match series.points.iter_mut().find(|(at, _)| *at == x) {
                    Some((_, values)) => values.push(value),
                    None => series.points.push((x, vec![value])),
                }
            }
        }
        series.retain(|series| !series.points.is_empty());
        Panel {
            title: subject.to_owned(),
            x_label: "distinct objects paid for".to_owned(),
            y_label: label.to_owned(),
            x_scale: Scale::Logarithmic,
            y_scale: Scale::Linear,
            series,
        }
    };
    let recall = |subject| panel(subject, "recall of the best 1 %", &|point| Some(point.recall));
    let distance = |subject| panel(subject, "exact TV", &|point| point.total_variation);
    let panels = SUBJECTS.iter().flat_map(|subject| [recall(subject.name), distance(subject.name)]);
    lines::draw(&panels.collect::<Vec<_>>())
}

fn text(options: &Options, machine: &Machine, rows: &[Row]) -> String {
    let mut header = vec!["task", "method", "figure"];
    let names = ["1,000 paid", "2,000", "5,000", "10,000", "20,000", "50,000"];
    let shown = POINTS.iter().filter(|point| **point <= options.most).count();
    header.extend(&names[..shown]);
    let mut table = Table::new(&header);
    for group in rows.chunks(options.seeds as usize) {
        let cells = |value: &dyn Fn(&Point) -> Option<f64>| {
            let cell = |at: usize| {
                let values = group.iter().filter_map(|row| row.points.get(at).and_then(value));
                let values: Vec<f64> = values.collect();
                if values.is_empty() { "-".to_owned() } else { with_error(&values, 3) }
            };
            (0..shown).map(cell).collect::<Vec<_>>()
        };
        let head =
            |figure: &str| [group[0].subject.clone(), group[0].method.clone(), figure.to_owned()];
        table.row(head("recall").into_iter().chain(cells(&|point| Some(point.recall))));
        if group[0].points.iter().any(|point| point.total_variation.is_some()) {
            table.row(head("TV").into_iter().chain(cells(&|point| point.total_variation)));
        }
    }
    format!(
        "{table}\n{}, at most {} objects paid for; \"-\": not reached after {} updates or {PATIENCE} times as many draws. \
         Trajectory balance, batch {BATCH}, MLP 256x2, Adam at 1e-3 (log Z 0.1, from the first batch), epsilon 0.1, \
         averaged weights (0.998); torchgfn 2.4.1 with the same settings. An object that comes again costs \
         nothing. ({machine}; `make bench-quality`)",
        seeds(options.seeds),
        grouped(options.most as u64),
        grouped(options.most_updates as u64),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_object_that_comes_again_is_not_paid_for() {
        let landscape = Landscape::of_test((0..200).map(f64::from).collect(), 4);
        let mut counter = Counter::new(&landscape, 1_000);
        let word = |i: usize| landscape.object(i).clone();
        for i in [199, 199, 198, 0] {
            assert!(counter.searched(&word(i)));
        }
        assert_eq!((counter.drawn, counter.paid.len(), counter.of_the_best), (4, 3, 2));
        counter.look(None);
        assert_eq!(counter.points[0].recall, 1.0, "two of 200 are the best hundredth");
    }
}
