//! Figures as SVG, with a background of their own so that they read on light and dark pages alike.

mod axis;
pub(crate) mod lines;
pub(crate) mod scatter;

use std::fmt::Write as _;

pub(crate) use axis::{Axis, Scale};

/// Colours that people with a colour vision deficiency tell apart (Okabe and Ito 2008).
pub(crate) const COLOURS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b5b5b"];

const BACKGROUND: &str = "#ffffff";
const INK: &str = "#24292f";
const GRID: &str = "#dfe3e8";

/// A picture that is being drawn; lengths are in pixels, the origin is at the top left.
pub(crate) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// How a curve is drawn.
#[derive(Clone, Copy)]
pub(crate) struct Pen {
    pub(crate) colour: &'static str,
    pub(crate) is_dashed: bool,
}

/// Where a text is attached to its point.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
        self.put(&format!(
            r#"<path d="M{:.1} {:.1}L{:.1} {:.1}" stroke="{colour}" stroke-width="{width}" fill="none"/>"#,
            from.0, from.1, to.0, to.1
        ));
    }

    pub(crate) fn polyline(&mut self, points: &[(f64, f64)], pen: Pen, width: f64) {
        let (path, Pen { colour, is_dashed }) = (path(points), pen);
        let dashes = if is_dashed { r#" stroke-dasharray="6 4""# } else { "" };
        self.put(&format!(
            r#"<path d="{path}" stroke="{colour}" stroke-width="{width}" fill="none" stroke-linejoin="round"{dashes}/>"#
        ));
    }

    /// A filled shape, faint.
    pub(crate) fn area(&mut self, outline: &[(f64, f64)], colour: &str) {
        let path = path(outline);
        self.put(&format!(r#"<path d="{path}Z" fill="{colour}" fill-opacity="0.16"/>"#));
    }

    /// Dots of one colour in a single element: a figure may have thousands.
    pub(crate) fn dots(&mut self, points: &[(f64, f64)], colour: &str, diameter: f64) {
        let mut path = String::new();
        for (x, y) in points {
            // Writing to a String cannot fail.
            let _ = write!(path, "M{x:.1} {y:.1}h0");
        }
        self.put(&format!(
            r#"<path d="{path}" stroke="{colour}" stroke-width="{diameter}" stroke-linecap="round" stroke-opacity="0.6"/>"#
        ));
    }

    pub(crate) fn frame(&mut self, corner: (f64, f64), size: (f64, f64), colour: &str) {
        self.put(&format!(
            r#"<rect x="{:.1}" y="{:.1}" width="{:.1}" height="{:.1}" fill="none" stroke="{colour}"/>"#,
            corner.0, corner.1, size.0, size.1
        ));
    }

    pub(crate) fn text(&mut self, at: (f64, f64), anchor: Anchor, size: f64, text: &str) {
        self.turned_text(at, anchor, size, 0.0, text);
    }

    /// A text turned by so many degrees around its point.
    pub(crate) fn turned_text(
        &mut self,
        at: (f64, f64),
        anchor: Anchor,
        size: f64,
        degrees: f64,
        text: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let turn = if degrees == 0.0 {
            String::new()
        } else {
            format!(r#" transform="rotate({degrees} {:.1} {:.1})""#, at.0, at.1)
        };
        self.put(&format!(
            r#"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}" font-size="{size}"{turn}>{}</text>"#,
            at.0,
            at.1,
            escaped(text)
        ));
    }

    /// The finished file.
    pub(crate) fn finish(self) -> String {
        let Self { width, height, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" fill=\"{INK}\" \
             font-family=\"Helvetica, Arial, sans-serif\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"{BACKGROUND}\"/>\n{body}</svg>\n"
        )
    }

    fn put(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }
}

fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (i, (x, y)) in points.iter().enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
    }
    path
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
