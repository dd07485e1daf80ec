// SPDX-License-Identifier: GPL-2.0-only

//! `vb2-fence pipeline`: a decoder, a blitter and a display that hand pictures on in dma-bufs.
//!
//! [`chain`] is the part to learn from, with [`work`]; [`source`] and [`convert`] are its devices.
//! [`direct`] is the same without a blitter. [`judge`], [`show`] and [`plot`] are about what was seen.

pub mod args;
pub mod chain;
pub mod convert;
pub mod direct;
pub mod judge;
pub mod plot;
pub mod show;
pub mod source;
pub mod work;

use anyhow::Result;
use serde::Serialize;

use crate::json::{self, Head, Output};
use crate::pipeline::args::{PipelineArgs, SourceKind, Way};
use crate::pipeline::chain::Chain;
use crate::pipeline::convert::Converter;
use crate::pipeline::direct::Direct;
use crate::pipeline::judge::{ratio, Numbers};
use crate::pipeline::source::{find_camera, Setup, Source};
use uapi::interrupt::Interrupt;
use uapi::kms::Display;

/// What one way came to.
#[derive(Debug, Serialize)]
struct OfWay<'a> {
    way: Way,
    #[serde(flatten)]
    numbers: &'a Numbers,
    ratio: Option<Ratio>,
}

/// A way as multiples of the first one.
#[derive(Debug, Serialize)]
struct Ratio {
    frames_per_second: f64,
    median_ms: f64,
    percentile_99_ms: f64,
}

impl Ratio {
    fn of(way: &Numbers, first: &Numbers) -> Self {
        Self {
            frames_per_second: ratio(way.frames_per_second, first.frames_per_second),
            median_ms: ratio(way.median_ms, first.median_ms),
            percentile_99_ms: ratio(way.percentile_99_ms, first.percentile_99_ms),
        }
    }
}

/// What the JSON has.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    head: Head,
    source: SourceKind,
    frames: u32,
    buffers: u32,
    job_ms: u32,
    refresh: u32,
    right: bool,
    ways: Vec<OfWay<'a>>,
    wrong: &'a [String],
}

/// Runs the command; says whether every picture was shown and right.
pub fn run(args: &PipelineArgs) -> Result<bool> {
    let json = args.json.as_deref().map(Output::create).transpose()?;
    let source = args.source.map_or_else(SourceKind::detect, Ok)?;
    let devices = match source {
        SourceKind::Capture => format!("{} -> vkms", find_camera()?.driver),
        _ => format!("{} -> rockchip-rga -> vkms", source.name()),
    };
    let interrupt = Interrupt::catch()?;
    let chosen = Way::ALL.into_iter();
    let chosen = chosen.filter(|&way| args.way.is_none_or(|only| only == way));
    let mut ways = Vec::new();
    for way in chosen {
        ways.push((way, go(args, source, way, &interrupt)?));
    }

    let wrong = ways.iter().flat_map(|(way, numbers)| {
        let frames = args.frames;
        numbers.complaints(*way, source, frames)
    });
    let wrong: Vec<String> = wrong.collect();
    let right = wrong.is_empty();
    let head = Head::with_program();
    let verdict = match right {
        true => "RIGHT: every picture was shown, in its order\n".to_owned(),
        false => wrong.iter().map(|why| format!("WRONG {why}\n")).collect(),
    };
    json::print_text(&format!(
        "{devices}, {} buffers a queue, Linux {}\n\n{}\n{verdict}",
        args.buffers,
        head.kernel,
        show::table(&ways)
    ))?;
    if let Some(json) = json {
        json.write(&Report {
            head,
            source,
            frames: args.frames,
            buffers: args.buffers,
            job_ms: args.job_ms,
            refresh: args.refresh,
            right,
            ways: ways
                .iter()
                .enumerate()
                .map(|(at, (way, numbers))| OfWay {
                    way: *way,
                    numbers,
                    ratio: (at > 0).then(|| Ratio::of(numbers, &ways[0].1)),
                })
                .collect(),
            wrong: &wrong,
        })?;
    }
    if let Some(svg) = &args.svg {
        plot::write(&ways, svg)?;
    }
    Ok(right)
}

/// One way, with devices that are opened for it.
fn go(args: &PipelineArgs, source: SourceKind, way: Way, interrupt: &Interrupt) -> Result<Numbers> {
    let setup = Setup {
        buffers: args.buffers,
        job_ms: args.job_ms,
        rate: args.refresh,
        way,
    };
    let (kind, source) = (source, Source::open(source, &setup)?);
    if kind == SourceKind::Capture {
        let display = Display::open(source.size, args.refresh)?;
        let mut direct = Direct::new(way, source, display, args.buffers, args.check)?;
        let shots = direct.run(args.frames, interrupt)?;
        return Ok(Numbers::of(&shots, direct.system_calls()?));
    }
    let converter = Converter::open(&source, &setup)?;
    let display = Display::open(source.size, args.refresh)?;
    let mut chain = Chain::new(way, source, converter, display, args.buffers, args.check)?;
    let shots = chain.run(args.frames, interrupt)?;
    Ok(Numbers::of(&shots, chain.system_calls()?))
}
