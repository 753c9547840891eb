//! A chart as SVG inside the page, coloured by the page's style so that it follows light, dark and print.

use std::fmt::Write as _;

use super::axis::{Axis, label};
use super::curves::{Curve, Point};
use super::html::escaped;

/// Colours and dashes that the page's style defines.
pub(super) const STYLES: usize = 6;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 40.0;

/// A curve with its name.
pub(super) struct Line<'a> {
    pub(super) name: String,
    pub(super) curve: &'a Curve,
}

/// Draws curves on the same axes, with their names and last values below.
pub(super) fn figure(title: &str, lines: &[Line], is_logarithmic: bool, over_time: bool) -> String {
    let x_of = |point: &Point| if over_time { point.seconds } else { point.generated };
    let points = || lines.iter().flat_map(|line| &line.curve.points);
    let x_axis = Axis::over(points().map(x_of), false, (LEFT, WIDTH - RIGHT));
    let values = points().flat_map(|point| [point.low, point.high]);
    let y_axis = Axis::over(values, is_logarithmic, (HEIGHT - BOTTOM, TOP));
    let mut body = String::new();
    axes(&mut body, &x_axis, &y_axis, if over_time { "seconds" } else { "trajectories" });
    for (i, line) in lines.iter().enumerate() {
        draw(&mut body, line.curve, i % STYLES, x_of, &x_axis, &y_axis);
    }
    let keys: String = lines.iter().enumerate().map(|(i, line)| key(i % STYLES, line)).collect();
    let title = escaped(title);
    format!(
        "<figure>\n<figcaption>{title}</figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n{body}</svg>\n\
         <ul class=\"keys\">{keys}</ul>\n</figure>\n"
    )
}

fn key(style: usize, line: &Line) -> String {
    let last = line.curve.points.last().map(Point::mean);
    let last = last.map(|value| format!(" <b>{}</b>", crate::display::short(value)));
    format!(
        "<li><svg class=\"key\" viewBox=\"0 0 26 8\" aria-hidden=\"true\">\
         <path class=\"line s{style}\" d=\"M0 4H26\"/></svg> {}{}</li>",
        escaped(&line.name),
        last.unwrap_or_default()
    )
}

// Writing to a String cannot fail, here and below.
fn axes(body: &mut String, x_axis: &Axis, y_axis: &Axis, x_label: &str) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for tick in x_axis.ticks() {
        let (x, text) = (x_axis.pixel(tick), label(tick));
        let _ = writeln!(body, "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>");
        let y = bottom + 15.0;
        let _ = writeln!(body, "<text class=\"middle\" x=\"{x:.1}\" y=\"{y}\">{text}</text>");
    }
    for tick in y_axis.ticks() {
        let (y, text) = (y_axis.pixel(tick), label(tick));
        let _ = writeln!(body, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>");
        let (x, y) = (LEFT - 6.0, y + 4.0);
        let _ = writeln!(body, "<text class=\"end\" x=\"{x}\" y=\"{y:.1}\">{text}</text>");
    }
    let _ = writeln!(body, "<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>");
    let (middle, y) = ((LEFT + right) / 2.0, HEIGHT - 8.0);
    let _ = writeln!(body, "<text class=\"middle\" x=\"{middle}\" y=\"{y}\">{x_label}</text>");
}

/// The band from the least to the largest, the means as a line.
fn draw(
    body: &mut String,
    curve: &Curve,
    style: usize,
    x_of: impl Fn(&Point) -> f64,
    x_axis: &Axis,
    y_axis: &Axis,
) {
    for piece in pieces(&curve.points, &x_of, y_axis) {
        let x = |point: &Point| x_axis.pixel(x_of(point));
        let low = |point: &Point| Some(y_axis.pixel(point.low)).filter(|y| y.is_finite());
        let above = piece.iter().map(|point| (x(point), y_axis.pixel(point.high)));
        let floor = HEIGHT - BOTTOM;
        let below = piece.iter().rev().map(|point| (x(point), low(point).unwrap_or(floor)));
        if piece.iter().any(|point| point.high > point.low) {
            let band = path(above.chain(below));
            let _ = writeln!(body, "<path class=\"band s{style}\" d=\"{band}Z\"/>");
        }
        let means = path(piece.iter().map(|point| (x(point), y_axis.pixel(point.mean()))));
        // A single point shows as a dot: its line has round ends.
        let (end, dot) = if piece.len() == 1 { ("h0", "dot ") } else { ("", "") };
        let _ = writeln!(body, "<path class=\"line {dot}s{style}\" d=\"{means}{end}\"/>");
    }
}

/// Stretches that go forward and can be drawn: a learner that died went back to its last checkpoint.
fn pieces<'a>(
    points: &'a [Point],
    x_of: impl Fn(&Point) -> f64,
    y_axis: &Axis,
) -> Vec<Vec<&'a Point>> {
    let mut pieces: Vec<Vec<&Point>> = Vec::new();
    let mut is_open = false;
    for point in points {
        let can_be_drawn = y_axis.pixel(point.mean()).is_finite() && x_of(point).is_finite();
        let piece = pieces.last_mut().filter(|_| is_open);
        is_open = can_be_drawn;
        match piece {
            _ if !can_be_drawn => {}
            Some(piece) if piece.last().is_some_and(|last| x_of(last) <= x_of(point)) => {
                piece.push(point);
            }
            _ => pieces.push(vec![point]),
        }
    }
    pieces
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (i, (x, y)) in points.enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_that_goes_back_or_cannot_be_drawn_is_drawn_in_pieces() {
        let mut curve = Curve::default();
        for (x, y) in [(1.0, 2.0), (2.0, 1.0), (1.5, 1.5), (3.0, 0.0), (4.0, 1.0)] {
            curve.push(x, 0.0, y);
        }
        let svg = figure("Loss", &[Line { name: "loss".to_owned(), curve: &curve }], true, false);
        assert_eq!(svg.matches("s0\" d=\"M").count(), 4, "a key, three pieces\n{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(svg.contains("<b>1.000</b>"), "{svg}");
    }

    #[test]
    fn names_of_others_are_text() {
        let curve = Curve::default();
        let name = "</svg><script>alert(1)</script>\" onload=\"x".to_owned();
        let svg = figure(&name, &[Line { name: name.clone(), curve: &curve }], false, true);
        assert!(!svg.contains("<script") && !svg.contains("\" onload"), "{svg}");
    }
}
