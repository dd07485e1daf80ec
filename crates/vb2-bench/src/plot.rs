// SPDX-License-Identifier: GPL-2.0-only

//! What a cycle takes, over the number of something.

use std::path::Path;

use anyhow::{anyhow, Result};
use plotters::coord::types::RangedCoordf64;
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

type Panel<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws one.
pub fn write(path: &Path, over: &str, unit: &str, lines: &[Line<'_>]) -> Result<()> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    let fail = |err: &dyn std::fmt::Display| anyhow!("cannot draw {}: {err}", path.display());
    root.fill(&WHITE).map_err(|err| fail(&err))?;
    let (mut right, mut top) = (1.0_f64, 1.0_f64);
    for (x, y) in lines.iter().flat_map(|(_, points)| points.clone()) {
        right = right.max(x);
        top = top.max(y);
    }
    let mut panel: Panel<'_, '_> = ChartBuilder::on(&root)
        .margin(12)
        .caption(format!("{unit} of a cycle"), ("sans-serif", 22))
        .x_label_area_size(48)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..right * 1.05, 0.0..top * 1.3)
        .map_err(|err| fail(&err))?;
    panel
        .configure_mesh()
        .label_style(("sans-serif", 16))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .x_desc(over)
        .draw()
        .map_err(|err| fail(&err))?;
    draw(&mut panel, lines, right, top).map_err(|err| fail(&err))?;
    root.present().map_err(|err| fail(&err))
}

/// The lines, and their names above them.
fn draw(panel: &mut Panel<'_, '_>, lines: &[Line<'_>], right: f64, top: f64) -> Result<()> {
    for (at, ((name, points), colour)) in lines.iter().zip(COLOURS).enumerate() {
        let style = colour.stroke_width(2);
        panel.draw_series([PathElement::new(points.clone(), style)])?;
        panel.draw_series(points.iter().map(|&point| Circle::new(point, 3, style)))?;
        let (x, y) = (right * 0.03, top * (1.27 - 0.07 * at as f64));
        let sample = vec![(x, y), (x + right * 0.06, y)];
        panel.draw_series([PathElement::new(sample, style)])?;
        let place = (right * 0.11, y + top * 0.02);
        let font = ("sans-serif", 16).into_font();
        panel.draw_series([Text::new((*name).to_owned(), place, font)])?;
    }
    Ok(())
}
