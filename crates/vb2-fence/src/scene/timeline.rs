// SPDX-License-Identifier: GPL-2.0-only

//! What happened when, as a plot: both flips of the scene, one above the other.

use std::path::Path;

use anyhow::{anyhow, Result};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::scene::flip::Flip;
use uapi::clock::{ms_between, Ns};
use uapi::picture::Shown;

/// The plot's size.
const SIZE: (u32, u32) = (1000, 720);

/// What is drawn on a line of its own, from the top down.
const LANES: [&str; 6] = [
    "job",
    "release fence",
    "flip",
    "poll: dma-buf",
    "poll: video node",
    "poll: sync_file",
];

/// The width of their names.
const LABELS: i32 = 140;

const JOB: RGBColor = RGBColor(0x80, 0x80, 0x80);
const FENCE: RGBColor = RGBColor(0xd0, 0x80, 0x00);
const GOOD: RGBColor = RGBColor(0x20, 0x60, 0xc0);
const BAD: RGBColor = RGBColor(0xc0, 0x20, 0x20);

type Panel<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws both.
pub fn write(off: &Flip, on: &Flip, path: &Path) -> Result<()> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    let fail = |err: &dyn std::fmt::Display| anyhow!("cannot draw {}: {err}", path.display());
    root.fill(&WHITE).map_err(|err| fail(&err))?;
    let end = last_ms(off).max(last_ms(on));
    let halves = root.split_evenly((2, 1));
    let titles = ["release fences off", "release fences on"];
    for ((area, flip), title) in halves.iter().zip([off, on]).zip(titles) {
        let caption = format!("{title}: the display shows {}", what(flip.shown));
        let mut panel: Panel<'_, '_> = ChartBuilder::on(area)
            .margin(12)
            .caption(caption, ("sans-serif", 22))
            .x_label_area_size(48)
            .y_label_area_size(LABELS)
            .build_cartesian_2d(-end * 0.02..end * 1.3, 0.0..LANES.len() as f64)
            .map_err(|err| fail(&err))?;
        panel
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .label_style(("sans-serif", 16))
            .x_label_formatter(&|ms| format!("{ms:.0}"))
            .x_desc("milliseconds from the start of the job")
            .draw()
            .map_err(|err| fail(&err))?;
        draw(&mut panel, flip, end * 0.015).map_err(|err| fail(&err))?;
        let edge = panel.as_coord_spec().get_x_range().start;
        for (lane, name) in LANES.iter().enumerate() {
            let (x, y) = panel.backend_coord(&(edge, height(lane)));
            let style = ("sans-serif", 18).into_text_style(&root);
            root.draw_text(name, &style, (x - LABELS + 10, y - 8))
                .map_err(|err| fail(&err))?;
        }
    }
    root.present().map_err(|err| fail(&err))
}

fn what(shown: Shown) -> String {
    match shown {
        Shown::Wanted => "the new picture".into(),
        Shown::Before => "the old picture".into(),
        Shown::Other(number) => format!("frame {number}"),
        Shown::Torn => "a torn picture".into(),
        Shown::Nothing => "nothing".into(),
    }
}

/// The middle of a lane.
fn height(lane: usize) -> f64 {
    (LANES.len() - lane) as f64 - 0.5
}

/// `gap`: between things and what is written beside them.
fn draw(panel: &mut Panel<'_, '_>, flip: &Flip, gap: f64) -> Result<()> {
    for bar in bars(flip) {
        let (top, bottom) = (height(bar.lane) + 0.3, height(bar.lane) - 0.3);
        let corners = [(bar.from_ms, top), (bar.to_ms, bottom)];
        panel.draw_series([Rectangle::new(corners, bar.colour.filled())])?;
        let at = (bar.to_ms + gap, height(bar.lane) + 0.15);
        panel.draw_series([text(bar.label, at)])?;
    }
    for mark in marks(flip) {
        let at = (mark.at_ms, height(mark.lane));
        panel.draw_series([TriangleMarker::new(at, 7, BLACK.filled())])?;
        let at = (mark.at_ms + gap, height(mark.lane) + 0.15);
        panel.draw_series([text(mark.label, at)])?;
    }
    Ok(())
}

fn text(what: String, at: (f64, f64)) -> Text<'static, (f64, f64), String> {
    Text::new(what, at, ("sans-serif", 17).into_font())
}

struct Bar {
    lane: usize,
    from_ms: f64,
    to_ms: f64,
    colour: RGBColor,
    label: String,
}

struct Mark {
    lane: usize,
    at_ms: f64,
    label: String,
}

fn bars(flip: &Flip) -> Vec<Bar> {
    let ms = |at: Ns| ms_between(flip.started_ns, at);
    let bar = |lane, from, to, colour, what: &str| Bar {
        lane,
        from_ms: ms(from),
        to_ms: ms(to),
        colour,
        label: format!("{what} {:.0} ms", ms(to)),
    };
    let mut bars = Vec::new();
    if let Some(end) = flip.job_end_ns() {
        bars.push(bar(0, flip.started_ns, end, JOB, "done"));
    }
    if let Some(signalled) = flip.fence_signalled_ns() {
        bars.push(bar(1, flip.started_ns, signalled, FENCE, "signalled"));
    }
    let colour = if flip.shown == Shown::Wanted {
        GOOD
    } else {
        BAD
    };
    let shown = bar(
        2,
        flip.commit_ns,
        flip.scanned_out_ns,
        colour,
        "scanned out",
    );
    bars.push(shown);
    bars
}

fn marks(flip: &Flip) -> Vec<Mark> {
    let woken = [(3, flip.dmabuf), (4, flip.video), (5, flip.sync_file)];
    let mark = |(lane, woken): (usize, Option<uapi::poll::Woken>)| {
        let at_ms = ms_between(flip.started_ns, woken?.at_ns);
        Some(Mark {
            lane,
            at_ms,
            label: format!("ready {at_ms:.0} ms"),
        })
    };
    woken.into_iter().filter_map(mark).collect()
}

/// The end of all that is drawn.
fn last_ms(flip: &Flip) -> f64 {
    let bars = bars(flip).into_iter().map(|bar| bar.to_ms);
    let marks = marks(flip).into_iter().map(|mark| mark.at_ms);
    bars.chain(marks).fold(1.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_go_down() {
        assert_eq!(height(0), 5.5);
        assert_eq!(height(LANES.len() - 1), 0.5);
    }

    #[test]
    fn every_shown_has_words() {
        assert_eq!(what(Shown::Other(7)), "frame 7");
        assert_ne!(what(Shown::Wanted), what(Shown::Before));
    }
}
