// SPDX-License-Identifier: GPL-2.0-only

//! The command line of the pipeline.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

/// When a picture goes on to the next device, and its buffer back to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// When the program has dequeued it from the device that works on it.
    Dqbuf,
    /// As soon as the job of that device has started: its fence is in the dma-buf then.
    Implicit,
    /// At the same time, but with the fence as a descriptor, which the next device is given.
    Explicit,
}

impl Way {
    /// All of them, that which the others are compared with first.
    pub const ALL: [Self; 3] = [Self::Dqbuf, Self::Implicit, Self::Explicit];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dqbuf => "dqbuf",
            Self::Implicit => "implicit",
            Self::Explicit => "explicit",
        }
    }
}

/// The device that makes the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// The decoder hantro, emulated.
    Hantro,
    /// vim2m, which copies.
    Vim2m,
    /// vivid, a camera.
    Vivid,
    /// A camera whose pictures the display shows as they are: one that gives out-fences, else vivid.
    Capture,
}

impl SourceKind {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hantro => "hantro",
            Self::Vim2m => "vim2m",
            Self::Vivid => "vivid",
            Self::Capture => "capture",
        }
    }
}

/// What `--help` and the man page say of the command.
pub const LONG: &str = "\
Decode pictures (hantro), convert them (rockchip-rga) and show them (vkms), in
buffers that all devices share, and measure how long that takes.

Each picture is handed on in three ways. With dqbuf it is dequeued from one device before it is
queued to the next one, as programs do today. With implicit it is queued to rockchip-rga while
hantro still writes it, and committed to the display while rockchip-rga does; a buffer goes back to
hantro while rockchip-rga still reads it. An event tells when a job has started. Then the kernel
keeps the order, by the release and acquire fences in the dma-bufs. With explicit the program hands
on the fences as well: VIDIOC_EXPFENCE gives that of a job, QBUF and the atomic commit take it, and
the commit gives one for the buffer that was shown before, which goes back to rockchip-rga at once.

With --source capture a camera's pictures go to the display as they are. If its queue gives
out-fences, explicit takes the fence of a picture from QBUF, and needs no event: the picture is
committed before the camera begins with it, and the buffer that was shown before is queued with the
fence of that commit.

System calls are those that the kernel counted in the program's thread, without those for
checksums.

Checksums of what the display scanned out say whether the order was right.";

/// Arguments of `vb2-fence pipeline`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vb2-fence pipeline
  vb2-fence pipeline --frames 1000 --way implicit --json pipeline.json
  vb2-fence pipeline --source vivid --buffers 2
  vb2-fence pipeline --source capture --way explicit --check 1

Exit status: 0 every picture was shown and right, 1 one was not, 2 it could not be set up.")]
pub struct PipelineArgs {
    /// How many pictures to show, for each way.
    #[arg(long, value_name = "N", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub frames: u32,

    /// How many buffers each queue has. One of the last queue is on the display.
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(2..=32))]
    pub buffers: u32,

    /// One way only [default: all].
    #[arg(long, value_enum)]
    pub way: Option<Way>,

    /// What makes the pictures [default: hantro if it is emulated, else vim2m].
    #[arg(long, value_enum)]
    pub source: Option<SourceKind>,

    /// How long a job takes of each device that can be told, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub job_ms: u32,

    /// Vertical blanks per second; vivid makes about as many pictures.
    #[arg(long, value_name = "N", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(1..=240))]
    pub refresh: u32,

    /// Check the pixels of every Nth picture. The display keeps it until its checksum is known.
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub check: u32,

    /// Write the numbers as JSON to FILE, too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Draw bars of frames a second, and of the times from QBUF to flip, to FILE.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}
