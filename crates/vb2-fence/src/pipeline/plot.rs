// SPDX-License-Identifier: GPL-2.0-only

//! The numbers of the ways as bars: frames a second, and beside them the times from QBUF to flip.

use std::path::Path;

use anyhow::{anyhow, Result};
use plotters::prelude::*;

use crate::pipeline::args::Way;
use crate::pipeline::judge::Numbers;

const SIZE: (u32, u32) = (1000, 400);
const RATE: RGBColor = RGBColor(0x20, 0x60, 0xc0);
const MEDIAN: RGBColor = RGBColor(0xd0, 0x80, 0x00);
const LATE: RGBColor = RGBColor(0x80, 0x80, 0x80);

/// What a way's bars have in common: the colour, and how long one is.
type Bar = (RGBColor, fn(&Numbers) -> f64);

/// A caption, and the bars of each way.
const PANELS: [(&str, &[Bar]); 2] = [
    ("frames a second", &[(RATE, |n| n.frames_per_second)]),
    (
        "QBUF to flip, ms: median, 99th percentile",
        &[(MEDIAN, |n| n.median_ms), (LATE, |n| n.percentile_99_ms)],
    ),
];

/// Draws them.
pub fn write(ways: &[(Way, Numbers)], path: &Path) -> Result<()> {
    let fail = |err: &dyn std::fmt::Display| anyhow!("cannot draw {}: {err}", path.display());
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(|err| fail(&err))?;
    for (area, (caption, bars)) in root.split_evenly((1, PANELS.len())).iter().zip(PANELS) {
        panel(area, caption, bars, ways).map_err(|err| fail(&err))?;
    }
    root.present().map_err(|err| fail(&err))
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    caption: &str,
    bars: &[Bar],
    ways: &[(Way, Numbers)],
) -> Result<()> {
    let all = ways.iter();
    let all = all.flat_map(|(_, numbers)| bars.iter().map(|(_, number)| number(numbers)));
    let highest = all.fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(caption, ("sans-serif", 20))
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..ways.len() as f64, -highest * 0.1..highest * 1.1)?;
    let mesh = &mut chart.configure_mesh();
    mesh.disable_mesh().x_labels(0).draw()?;
    let text = |what: String, at| Text::new(what, at, ("sans-serif", 17).into_font());
    for (at, (way, numbers)) in ways.iter().enumerate() {
        let (left, wide) = (at as f64 + 0.15, 0.7 / bars.len() as f64);
        for (bar, (colour, number)) in bars.iter().enumerate() {
            let (from, high) = (left + wide * bar as f64, number(numbers));
            let corners = [(from, 0.0), (from + wide * 0.95, high)];
            chart.draw_series([Rectangle::new(corners, colour.filled())])?;
            chart.draw_series([text(format!("{high:.1}"), (from, high + highest * 0.06))])?;
        }
        chart.draw_series([text(way.name().to_owned(), (left, -highest * 0.03))])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_has_its_bars() {
        let numbers = |frames_per_second| Numbers {
            frames_per_second,
            median_ms: 41.5,
            percentile_99_ms: 73.25,
            ..Numbers::default()
        };
        let ways = [(Way::Dqbuf, numbers(12.5)), (Way::Explicit, numbers(24.75))];
        let name = format!("vb2-fence-test-{}-svg", std::process::id());
        let path = std::env::temp_dir().join(name);
        write(&ways, &path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        for word in ["dqbuf", "explicit", "12.5", "24.8", "41.5", "73.2"] {
            assert!(svg.contains(word), "{word}");
        }
        assert_eq!(svg.matches(r##"fill="#D08000""##).count(), 2);
        let err = write(&ways, Path::new("/nonexistent/x.svg")).unwrap_err();
        assert!(err.to_string().contains("cannot draw /nonexistent/x.svg"));
    }
}
