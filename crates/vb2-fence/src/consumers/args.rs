// SPDX-License-Identifier: GPL-2.0-only

//! The command line of the consumers' table.

use std::path::PathBuf;

use clap::Args;

use crate::judge::Halves;

/// What `--help` and the man page say of the command.
pub const LONG: &str = "\
Ask what the kernel offers to consumers of a dma-buf while rockchip-rga works on
its buffers, with release and acquire fences off and on: poll() in both directions, epoll over 64
dma-bufs, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, SYNC_IOC_MERGE, SYNC_IOC_FILE_INFO, DMA_BUF_IOCTL_SYNC,
DMA_BUF_IOCTL_IMPORT_SYNC_FILE, an atomic flip of vkms, and vim2m, which imports the buffer.

Then a consumer has a fence of its own on a buffer that is queued: does the job wait for it?";

/// Arguments of `vb2-fence consumers`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vb2-fence consumers
  vb2-fence consumers --feature on --json consumers.json

Exit status: 0 every line is right, 1 a line is wrong, 2 they could not be asked.")]
pub struct ConsumersArgs {
    /// Write the lines as JSON to FILE, too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// How long a job takes, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 500,
          value_parser = clap::value_parser!(u32).range(50..=1_500))]
    pub job_ms: u32,

    /// Which half to run.
    #[arg(long, value_enum, default_value_t = Halves::Both)]
    pub feature: Halves,
}
