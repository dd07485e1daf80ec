// SPDX-License-Identifier: GPL-2.0-only

//! The command line of the compositor's loop.

use clap::{Args, ValueEnum};
use serde::Serialize;

/// What waits until a picture is ready, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// The client: it hands a picture over when the video node has returned it. Right without release
    /// fences too, but nothing overlaps.
    Client,
    /// The compositor, as KWin does: EXPORT_SYNC_FILE and poll() on that.
    SyncFile,
    /// The compositor, by poll() on the dma-buf.
    DmaBuf,
    /// The kernel: the picture goes to the display at once, and the flip waits.
    Kernel,
}

/// What `--help` and the man page say of the command.
pub const LONG: &str = "\
Be a small compositor: take pictures that rockchip-rga is writing from a client, wait for them, show
them on a display (vkms), and give them back.

The client is a thread of its own and talks to the compositor by a socket, as with Wayland, so that
strace without -f sees the system calls of the compositor's loop and nothing else. Each picture goes
to the display in a non-blocking atomic commit; the time of the flip says whether the job was over.";

/// Arguments of `vb2-fence compositor`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vb2-fence compositor --frames 100 --wait sync-file
  strace -c vb2-fence compositor --frames 100 --wait kernel

Exit status: 0 no picture was shown before its job's end, 1 some were, 2 it could not be done.")]
pub struct CompositorArgs {
    /// How many pictures.
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub frames: u32,

    /// What waits for a picture, and how.
    #[arg(long, value_enum, default_value_t = Wait::SyncFile)]
    pub wait: Wait,

    /// How long an emulated job takes, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 150,
          value_parser = clap::value_parser!(u32).range(10..=1_500))]
    pub job_ms: u32,

    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}
