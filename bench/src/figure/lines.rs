//! Curves with the range of several seeds, in panels.

use super::{Anchor, Axis, COLOURS, GRID, INK, Pen, Scale, Svg};

/// A curve: at each x the values of all seeds.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, Vec<f64>)>,
}

/// Curves on the same axes.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    pub(crate) x_scale: Scale,
    pub(crate) y_scale: Scale,
    pub(crate) series: Vec<Series>,
}

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 52.0;
const LEGEND_ROW: f64 = 17.0;

/// More panels than this are drawn in rows of two.
const ONE_ROW: usize = 3;

/// Draws panels in rows: the mean of the seeds as a line, from the least to the largest as a band.
/// Curves of the same name have the same colour, and dashes once colours come again; the legend below is
/// that of the first panel.
pub(crate) fn draw(panels: &[Panel]) -> String {
    let columns = if panels.len() > ONE_ROW { 2 } else { panels.len().max(1) };
    let below = HEIGHT * panels.len().div_ceil(columns) as f64;
    let legend_rows = panels.first().map_or(0, |panel| panel.series.len().div_ceil(2 * columns));
    let height = below + LEGEND_ROW * legend_rows as f64 + 8.0;
    let mut svg = Svg::new(WIDTH * columns as f64, height);
    for (i, panel) in panels.iter().enumerate() {
        panel.draw(&mut svg, (WIDTH * (i % columns) as f64, HEIGHT * (i / columns) as f64));
    }
    if let Some(panel) = panels.first() {
        legend(&mut svg, &panel.series, 2 * columns, below);
    }
    svg.finish()
}

fn legend(svg: &mut Svg, series: &[Series], columns: usize, top: f64) {
    for (i, Series { name, .. }) in series.iter().enumerate() {
        let x = LEFT + (i % columns) as f64 * WIDTH / 2.0;
        let y = top + LEGEND_ROW * (i / columns) as f64 + 4.0;
        svg.polyline(&[(x, y), (x + 22.0, y)], pen(i), 2.5);
        svg.text((x + 28.0, y + 4.0), Anchor::Start, 12.0, name);
    }
}

/// How the curve at this place is drawn.
fn pen(place: usize) -> Pen {
    Pen { colour: COLOURS[place % COLOURS.len()], is_dashed: place >= COLOURS.len() }
}

impl Panel {
    fn draw(&self, svg: &mut Svg, (left, top): (f64, f64)) {
        let (x_from, x_to) = (left + LEFT, left + WIDTH - RIGHT);
        let (y_from, y_to) = (top + HEIGHT - BOTTOM, top + TOP);
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x_axis = Axis::over(points().map(|point| point.0), self.x_scale, (x_from, x_to));
        let values = points().flat_map(|point| point.1.iter().copied());
        let y_axis = Axis::over(values, self.y_scale, (y_from, y_to));
        for tick in x_axis.ticks() {
            let x = x_axis.pixel(tick);
            svg.line((x, y_from), (x, y_to), GRID, 1.0);
            svg.text((x, y_from + 16.0), Anchor::Middle, 11.0, &Axis::label(tick));
        }
        for tick in y_axis.ticks() {
            let y = y_axis.pixel(tick);
            svg.line((x_from, y), (x_to, y), GRID, 1.0);
            svg.text((x_from - 6.0, y + 4.0), Anchor::End, 11.0, &Axis::label(tick));
        }
        svg.frame((x_from, y_to), (x_to - x_from, y_from - y_to), INK);
        let middle = (x_from + x_to) / 2.0;
        svg.text((middle, y_to - 12.0), Anchor::Middle, 13.0, &self.title);
        svg.text((middle, y_from + 36.0), Anchor::Middle, 12.0, &self.x_label);
        let y_middle = (y_from + y_to) / 2.0;
        svg.turned_text((left + 14.0, y_middle), Anchor::Middle, 12.0, -90.0, &self.y_label);
        for (i, series) in self.series.iter().enumerate() {
            series.draw(svg, &x_axis, &y_axis, pen(i));
        }
    }
}

impl Series {
    fn draw(&self, svg: &mut Svg, x_axis: &Axis, y_axis: &Axis, pen: Pen) {
        let line = |value: fn(&[f64]) -> f64| -> Vec<(f64, f64)> {
            let points = self.points.iter().filter(|(_, values)| !values.is_empty());
            let pixels = points.map(|(x, values)| (x_axis.pixel(*x), y_axis.pixel(value(values))));
            pixels.filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
        };
        let least = line(|values| values.iter().copied().fold(f64::INFINITY, f64::min));
        let largest = line(|values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        let outline: Vec<_> = least.into_iter().chain(largest.into_iter().rev()).collect();
        svg.area(&outline, pen.colour);
        let mean = line(|values| values.iter().sum::<f64>() / values.len() as f64);
        svg.polyline(&mean, pen, 2.0);
    }
}
