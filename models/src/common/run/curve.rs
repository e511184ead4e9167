//! The learning curve of a run as a picture: the deciding metric and the loss over epochs.

use super::atomic::{SaveError, save};
use super::directory::Record;
use plotters::prelude::*;
use serde_json::Value;
use std::ops::Range;
use std::path::Path;

const SIZE: (u32, u32) = (800, 480);

/// Draws the evaluations of a run as SVG.
pub fn learning_curve(
    path: &Path,
    system: &str,
    metric: &str,
    evaluations: &[Record],
) -> Result<(), SaveError> {
    let svg = draw(system, metric, evaluations).map_err(|what| SaveError {
        path: path.to_path_buf(),
        source: std::io::Error::other(format!("the learning curve cannot be drawn: {what}")),
    })?;
    save(path, svg.as_bytes())
}

fn draw(system: &str, metric: &str, evaluations: &[Record]) -> Result<String, String> {
    let (quality, loss) = (points(evaluations, metric), points(evaluations, "loss"));
    let epochs = 0.0..quality.iter().chain(&loss).map(|p| p.0).fold(1.0, f64::max);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let text = |e: DrawingAreaErrorKind<_>| e.to_string();
        area.fill(&WHITE).map_err(text)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .caption(format!("{system}: {metric} and loss"), ("sans-serif", 20))
            .x_label_area_size(36)
            .y_label_area_size(60)
            .right_y_label_area_size(60)
            .build_cartesian_2d(epochs.clone(), range(&quality))
            .map_err(text)?
            .set_secondary_coord(epochs, range(&loss));
        chart.configure_mesh().x_desc("epoch").y_desc(metric).draw().map_err(text)?;
        chart.configure_secondary_axes().y_desc("loss").draw().map_err(text)?;
        chart
            .draw_series(LineSeries::new(quality, BLUE.stroke_width(2)))
            .map_err(text)?
            .label(metric)
            .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], BLUE));
        chart
            .draw_secondary_series(LineSeries::new(loss, RED.stroke_width(1)))
            .map_err(text)?
            .label("loss")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], RED));
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()
            .map_err(text)?;
        area.present().map_err(text)?;
    }
    Ok(svg)
}

fn points(evaluations: &[Record], name: &str) -> Vec<(f64, f64)> {
    let number = |r: &Record, key: &str| r.get(key).and_then(Value::as_f64);
    evaluations.iter().filter_map(|r| Some((number(r, "epoch")?, number(r, name)?))).collect()
}

/// The values with a margin, never empty.
fn range(points: &[(f64, f64)]) -> Range<f64> {
    let low = points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        return 0.0..1.0;
    }
    let margin = (0.05 * (high - low)).max(1e-3 * high.abs()).max(1e-9);
    low - margin..high + margin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u32, recall: f64) -> Record {
        let numbers = [("epoch", f64::from(epoch)), ("recall@20", recall), ("loss", 1.0 / f64::from(epoch))];
        numbers.into_iter().map(|(k, v)| (k.to_string(), v.into())).collect()
    }

    #[test]
    fn any_number_of_evaluations_gives_a_picture() {
        let all: Vec<Record> = (1..5).map(|e| record(e, 0.1 * f64::from(e))).collect();
        for n in 0..all.len() {
            let svg = draw("mf", "recall@20", &all[..n]).unwrap();
            assert!(svg.trim_end().ends_with("</svg>") && svg.contains("recall@20"), "{n}");
            assert!(n < 2 || svg.contains("<polyline"), "no line for {n} evaluations");
        }
    }
}
