//! A grid of small panels: dots against the diagonal.

use super::{Anchor, COLOURS, GRID, INK, Svg};

/// One small panel: dots (x, y), which should lie on the diagonal.
#[derive(Clone)]
pub(crate) struct Panel {
    pub(crate) points: Vec<(f64, f64)>,
    /// Below the panel.
    pub(crate) caption: String,
    pub(crate) looks_right: bool,
}

/// A row of panels; none where there is nothing to draw.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) panels: Vec<Option<Panel>>,
}

/// Rows below the names of their columns.
pub(crate) struct Grid<'a> {
    pub(crate) title: &'a str,
    pub(crate) x_label: &'a str,
    pub(crate) y_label: &'a str,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

const SIDE: f64 = 66.0;
const GAP: f64 = 8.0;
const CAPTION: f64 = 13.0;
/// About the width of a letter of a row's name.
const LETTER: f64 = 6.2;
const TOP: f64 = 136.0;
const BOTTOM: f64 = 30.0;
const RIGHT: f64 = 60.0;
/// Most dots of a panel: more would only make the file large.
const MOST_DOTS: usize = 160;

impl Grid<'_> {
    /// The figure.
    pub(crate) fn draw(&self) -> String {
        let longest = self.rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
        let left = 24.0 + LETTER * longest as f64;
        let width = left + (SIDE + GAP) * self.columns.len() as f64 + RIGHT;
        let height = TOP + (SIDE + GAP + CAPTION) * self.rows.len() as f64 + BOTTOM;
        let mut svg = Svg::new(width.max(620.0), height);
        svg.text((12.0, 22.0), Anchor::Start, 15.0, self.title);
        let axes = format!(
            "in each panel: across {}, up {}; on the line both agree",
            self.x_label, self.y_label
        );
        svg.text((12.0, 40.0), Anchor::Start, 11.5, &axes);
        for (column, name) in self.columns.iter().enumerate() {
            let x = left + (SIDE + GAP) * column as f64 + SIDE / 2.0;
            svg.turned_text((x, TOP - 8.0), Anchor::Start, 11.0, -38.0, name);
        }
        for (i, row) in self.rows.iter().enumerate() {
            let y = TOP + (SIDE + GAP + CAPTION) * i as f64;
            svg.text((left - 10.0, y + SIDE / 2.0 + 4.0), Anchor::End, 11.5, &row.name);
            for (column, panel) in row.panels.iter().enumerate() {
                if let Some(panel) = panel {
                    panel.draw(&mut svg, (left + (SIDE + GAP) * column as f64, y));
                }
            }
        }
        svg.finish()
    }
}

impl Panel {
    /// The same range on both axes, that of x with some room: what lies outside is at the edge.
    fn draw(&self, svg: &mut Svg, (left, top): (f64, f64)) {
        let colour = if self.looks_right { COLOURS[0] } else { COLOURS[1] };
        let xs = || self.points.iter().map(|point| point.0).filter(|x| x.is_finite());
        let (low, high) =
            (xs().fold(f64::INFINITY, f64::min), xs().fold(f64::NEG_INFINITY, f64::max));
        let room = (0.15 * (high - low)).max(0.5);
        let share = |value: f64| ((value - low + room) / (high - low + 2.0 * room)).clamp(0.0, 1.0);
        svg.line((left, top + SIDE), (left + SIDE, top), GRID, 1.5);
        svg.frame((left, top), (SIDE, SIDE), if self.looks_right { INK } else { colour });
        let step = self.points.len().div_ceil(MOST_DOTS).max(1);
        let dots: Vec<_> = self
            .points
            .iter()
            .step_by(step)
            .map(|&(x, y)| (left + SIDE * share(x), top + SIDE * (1.0 - share(y))))
            .collect();
        svg.dots(&dots, colour, 3.0);
        svg.text((left + SIDE / 2.0, top + SIDE + 10.0), Anchor::Middle, 9.0, &self.caption);
    }
}
