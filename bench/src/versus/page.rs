//! What was measured, as Markdown.

use std::collections::BTreeMap;

use anyhow::Result;

use super::Options;
use super::bars::{BARS, times_as_fast_as};
use super::case::{Program, Quality};
use super::roofline::Work;
use super::rows::Group;
use crate::machine::Machine;
use crate::report::{Table, grouped};

/// The three tables, and what they were measured with.
pub(super) fn text(options: &Options, machine: &Machine, groups: &[Group<'_>]) -> Result<String> {
    let mut works = BTreeMap::new();
    for group in groups {
        works.insert(group.case.name, group.case.work(&options.examples)?);
    }
    let roofline = |group: &Group<'_>| roofline(works.get(group.case.name), group, machine.cores);
    let mut text = speeds(groups, roofline).to_string();
    if groups.iter().any(|group| group.case.quality.is_some()) {
        text += &format!("\n{}", distances(groups));
    }
    text += &format!("\n{}\n{}", bars(groups, roofline), footer(options, machine, groups));
    Ok(text)
}

/// Milliseconds that the multiply-adds of an iteration take on all cores.
fn roofline(work: Option<&Work>, group: &Group<'_>, cores: usize) -> f64 {
    let states = group.case.batch as f64 * group.mean_length;
    work.map_or(f64::NAN, |work| work.milliseconds(states, group.gigaflops, cores))
}

fn ours<'g, 'a>(groups: &'g [Group<'a>], of: &Group<'_>) -> Option<&'g Group<'a>> {
    groups.iter().find(|group| {
        group.program == Program::Ours
            && (group.case.name, group.case.batch) == (of.case.name, of.case.batch)
    })
}

fn mib(bytes: f64) -> String {
    format!("{:.0}", bytes / f64::from(1 << 20))
}

fn speeds(groups: &[Group<'_>], roofline: impl Fn(&Group<'_>) -> f64) -> Table {
    let mut table = Table::new(&[
        "work",
        "batch",
        "program",
        "ms per iteration",
        "times ours",
        "per state",
        "trajectories/s",
        "states/s",
        "mean length",
        "updates",
        "lag",
        "multiply-adds, ms",
        "times these",
        "peak MiB",
    ]);
    for group in groups.iter().filter(|group| group.case.quality.is_none()) {
        let ratio = |figure: fn(&Group<'_>) -> f64| {
            let ours = ours(groups, group).map_or(f64::NAN, figure);
            format!("{:.2}", figure(group) / ours)
        };
        let least = roofline(group);
        table.row([
            group.case.name.to_owned(),
            group.case.batch.to_string(),
            group.program.name().to_owned(),
            format!("{:.3}", group.ms_per_iteration),
            ratio(|group| group.ms_per_iteration),
            ratio(|group| group.ms_per_iteration / group.mean_length),
            grouped(group.trajectories_per_second() as u64),
            grouped(group.states_per_second() as u64),
            format!("{:.2}", group.mean_length),
            grouped(group.updates),
            group.lag.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.1}")),
            format!("{least:.3}"),
            format!("{:.2}", group.ms_per_iteration / least),
            mib(group.peak_memory),
        ]);
    }
    table
}

fn distances(groups: &[Group<'_>]) -> Table {
    let mut table = Table::new(&[
        "work",
        "program",
        "seconds to it",
        "trajectories to it",
        "trajectories/s",
        "mean length",
        "times ours",
        "from more trajectories",
        "from slower ones",
        "peak MiB",
    ]);
    for group in groups {
        let Some(quality) = &group.case.quality else { continue };
        let (seconds, trajectories) = reached(group, quality);
        let mut row = vec![group.case.name.to_owned(), group.program.name().to_owned()];
        row.extend([seconds, trajectories, grouped(rate(group) as u64)]);
        row.push(format!("{:.2}", group.mean_length));
        row.extend(ours(groups, group).map_or_else(no_ratios, |ours| ratios(ours, group)));
        row.push(mib(group.peak_memory));
        table.row(row);
    }
    table
}

/// Trajectories a second until the distance was reached.
fn rate(group: &Group<'_>) -> f64 {
    let all = group.trajectories_per_second();
    group.reached.map_or(all, |reached| group.case.batch as f64 * reached.updates / reached.seconds)
}

fn reached(group: &Group<'_>, quality: &Quality) -> (String, String) {
    match group.reached {
        Some(reached) => {
            let trajectories = reached.updates * group.case.batch as f64;
            (format!("{:.1}", reached.seconds), grouped(trajectories as u64))
        }
        None => {
            let Quality { total_variation, .. } = quality;
            let not = format!("not {total_variation} in {:.0}; {:.3}", group.seconds, group.least);
            (not, grouped(group.updates * group.case.batch))
        }
    }
}

fn no_ratios() -> [String; 3] {
    ["-"; 3].map(str::to_owned)
}

/// Time over ours, and its two factors: trajectories that are needed, and time of each.
fn ratios(ours: &Group<'_>, group: &Group<'_>) -> [String; 3] {
    let Some(time) = times_as_fast_as(ours, group) else { return no_ratios() };
    match (ours.reached, group.reached) {
        (Some(ours_reached), Some(reached)) => {
            let more = reached.updates / ours_reached.updates;
            [time, more, time / more].map(|ratio| format!("{ratio:.2}"))
        }
        _ => [format!("> {time:.2}"), "-".to_owned(), format!("{:.2}", rate(ours) / rate(group))],
    }
}

fn bars(groups: &[Group<'_>], roofline: impl Fn(&Group<'_>) -> f64) -> Table {
    let mut table = Table::new(&["bar", "measured", ""]);
    for bar in &BARS {
        let (measured, is_met) = match bar.ratio(groups, &roofline) {
            Some(ratio) => (format!("{ratio:.2}"), bar.is_met(ratio)),
            None if bar.was_not_reached(groups) => ("not reached".to_owned(), false),
            None => continue,
        };
        let met = if is_met { "met" } else { "**not met**" };
        table.row([bar.text(), measured, met.to_owned()]);
    }
    table
}

fn footer(options: &Options, machine: &Machine, groups: &[Group<'_>]) -> String {
    let mut versions: Vec<String> = groups
        .iter()
        .map(|group| format!("{} ({})", group.program.name(), group.version))
        .collect();
    versions.sort();
    versions.dedup();
    let mut speeds: Vec<f64> = groups.iter().map(|group| group.gigaflops).collect();
    speeds.sort_by(f64::total_cmp);
    let range = (speeds.first().copied(), speeds.last().copied());
    let (slowest, fastest) = (range.0.unwrap_or(f64::NAN), range.1.unwrap_or(f64::NAN));
    format!(
        "Medians of {}, seeds from {}. {}. A core did {slowest:.0} to {fastest:.0} GFLOP/s in matrix products. \
         ({machine}; `make bench-peers`)",
        options.repeats,
        options.seed,
        versions.join("; "),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::case::{CASES, Case};
    use super::super::rows::tests::row;
    use super::*;

    fn group(case: &'static Case, program: Program, seconds: f64, least: f64) -> Group<'static> {
        Group::new(case, program, &[&row(case, seconds, least)]).unwrap()
    }

    #[test]
    fn an_iteration_is_compared_with_ours_and_with_the_multiply_adds() {
        let case = &CASES[0];
        let groups = [group(case, Program::Ours, 1.0, 1.0), group(case, Program::Gfnx, 4.0, 1.0)];
        let table = speeds(&groups, |_| 5.0).to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[3],
            "| 2D H8 | 16 | gfnx | 40.000 | 4.00 | 4.00 | 400 | 4,000 | 10.00 | 100 | - | 5.000 | 8.00 | 1 |"
        );
    }

    #[test]
    fn a_time_is_split_into_trajectories_and_their_speed() {
        let case = CASES.iter().find(|case| case.quality.is_some()).unwrap();
        let ours = group(case, Program::Ours, 2.0, 0.01);
        let mut peer = group(case, Program::Gfnx, 12.0, 0.01);
        if let Some(reached) = &mut peer.reached {
            reached.updates = 150.0;
        }
        assert_eq!(ratios(&ours, &peer), ["6.00", "1.50", "4.00"]);
        let gave_up = group(case, Program::Gfnx, 50.0, 0.5);
        assert_eq!(ratios(&ours, &gave_up), ["> 25.00", "-", "25.00"]);
        assert_eq!(ratios(&gave_up, &ours), no_ratios());
    }
}
