// SPDX-License-Identifier: GPL-2.0-only

//! What happened when, as plots: that of one half above that of the other.

use std::path::Path;

use anyhow::{anyhow, Result};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::scene::flip::Flip;
use crate::scene::reading::Reading;
use crate::scene::saw::Saw;
use uapi::clock::{ms_between, Ns};
use uapi::picture::Shown;

/// The plot's size.
const SIZE: (u32, u32) = (1000, 720);

/// The width of the lanes' names.
const LABELS: i32 = 140;

const JOB: RGBColor = RGBColor(0x80, 0x80, 0x80);
const FENCE: RGBColor = RGBColor(0xd0, 0x80, 0x00);
const GOOD: RGBColor = RGBColor(0x20, 0x60, 0xc0);
const BAD: RGBColor = RGBColor(0xc0, 0x20, 0x20);

type Panel<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// What happened in one half.
#[derive(Debug)]
pub struct Plot {
    caption: String,
    /// What is drawn on a line of its own, from the top down.
    lanes: &'static [&'static str],
    bars: Vec<Bar>,
    marks: Vec<Mark>,
}

/// Something that took time.
#[derive(Debug)]
struct Bar {
    lane: usize,
    from_ms: f64,
    to_ms: f64,
    colour: RGBColor,
    label: String,
}

/// Something that happened.
#[derive(Debug)]
struct Mark {
    lane: usize,
    at_ms: f64,
    label: String,
}

/// Draws both; `x` says what the times are from.
pub fn write(plots: &[Plot; 2], x: &str, path: &Path) -> Result<()> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    let fail = |err: &dyn std::fmt::Display| anyhow!("cannot draw {}: {err}", path.display());
    root.fill(&WHITE).map_err(|err| fail(&err))?;
    let end = plots.iter().map(Plot::last_ms).fold(1.0, f64::max);
    for (area, plot) in root.split_evenly((2, 1)).iter().zip(plots) {
        let mut panel: Panel<'_, '_> = ChartBuilder::on(area)
            .margin(12)
            .caption(&plot.caption, ("sans-serif", 22))
            .x_label_area_size(48)
            .y_label_area_size(LABELS)
            .build_cartesian_2d(-end * 0.02..end * 1.3, 0.0..plot.lanes.len() as f64)
            .map_err(|err| fail(&err))?;
        panel
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .label_style(("sans-serif", 16))
            .x_label_formatter(&|ms| format!("{ms:.0}"))
            .x_desc(x)
            .draw()
            .map_err(|err| fail(&err))?;
        plot.draw(&mut panel, end * 0.015)
            .map_err(|err| fail(&err))?;
        let edge = panel.as_coord_spec().get_x_range().start;
        for (lane, name) in plot.lanes.iter().enumerate() {
            let (x, y) = panel.backend_coord(&(edge, plot.height(lane)));
            let style = ("sans-serif", 18).into_text_style(&root);
            root.draw_text(name, &style, (x - LABELS + 10, y - 8))
                .map_err(|err| fail(&err))?;
        }
    }
    root.present().map_err(|err| fail(&err))
}

impl Plot {
    /// The middle of a lane.
    fn height(&self, lane: usize) -> f64 {
        (self.lanes.len() - lane) as f64 - 0.5
    }

    /// `gap`: between things and what is written beside them.
    fn draw(&self, panel: &mut Panel<'_, '_>, gap: f64) -> Result<()> {
        for bar in &self.bars {
            let middle = self.height(bar.lane);
            let corners = [(bar.from_ms, middle + 0.3), (bar.to_ms, middle - 0.3)];
            panel.draw_series([Rectangle::new(corners, bar.colour.filled())])?;
            panel.draw_series([text(&bar.label, (bar.to_ms + gap, middle + 0.15))])?;
        }
        for mark in &self.marks {
            let middle = self.height(mark.lane);
            let at = (mark.at_ms, middle);
            panel.draw_series([TriangleMarker::new(at, 7, BLACK.filled())])?;
            panel.draw_series([text(&mark.label, (mark.at_ms + gap, middle + 0.15))])?;
        }
        Ok(())
    }

    /// The end of all that is drawn.
    fn last_ms(&self) -> f64 {
        let bars = self.bars.iter().map(|bar| bar.to_ms);
        bars.chain(self.marks.iter().map(|mark| mark.at_ms))
            .fold(1.0, f64::max)
    }
}

fn text(what: &str, at: (f64, f64)) -> Text<'static, (f64, f64), String> {
    Text::new(what.to_owned(), at, ("sans-serif", 17).into_font())
}

/// A flip, from the start of its job.
pub fn of_flip(flip: &Flip, title: &str) -> Plot {
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
    let (from, to) = (flip.commit_ns, flip.scanned_out_ns);
    bars.push(bar(2, from, to, colour, "scanned out"));

    let woken = [(3, flip.dmabuf), (4, flip.video), (5, flip.sync_file)];
    let mark = |(lane, woken): (usize, Option<uapi::poll::Woken>)| {
        let at_ms = ms(woken?.at_ns);
        Some(Mark {
            lane,
            at_ms,
            label: format!("ready {at_ms:.0} ms"),
        })
    };
    Plot {
        caption: format!("{title}: the display shows {}", what(flip.shown)),
        lanes: &[
            "job",
            "release fence",
            "flip",
            "poll: dma-buf",
            "poll: video node",
            "poll: sync_file",
        ],
        bars,
        marks: woken.into_iter().filter_map(mark).collect(),
    }
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

/// A reading, from its beginning.
pub fn of_reading(reading: &Reading, title: &str) -> Plot {
    let ms = |at: Ns| ms_between(reading.begun_ns, at);
    let (qbuf, read, over) = (
        ms(reading.qbuf_ns),
        ms(reading.read_ns),
        ms(reading.job_over_ns),
    );
    // A job that was too short to be seen is a line.
    let begun = reading.job_begun_ns.map_or(over, ms);
    let whole = reading.saw == Saw::Whole;
    let got = match reading.saw {
        Saw::Whole => "its picture",
        Saw::Torn { .. } => "parts of two pictures",
        Saw::Next => "the next picture",
        Saw::Strange { .. } => "something else",
    };
    let bar = |lane, from_ms, to_ms, colour, label| Bar {
        lane,
        from_ms,
        to_ms,
        colour,
        label,
    };
    let colour = if whole { GOOD } else { BAD };
    Plot {
        caption: format!("{title}: the reader gets {got}"),
        lanes: &["reader", "its fence", "QBUF", "job"],
        bars: vec![
            bar(0, 0.0, read, colour, format!("has read it {read:.0} ms")),
            bar(1, 0.0, read, FENCE, format!("signalled {read:.0} ms")),
            bar(3, begun, over, JOB, format!("{begun:.0} to {over:.0} ms")),
        ],
        marks: vec![Mark {
            lane: 2,
            at_ms: qbuf,
            label: format!("{qbuf:.0} ms"),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_go_down() {
        let plot = Plot {
            caption: String::new(),
            lanes: &["one", "two"],
            bars: Vec::new(),
            marks: Vec::new(),
        };
        assert_eq!((plot.height(0), plot.height(1)), (1.5, 0.5));
        assert_eq!(plot.last_ms(), 1.0);
    }

    #[test]
    fn every_shown_has_words() {
        assert_eq!(what(Shown::Other(7)), "frame 7");
        assert_ne!(what(Shown::Wanted), what(Shown::Before));
    }
}
