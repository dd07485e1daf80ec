// SPDX-License-Identifier: GPL-2.0-only

//! The command line of the scene.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// The device that writes the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProducerKind {
    /// rockchip-rga: copies a picture of 32 bits per pixel.
    Rga,
    /// hantro, whose NV12 rockchip-rga converts for the display.
    Vpu,
    /// vim2m, which writes first and waits afterwards: shows the order, but never an old picture.
    Vim2m,
}

impl ProducerKind {
    /// Whether its device can leave the old picture in the buffer while its job runs.
    pub fn writes_last(self) -> bool {
        self != Self::Vim2m
    }
}

/// What `--help` and the man page say of the command.
pub const LONG: &str = "\
Put a picture that a device is still writing on a display (vkms) and look at what
the display shows.

The buffer is green at first. While the device works on it, the buffer goes to the primary plane of
vkms by a non-blocking atomic commit, as a compositor would do it; vkms' writeback connector says
what was scanned out. Without release fences that is the green of before. With them the commit waits
for the picture.

With --output it is done once with release fences off and once on, with a picture that one can
look at and a timeline of what happened when. Then a slow reader, which has a fence on the buffer,
reads a picture while the buffer is queued for the next one: without acquire fences the device
writes at once, and the reader gets parts of two pictures; with them the job waits for the reader.
With --frames it is done many times, with the driver's parameter release_fences as it is, and
pictures that were not the right ones are counted.";

/// Arguments of `vb2-fence scene`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vb2-fence scene --output scene
  vb2-fence scene --frames 1000
  vb2-fence scene --frames 200 --both --json flips.json

Files in DIR: scene-off.png and scene-on.png (what was scanned out), scene.svg (the timeline),
scene.json, scene.txt; reader-off.png and reader-on.png (left: what was in the buffer when the
reader began, right: what it read), reader.svg, reader.json, reader.txt.

Exit status: 0 every line is right, 1 a line is wrong, 2 the scene could not be made.")]
pub struct SceneArgs {
    /// Make both scenes once, off and on, and write their files to DIR.
    #[arg(long, value_name = "DIR", required_unless_present = "frames")]
    pub output: Option<PathBuf>,

    /// Flip N buffers that rockchip-rga is writing, and count the wrong pictures.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub frames: Option<u32>,

    /// With --output: so many more pictures are read with each kind of fence, and the torn ones
    /// counted.
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000), requires = "output")]
    pub readings: u32,

    /// With --frames: N flips with release fences off, then N with them on.
    #[arg(long, requires = "frames")]
    pub both: bool,

    /// With --frames: write the counts, and all that was seen of each flip, as JSON to FILE.
    #[arg(long, value_name = "FILE", requires = "frames")]
    pub json: Option<PathBuf>,

    /// The device that writes the picture.
    #[arg(long, value_enum, default_value_t = ProducerKind::Rga)]
    pub producer: ProducerKind,

    /// How long a job takes, in milliseconds; the decoder's one half more, that beside the slow
    /// reader, which reads for so long, a quarter. The drivers' watchdogs end jobs of 2 seconds
    /// [default: 1000 for the scenes, 150 for --frames].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(10..=1_500))]
    pub job_ms: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        scene: SceneArgs,
    }

    #[test]
    fn something_has_to_be_done() {
        let parse = |args: &[&str]| Only::try_parse_from([&["scene"], args].concat());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--both", "--output", "x"]).is_err());
        assert!(parse(&["--frames", "0"]).is_err());
        assert!(parse(&["--frames", "3", "--job-ms", "5"]).is_err());
        let scene = parse(&["--frames", "3", "--both"]).unwrap().scene;
        assert_eq!((scene.frames, scene.both), (Some(3), true));
        let scene = parse(&["--output", "x"]).unwrap().scene;
        assert_eq!((scene.producer, scene.frames), (ProducerKind::Rga, None));
        assert_eq!(scene.readings, 10);
        assert!(parse(&["--output", "x", "--readings", "0"]).is_err());
        assert!(parse(&["--frames", "3", "--readings", "3"]).is_err());
    }
}
