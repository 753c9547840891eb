//! The correctness atlas: exact log p against log R wherever that can be computed, for everything
//! that can be combined, and for samplers that are wrong on purpose.

mod cases;
mod chains;
mod controls;
mod deduplicated;
mod tampered;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use tributary_common::exact::{Comparison, Target};

use self::cases::{COLUMNS, ENVIRONMENTS, Environment};
use crate::experiment::{Experiment, Standing, Watch, measure};
use crate::figure::scatter::{Grid, Panel, Row};
use crate::machine::Machine;
use crate::parallel::in_parallel;
use crate::report::{Outputs, Table, grouped, write};

/// The exact TV below which a panel looks right.
const BAR: f64 = 0.03;

/// Options of `atlas`.
#[derive(Args, Serialize)]
pub(crate) struct Options {
    /// Updates of every panel, 16 trajectories each
    #[arg(long, default_value_t = 5_000)]
    updates: u64,
    /// Of every panel
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the environments whose name contains this
    #[arg(long, default_value = "")]
    environment: String,
    /// Only the columns whose name contains this
    #[arg(long, default_value = "")]
    column: String,
    /// Only the controls
    #[arg(long)]
    controls: bool,
    /// Also draw atlas.svg and atlas-controls.svg in this folder
    #[arg(long)]
    #[serde(skip)]
    figures: Option<PathBuf>,
    #[command(flatten)]
    #[serde(skip)]
    outputs: Outputs,
}

/// What a panel shows: every object's log R, and the log p that was learned plus the target's log Z.
#[derive(Clone)]
struct Learned {
    points: Vec<(f64, f64)>,
    total_variation: f64,
}

#[derive(Serialize)]
struct Figures {
    environment: String,
    column: String,
    total_variation: Option<f64>,
    passed: Option<bool>,
}

/// Draws everything; an error if a panel misses the bar or a control passes it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let machine = Machine::this();
    let (panels, controls) = (panels(options)?, controls::run(options)?);
    let mut rows: Vec<Figures> = panels.iter().flat_map(|row| row.figures()).collect();
    rows.extend(controls.iter().flat_map(controls::Control::figures));
    options.outputs.json(&machine, options, &rows)?;
    if let Some(folder) = &options.figures {
        if !panels.is_empty() {
            write(&folder.join("atlas.svg"), &figure(&panels))?;
        }
        write(&folder.join("atlas-controls.svg"), &controls::figure(&controls))?;
    }
    let mut text = String::new();
    if !panels.is_empty() {
        text += &format!("{}\n", table(&panels));
    }
    text += &format!(
        "{}\nExact total variation; a panel is right below {BAR}, a control must stay above. A point \
         (·): the product refuses the combination, as `tributary check` explains. Seed {}, {} updates \
         of 16 trajectories. ({machine})",
        controls::table(&controls),
        options.seed,
        grouped(options.updates),
    );
    options.outputs.section("atlas", &text)?;
    let missed: Vec<String> = rows
        .iter()
        .filter(|row| row.passed == Some(false))
        .map(|row| format!("{}, {}", row.environment, row.column))
        .collect();
    ensure!(missed.is_empty(), "on the wrong side of the bar: {}", missed.join("; "));
    Ok(())
}

/// One environment's panels, by column.
struct AtlasRow {
    environment: &'static str,
    panels: Vec<(&'static str, Option<Learned>)>,
}

impl AtlasRow {
    fn figures(&self) -> Vec<Figures> {
        let figures = |(column, learned): &(&'static str, Option<Learned>)| Figures {
            environment: self.environment.to_owned(),
            column: (*column).to_owned(),
            total_variation: learned.as_ref().map(|learned| learned.total_variation),
            passed: learned.as_ref().map(|learned| learned.total_variation <= BAR),
        };
        self.panels.iter().map(figures).collect()
    }
}

fn panels(options: &Options) -> Result<Vec<AtlasRow>> {
    let chosen = ENVIRONMENTS.iter().filter(|e| e.name.contains(&options.environment));
    let columns = || COLUMNS.iter().filter(|column| column.0.contains(&options.column));
    let mut runs = Vec::new();
    for environment in chosen {
        runs.extend(columns().map(|&(column, changes)| (environment, column, changes)));
    }
    if options.controls {
        runs.clear();
    }
    let name = |run: &(&Environment, &str, &str)| format!("{}, {}", run.0.name, run.1);
    let learned =
        in_parallel(&runs, options.outputs.threads, name, |&(environment, _, changes)| {
            match environment.read(options, changes, Path::new(".")) {
                // The product says what cannot be combined.
                Err(_) => Ok(None),
                Ok(experiment) => learn(&experiment).map(Some),
            }
        })?;
    let mut rows: Vec<AtlasRow> = Vec::new();
    for ((environment, column, _), learned) in runs.into_iter().zip(learned) {
        if rows.last().is_none_or(|row| row.environment != environment.name) {
            rows.push(AtlasRow { environment: environment.name, panels: Vec::new() });
        }
        if let Some(row) = rows.last_mut() {
            row.panels.push((column, learned));
        }
    }
    Ok(rows)
}

/// Trains to the end and computes the distribution.
fn learn(experiment: &Experiment) -> Result<Learned> {
    let mut last = Last(None);
    experiment.run(&[experiment.updates()?], &mut last)?;
    let standing = last.0.ok_or_else(|| anyhow::anyhow!("the run ended early"))?;
    let target = measure::target(&experiment.task)?;
    let distribution = measure::distribution(&experiment.task, &standing.policy)?;
    Ok(Learned::new(&target, &distribution))
}

impl Learned {
    fn new(target: &Target, distribution: &[f64]) -> Self {
        let points = target.log_rewards().iter().zip(distribution);
        Self {
            points: points.map(|(&log_r, p)| (log_r, p.ln() + target.log_z())).collect(),
            total_variation: Comparison::new(target, distribution).total_variation,
        }
    }

    fn panel(&self, looks_right: bool) -> Panel {
        let caption = format!("TV {:.3}", self.total_variation);
        Panel { points: self.points.clone(), caption, looks_right }
    }
}

struct Last(Option<Standing>);

impl Watch for Last {
    fn look(&mut self, standing: Standing) -> Result<()> {
        self.0 = Some(standing);
        Ok(())
    }
}

fn figure(rows: &[AtlasRow]) -> String {
    let columns = rows.first().map(|row| row.panels.iter().map(|p| p.0.to_owned()).collect());
    let row = |row: &AtlasRow| Row {
        name: row.environment.to_owned(),
        panels: row
            .panels
            .iter()
            .map(|(_, learned)| learned.as_ref().map(|l| l.panel(l.total_variation <= BAR)))
            .collect(),
    };
    let grid = Grid {
        title: "Correctness atlas: every object of small environments",
        x_label: "log R(x) in nats",
        y_label: "exact log p(x) + log Z",
        columns: columns.unwrap_or_default(),
        rows: rows.iter().map(row).collect(),
    };
    grid.draw()
}

/// Environments across, columns down: there are more of these.
fn table(rows: &[AtlasRow]) -> Table {
    let header: Vec<&'static str> =
        std::iter::once("objective, P_B").chain(rows.iter().map(|row| row.environment)).collect();
    let mut table = Table::new(&header);
    let columns = rows.first().map_or(0, |row| row.panels.len());
    for column in 0..columns {
        let cell = |row: &AtlasRow| match &row.panels[column].1 {
            None => "·".to_owned(),
            Some(Learned { total_variation, .. }) if *total_variation <= BAR => {
                format!("{total_variation:.3}")
            }
            Some(Learned { total_variation, .. }) => format!("**{total_variation:.3}**"),
        };
        let name = rows[0].panels[column].0.to_owned();
        table.row(std::iter::once(name).chain(rows.iter().map(cell)));
    }
    table
}
