//! Negative controls: samplers with a mistake that people make, each beside the right one. One that
//! looks right would mean that the atlas sees nothing.

use std::sync::Arc;

use anyhow::{Context, Result};
use tributary_common::registry::Task;

use super::cases::Environment;
use super::deduplicated::Deduplicated;
use super::{BAR, Figures, Learned, Options, chains, learn, tampered};
use crate::experiment::{Experiment, measure};
use crate::figure::scatter::{Grid, Row};
use crate::parallel::in_parallel;
use crate::report::{Table, write};

/// A mistake, and the same without it.
pub(super) struct Control {
    name: &'static str,
    right: Learned,
    wrong: Learned,
}

#[derive(Clone, Copy)]
enum Mistake {
    Stored,
    Deduplicated,
    Inverted,
    Offline,
}

/// The mistake, its name, the environment, and changes to the run file, one a line.
const MISTAKES: [(Mistake, &str, &str, &str); 5] = [
    (
        Mistake::Stored,
        "stored log P_F in the loss",
        "hypergrid 2D H8",
        "policy.backward=uniform\nreplay.selector=uniform\nreplay.capacity=4096",
    ),
    (
        Mistake::Deduplicated,
        "P_B over parents, not edges: insert",
        "insert, 4",
        "policy.backward=uniform",
    ),
    (
        Mistake::Deduplicated,
        "P_B over parents, not edges: prepend_append",
        "prepend_append, 4",
        "policy.backward=uniform",
    ),
    (
        Mistake::Inverted,
        "local search, ratio inverted",
        "insert, 4",
        "exploration.local_search.rounds=1\nexploration.local_search.steps=2\n\
         exploration.local_search.accept=metropolis_hastings",
    ),
    (Mistake::Offline, "offline only, half of the objects", "append, 4", "policy.backward=uniform"),
];

impl Control {
    pub(super) fn figures(&self) -> [Figures; 2] {
        let figures = |column: &str, learned: &Learned, passed| Figures {
            environment: self.name.to_owned(),
            column: column.to_owned(),
            total_variation: Some(learned.total_variation),
            passed: Some(passed),
        };
        [
            figures("right", &self.right, self.right.total_variation <= BAR),
            figures("wrong on purpose", &self.wrong, self.wrong.total_variation > BAR),
        ]
    }
}

/// Trains all of them.
pub(super) fn run(options: &Options) -> Result<Vec<Control>> {
    let runs: Vec<_> = MISTAKES.iter().flat_map(|m| [(m, false), (m, true)]).collect();
    let name = |run: &(&(Mistake, &str, &str, &str), bool)| {
        format!("{} ({})", run.0.1, if run.1 { "wrong" } else { "right" })
    };
    let folder = tempfile::tempdir()?;
    let learned = in_parallel(&runs, options.outputs.threads, name, |&(mistake, wrong)| {
        let &(mistake, _, environment, changes) = mistake;
        let environment = Environment::named(environment).context("no such environment")?;
        let read = |changes: &str| environment.read(options, changes, folder.path());
        match mistake {
            Mistake::Inverted => chains::visit(&read(changes)?, wrong),
            _ if !wrong => learn(&read(changes)?),
            Mistake::Stored => stored(&read(changes)?),
            Mistake::Deduplicated => deduplicated(read(changes)?),
            Mistake::Offline => {
                write(&folder.path().join("half.tsv"), &half(&read(changes)?)?)?;
                let offline = "replay.initial=half.tsv\nreplay.initial_fraction=1.0\n\
                               replay.selector=uniform\nreplay.online_fraction=0";
                learn(&read(&format!("{changes}\n{offline}"))?)
            }
        }
    })?;
    let pairs = MISTAKES.iter().zip(learned.chunks_exact(2));
    let control = |(mistake, pair): (&(Mistake, &'static str, &str, &str), &[Learned])| Control {
        name: mistake.1,
        right: pair[0].clone(),
        wrong: pair[1].clone(),
    };
    Ok(pairs.map(control).collect())
}

fn stored(experiment: &Experiment) -> Result<Learned> {
    let policy = tampered::learn(experiment)?;
    let target = measure::target(&experiment.task)?;
    let distribution = measure::distribution(&experiment.task, &policy)?;
    Ok(Learned::new(&target, &distribution))
}

fn deduplicated(mut experiment: Experiment) -> Result<Learned> {
    let environment = Arc::clone(&experiment.task.environment);
    experiment.task.environment = Arc::new(Deduplicated(environment));
    learn(&experiment)
}

/// Every second object of the environment, as a data set: all that training will ever see.
fn half(experiment: &Experiment) -> Result<String> {
    let Task { environment, undelayed, .. } = &experiment.task;
    let list = environment.enumeration().context("a list of all states")?;
    let mut state = vec![0; environment.state_width()];
    let names = undelayed.outputs().into_iter().map(|output| output.name).collect::<Vec<_>>();
    let mut table = format!("object\t{}\n", names.join("\t"));
    for index in (0..list.states()).step_by(2) {
        list.state(index, &mut state);
        if environment.can_stop(&state) {
            let (object, mut raw) = (environment.object(&state), Vec::new());
            undelayed.evaluate(std::slice::from_ref(&object), &mut raw)?;
            let raw: Vec<String> = raw.iter().map(f64::to_string).collect();
            table += &format!("{object}\t{}\n", raw.join("\t"));
        }
    }
    Ok(table)
}

pub(super) fn figure(controls: &[Control]) -> String {
    let row = |control: &Control| Row {
        name: control.name.to_owned(),
        panels: vec![Some(control.right.panel(true)), Some(control.wrong.panel(false))],
    };
    let grid = Grid {
        title: "Negative controls: right, and wrong on purpose",
        x_label: "log R(x) in nats",
        y_label: "exact log p(x) + log Z",
        columns: ["right", "wrong on purpose"].map(str::to_owned).into(),
        rows: controls.iter().map(row).collect(),
    };
    grid.draw()
}

pub(super) fn table(controls: &[Control]) -> Table {
    let mut table = Table::new(&["negative control", "TV without the mistake", "TV with it"]);
    for Control { name, right, wrong } in controls {
        let cells = [right.total_variation, wrong.total_variation].map(|tv| format!("{tv:.3}"));
        table.row(std::iter::once((*name).to_owned()).chain(cells));
    }
    table
}
