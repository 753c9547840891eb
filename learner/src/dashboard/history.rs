//! The history of a run's figures in bounded memory: several resolutions, each coarser than the one
//! before, so that the last minutes are there second by second and weeks as a whole.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// Buckets kept at each resolution.
pub const BUCKETS: usize = 1_024;
/// Seconds of a bucket at the finest resolution.
const FINEST: f64 = 1.0;
/// How many times wider the buckets of the next resolution are.
const FACTOR: f64 = 4.0;
/// Resolutions: the coarsest reaches back for two years.
pub const LEVELS: usize = 9;
/// Figures of which a history is kept; others of the same record are left out.
pub const MOST_SERIES: usize = 64;
/// What a history takes at most, with room for what surrounds its numbers.
pub const MOST_BYTES: u64 =
    (LEVELS * (BUCKETS + 1) * (MOST_SERIES * size_of::<Cell>() + 2 * size_of::<Bucket>())) as u64;

/// One figure within one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cell {
    min: f32,
    max: f32,
    mean: f32,
    /// Records; 0: none had the figure.
    count: u32,
}

impl Cell {
    fn of(value: f64) -> Self {
        let value = value as f32;
        if value.is_finite() {
            Self { min: value, max: value, mean: value, count: 1 }
        } else {
            Self::default()
        }
    }

    fn add(&mut self, other: Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.count = self.count.saturating_add(other.count);
        let share = other.count as f32 / self.count as f32;
        self.mean += (other.mean - self.mean) * share;
    }
}

/// All figures within one stretch of time.
#[derive(Clone, Debug, Default, PartialEq)]
struct Bucket {
    /// Which stretch: seconds over the width.
    index: u64,
    /// Of the last record in it, since the run's start.
    seconds: f64,
    /// Of the same, since 1970.
    time: f64,
    /// By the number of the figure; later figures may be missing.
    cells: Vec<Cell>,
}

impl Bucket {
    fn add(&mut self, later: &Self) {
        self.seconds = self.seconds.max(later.seconds);
        self.time = self.time.max(later.time);
        if self.cells.len() < later.cells.len() {
            self.cells.resize(later.cells.len(), Cell::default());
        }
        for (cell, other) in self.cells.iter_mut().zip(&later.cells) {
            cell.add(*other);
        }
    }
}

#[derive(Clone, Debug)]
struct Level {
    width: f64,
    closed: VecDeque<Bucket>,
    open: Option<Bucket>,
}

impl Level {
    fn new(number: usize) -> Self {
        let width = FINEST * FACTOR.powi(number as i32);
        Self { width, closed: VecDeque::new(), open: None }
    }

    /// Adds a bucket of the finer resolution; the bucket that it closes.
    fn add(&mut self, finer: &Bucket) -> Option<Bucket> {
        let index = (finer.seconds / self.width) as u64;
        if let Some(open) = self.open.as_mut().filter(|open| index <= open.index) {
            open.add(finer);
            return None;
        }
        let closed = self.open.replace(Bucket { index, ..finer.clone() })?;
        if self.closed.len() == BUCKETS {
            self.closed.pop_front();
        }
        self.closed.push_back(closed.clone());
        Some(closed)
    }
}

/// What was recorded, at all resolutions.
#[derive(Clone, Debug)]
pub struct History {
    numbers: BTreeMap<String, usize>,
    levels: Vec<Level>,
    records: u64,
}

impl Default for History {
    fn default() -> Self {
        let levels = (0..LEVELS).map(Level::new).collect();
        Self { numbers: BTreeMap::new(), levels, records: 0 }
    }
}

impl History {
    /// Adds a record: seconds since the run's start, which never fall, and since 1970.
    pub fn push<'a>(
        &mut self,
        seconds: f64,
        time: f64,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        let mut cells = vec![Cell::default(); self.numbers.len()];
        for (name, value) in values {
            let Some(number) = self.number(name) else { continue };
            if cells.len() <= number {
                cells.resize(number + 1, Cell::default());
            }
            cells[number] = Cell::of(value);
        }
        self.records += 1;
        self.add(Bucket { index: 0, seconds, time, cells });
    }

    /// Adds what a history that began later has at its finest resolution.
    pub fn follow(&mut self, later: &Self) {
        let names: Vec<&str> = later.names();
        let [finest, ..] = later.levels.as_slice() else { return };
        for bucket in finest.closed.iter().chain(&finest.open) {
            let mut cells = vec![Cell::default(); self.numbers.len()];
            for (name, cell) in names.iter().zip(&bucket.cells) {
                let Some(number) = self.number(name) else { continue };
                if cells.len() <= number {
                    cells.resize(number + 1, Cell::default());
                }
                cells[number] = *cell;
            }
            self.add(Bucket { cells, ..bucket.clone() });
        }
        self.records += later.records;
    }

    /// Records that were added.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The last `seconds` of the run, or all of it, in at most `most` buckets; of the figures that
    /// `is_wanted`.
    pub fn view(
        &self,
        seconds: Option<f64>,
        most: usize,
        is_wanted: impl Fn(&str) -> bool,
    ) -> HistoryView {
        let end = self.newest().map_or(0.0, |bucket| bucket.seconds);
        let from = seconds.map_or(0.0, |seconds| (end - seconds).max(0.0));
        let most = most.clamp(1, BUCKETS) as f64;
        let mut fitting = self.levels.iter().enumerate();
        let fits = |(_, level): &(usize, &Level)| (end - from) / level.width <= most;
        let coarsest = self.levels.len() - 1;
        let chosen = fitting.find(fits).map_or(coarsest, |(number, _)| number);
        let mut buckets: Vec<&Bucket> = Vec::new();
        let level = self.levels.get(chosen);
        buckets.extend(level.iter().flat_map(|level| &level.closed));
        let last = self.open(chosen);
        buckets.extend(&last);
        buckets.retain(|bucket| bucket.seconds >= from);
        let names = self.names();
        let wanted = names.iter().enumerate().filter(|(_, name)| is_wanted(name));
        HistoryView {
            bucket_seconds: level.map_or(FINEST, |level| level.width),
            records: self.records,
            seconds: buckets.iter().map(|bucket| bucket.seconds).collect(),
            time: buckets.iter().map(|bucket| bucket.time).collect(),
            series: wanted
                .map(|(number, name)| ((*name).to_owned(), Column::of(&buckets, number)))
                .collect(),
        }
    }

    /// What is behind the full buckets of a resolution: its open bucket, and what the finer resolutions
    /// have not handed on yet.
    fn open(&self, number: usize) -> Vec<Bucket> {
        let width = self.levels.get(number).map_or(FINEST, |level| level.width);
        let mut last: Vec<Bucket> = Vec::new();
        for open in self.levels.iter().take(number + 1).rev().filter_map(|l| l.open.as_ref()) {
            let index = (open.seconds / width) as u64;
            match last.last_mut().filter(|bucket| index <= bucket.index) {
                Some(bucket) => bucket.add(open),
                None => last.push(Bucket { index, ..open.clone() }),
            }
        }
        last
    }

    fn newest(&self) -> Option<&Bucket> {
        self.levels.first()?.open.as_ref()
    }

    fn add(&mut self, bucket: Bucket) {
        let mut next = Some(bucket);
        for level in &mut self.levels {
            let Some(bucket) = next else { return };
            next = level.add(&bucket);
        }
    }

    /// The figure's number, a new one if it is new and there is room.
    fn number(&mut self, name: &str) -> Option<usize> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let number = self.numbers.len();
        (number < MOST_SERIES).then(|| *self.numbers.entry(name.to_owned()).or_insert(number))
    }

    /// The figures by their numbers.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<(usize, &str)> =
            self.numbers.iter().map(|(name, number)| (*number, name.as_str())).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }
}

/// A stretch of history at one resolution, in columns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryView {
    /// Seconds of a bucket.
    pub bucket_seconds: f64,
    /// Records of the whole history.
    pub records: u64,
    /// Of each bucket's last record, since the run's start.
    pub seconds: Vec<f64>,
    /// The same since 1970.
    pub time: Vec<f64>,
    /// By the names of `metrics.jsonl`.
    pub series: BTreeMap<String, Column>,
}

/// One figure in all buckets; none where it was not recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Column {
    /// The mean of each bucket.
    pub mean: Vec<Option<f32>>,
    /// The least; absent where every bucket has one value only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub min: Vec<Option<f32>>,
    /// The largest; likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub max: Vec<Option<f32>>,
}

impl Column {
    fn of(buckets: &[&Bucket], number: usize) -> Self {
        let cells = buckets.iter().map(|bucket| bucket.cells.get(number).copied());
        let cells: Vec<Option<Cell>> =
            cells.map(|cell| cell.filter(|cell| cell.count > 0)).collect();
        let column = |of: fn(Cell) -> f32| cells.iter().map(|cell| cell.map(of)).collect();
        let is_single = cells.iter().flatten().all(|cell| cell.min == cell.max);
        let (mean, min, max) =
            (column(|cell| cell.mean), column(|cell| cell.min), column(|cell| cell.max));
        if is_single { Self { mean, ..Self::default() } } else { Self { mean, min, max } }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A record each second, whose figure is its second and in whose 1,000th of a thousand there is a peak.
    fn run(from: u64, records: u64) -> History {
        let mut history = History::default();
        add(&mut history, from, records);
        history
    }

    fn add(history: &mut History, from: u64, records: u64) {
        for second in from..from + records {
            let peak = if second % 1_000 == 999 { 5.0 } else { 1.0 };
            let values = [("second", second as f64), ("peak", peak)];
            history.push(second as f64, 1e9 + second as f64, values);
        }
    }

    fn all(history: &History) -> HistoryView {
        history.view(None, BUCKETS, |_| true)
    }

    #[test]
    fn what_is_short_is_kept_as_it_is() {
        let view = all(&run(0, 500));
        assert_eq!((view.bucket_seconds, view.records), (1.0, 500));
        assert_eq!(view.seconds, (0..500).map(f64::from).collect::<Vec<_>>());
        assert_eq!(view.time[499], 1e9 + 499.0);
        let second = &view.series["second"];
        assert_eq!(second.mean[17], Some(17.0));
        assert!(second.min.is_empty() && second.max.is_empty(), "one value in each bucket");
    }

    #[test]
    fn a_million_records_are_a_thousand_buckets_that_lose_no_peak_and_no_weight() {
        let history = run(0, 1_000_000);
        let view = all(&history);
        let buckets = view.seconds.len();
        assert!((256..=BUCKETS).contains(&buckets), "{buckets}");
        assert_eq!(view.bucket_seconds, 1_024.0);
        assert_eq!(view.seconds.last(), Some(&999_999.0), "up to the last record");
        let [second, peak] = ["second", "peak"].map(|name| &view.series[name]);
        assert_eq!(second.min[0], Some(0.0));
        assert_eq!(second.max[0], Some(1_023.0));
        assert_eq!(second.mean[0].unwrap().round(), 512.0);
        assert_eq!(second.max.last().unwrap().unwrap(), 999_999.0);
        // Every bucket but the shorter last one holds a peak.
        let peaks = peak.max.iter().filter(|max| **max == Some(5.0)).count();
        assert!(peaks >= buckets - 1, "{peaks} of {buckets}");
        for level in &history.levels {
            assert!(level.closed.len() <= BUCKETS, "{}", level.closed.len());
        }
        let recent = history.view(Some(600.0), BUCKETS, |name| name == "second");
        assert_eq!((recent.bucket_seconds, recent.seconds.len()), (1.0, 601));
        assert_eq!(recent.series.keys().collect::<Vec<_>>(), ["second"]);
        let rough = history.view(Some(600.0), 200, |_| true);
        assert_eq!((rough.bucket_seconds, rough.seconds.len()), (4.0, 151));
    }

    #[test]
    fn what_follows_is_as_if_it_had_been_added() {
        let mut restored = run(0, 5_000);
        let mut live = History::default();
        live.push(5_000.0, 2e9, [("new", 1.0), ("second", 5_000.0)]);
        live.push(5_001.0, 2e9, [("second", 5_001.0)]);
        restored.follow(&live);
        let mut straight = run(0, 5_000);
        straight.push(5_000.0, 2e9, [("new", 1.0), ("second", 5_000.0)]);
        straight.push(5_001.0, 2e9, [("second", 5_001.0)]);
        for seconds in [None, Some(100.0), Some(2_000.0)] {
            let [one, other] = [&restored, &straight].map(|of| of.view(seconds, 700, |_| true));
            assert_eq!(one, other);
        }
        assert_eq!(all(&straight).series["new"].mean.last().unwrap().unwrap(), 1.0);
    }

    #[test]
    fn nothing_grows_without_end() {
        let mut history = History::default();
        let names: Vec<String> = (0..2 * MOST_SERIES).map(|i| format!("figure.{i:03}")).collect();
        let values = || names.iter().map(|name| (name.as_str(), f64::NAN));
        history.push(0.0, 0.0, values());
        // A clock that jumps is no reason to lose what was there.
        history.push(1e12, 0.0, [("figure.000", 1.0)]);
        history.push(5.0, 0.0, [("figure.000", 3.0)]);
        let view = all(&history);
        assert_eq!(view.series.len(), MOST_SERIES);
        assert_eq!(view.series["figure.000"].mean, [None, Some(2.0)]);
        assert_eq!(view.series["figure.001"].mean, [None, None], "not a number");
        assert!(all(&History::default()).seconds.is_empty());
    }
}
