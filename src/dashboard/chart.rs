//! Charts as SVG: shapes only. Their texts stand beside them as HTML, which stays readable when a chart is narrow.

use std::fmt::Write as _;

use super::look::{Look, share};
use crate::history::{Point, Window};

/// The drawing's own units.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;

/// A chart with the texts of its axes.
pub(super) struct Chart {
    /// The shapes; made of numbers and words of ours, and escaped texts.
    pub(super) shapes: String,
    /// What the top edge means.
    pub(super) top: String,
    /// What the begin, the middle and the end mean.
    pub(super) times: [String; 3],
    /// In words, for those who do not see it.
    pub(super) summary: String,
}

/// When a bucket began, as short as its window allows.
pub(super) fn label(look: &Look, window: Window, time: i64) -> String {
    match window {
        Window::Hour | Window::Day => look.clock(time),
        Window::Month => look.day(time),
    }
}

/// Bytes served beside bytes over the WAN.
pub(super) fn bytes(look: &Look, window: Window, points: &[Point]) -> Chart {
    let highest = points.iter().map(|point| point.served.max(point.fetched)).max().unwrap_or(0);
    let step = WIDTH / count(points.len());
    let mut shapes = String::new();
    for (at, point) in points.iter().enumerate() {
        let left = count(at) * step;
        let title = format!(
            "{}: {} {}, {} {}",
            label(look, window, point.start),
            look.bytes(point.served),
            look.t("to desktops", "ke komputer"),
            look.bytes(point.fetched),
            look.t("over the WAN", "lewat WAN"),
        );
        let mut bar = |class: &str, part: u64, from: f64, width: f64| {
            let height = share(part, highest).unwrap_or(0.0) * HEIGHT;
            let (x, y) = (left + from * step, HEIGHT - height);
            let width = width * step;
            // Writing to a string cannot fail.
            let _ = write!(
                shapes,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
            );
        };
        bar("served", point.served, 0.1, 0.4);
        bar("wan", point.fetched, 0.5, 0.4);
        let _ = write!(
            shapes,
            "<rect class=\"over\" x=\"{left:.1}\" y=\"0\" width=\"{step:.1}\" height=\"{HEIGHT}\"><title>{title}</title></rect>"
        );
    }
    let served: u64 = points.iter().map(|point| point.served).sum();
    let fetched: u64 = points.iter().map(|point| point.fetched).sum();
    let summary = format!(
        "{}: {} {}, {} {}",
        look.t("Bytes over time", "Bita dari waktu ke waktu"),
        look.bytes(served),
        look.t("to desktops", "ke komputer"),
        look.bytes(fetched),
        look.t("over the WAN", "lewat WAN"),
    );
    Chart { shapes, top: look.bytes(highest), times: times(look, window, points), summary }
}

/// The share of requests, and of bytes, that needed no transfer.
pub(super) fn hit_rate(look: &Look, window: Window, points: &[Point]) -> Chart {
    let step = WIDTH / count(points.len());
    let mut shapes = String::new();
    let mut line = |class: &str, rate: &dyn Fn(&Point) -> Option<f64>| {
        let mut path = String::new();
        let mut drawing = false;
        for (at, point) in points.iter().enumerate() {
            // Where nothing was asked there is no rate, and the line has a gap.
            let Some(rate) = rate(point) else {
                drawing = false;
                continue;
            };
            let (x, y) = ((count(at) + 0.5) * step, HEIGHT - rate * HEIGHT);
            // A lone point shows as a dot: a line of no length with round ends.
            let next = if drawing { format!("L{x:.1} {y:.1}") } else { format!("M{x:.1} {y:.1}h0") };
            path.push_str(&next);
            drawing = true;
        }
        let _ = write!(shapes, "<path class=\"{class}\" d=\"{path}\"/>");
    };
    line("line served", &|point| share(point.hits, point.answered));
    line("line wan", &|point| share(point.from_store, point.served));
    let sum = |field: &dyn Fn(&Point) -> u64| points.iter().map(field).sum::<u64>();
    let summary = format!(
        "{}: {} {}, {} {}",
        look.t("Hit rate over time", "Tingkat hit dari waktu ke waktu"),
        look.share(sum(&|point| point.hits), sum(&|point| point.answered)),
        look.t("of requests", "dari permintaan"),
        look.share(sum(&|point| point.from_store), sum(&|point| point.served)),
        look.t("of bytes", "dari bita"),
    );
    Chart { shapes, top: "100 %".to_owned(), times: times(look, window, points), summary }
}

fn times(look: &Look, window: Window, points: &[Point]) -> [String; 3] {
    let at =
        |index: usize| points.get(index).map(|point| label(look, window, point.start)).unwrap_or_default();
    [at(0), at(points.len() / 2), at(points.len().saturating_sub(1))]
}

#[expect(clippy::cast_precision_loss, reason = "a few dozen buckets")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::super::look::tests::look;
    use super::*;
    use crate::language::Language;

    #[test]
    fn the_highest_bar_fills_the_height_and_nothing_is_no_number() {
        let look = look(Language::English);
        let points = [
            Point { served: 100, fetched: 25, answered: 4, hits: 3, from_store: 50, ..Point::default() },
            Point::default(),
        ];
        let chart = bytes(&look, Window::Hour, &points);
        assert!(chart.shapes.contains("y=\"0.0\" width=\"120.0\" height=\"120.0\""), "{}", chart.shapes);
        assert!(chart.shapes.contains("height=\"30.0\""), "{}", chart.shapes);
        let chart = hit_rate(&look, Window::Hour, &points);
        assert!(chart.shapes.contains("d=\"M150.0 30.0h0\""), "{}", chart.shapes);
        assert!(chart.summary.contains("75.0 % of requests"), "{}", chart.summary);
        let nothing = bytes(&look, Window::Day, &[]);
        assert!(!nothing.shapes.contains("NaN") && !nothing.shapes.contains("inf"), "{}", nothing.shapes);
    }
}
