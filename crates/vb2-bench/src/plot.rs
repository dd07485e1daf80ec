// SPDX-License-Identifier: GPL-2.0-only

//! What a cycle takes, over the number of something.

use std::path::Path;

use anyhow::{anyhow, Result};
use plotters::prelude::*;

/// A variant, and its points.
pub type Line<'a> = (&'a str, Vec<(f64, f64)>);

/// The plot's size.
const SIZE: (u32, u32) = (800, 500);

/// One for each line.
const COLOURS: [RGBColor; 4] = [
    RGBColor(0x80, 0x80, 0x80),
    RGBColor(0x20, 0x90, 0x40),
    RGBColor(0xd0, 0x80, 0x00),
    RGBColor(0x20, 0x60, 0xc0),
];

/// Draws one.
pub fn write(path: &Path, over: &str, unit: &str, lines: &[Line<'_>]) -> Result<()> {
    draw(path, over, unit, lines).map_err(|err| anyhow!("cannot draw {}: {err}", path.display()))
}

fn draw(
    path: &Path,
    over: &str,
    unit: &str,
    lines: &[Line<'_>],
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let points = lines.iter().flat_map(|(_, points)| points);
    let (right, top) = points.fold((1.0_f64, 1.0_f64), |(right, top), &(x, y)| {
        (right.max(x), top.max(y))
    });
    let mut panel = ChartBuilder::on(&root)
        .margin(12)
        .caption(format!("{unit} of a cycle"), ("sans-serif", 22))
        .x_label_area_size(48)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..right * 1.05, 0.0..top * 1.3)?;
    panel
        .configure_mesh()
        .label_style(("sans-serif", 16))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .x_desc(over)
        .draw()?;
    for ((name, points), colour) in lines.iter().zip(COLOURS) {
        let style = colour.stroke_width(2);
        let line = LineSeries::new(points.clone(), style).point_size(3);
        panel
            .draw_series(line)?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    }
    panel
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 16))
        .draw()?;
    root.present()?;
    Ok(())
}
