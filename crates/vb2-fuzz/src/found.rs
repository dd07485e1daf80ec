// SPDX-License-Identifier: GPL-2.0-only

//! What there is to call: found once, before the first input.

use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use uapi::card::Card;
use uapi::device::{job_time_control, video_nodes, Node as Found, Queue};
use uapi::kms::Display;
use uapi::picture::Size;
use uapi::publishing::Sysfs;
use uapi::stateless;
use uapi::stream::Stream;

/// The display's mode; buffers of other sizes are shown, or refused, in it.
pub const MODE: Size = Size::new(64, 64);

/// Vertical blanks per second: each costs time.
const REFRESH: u32 = 20;

/// A video node whose driver opts in.
#[derive(Debug)]
pub struct Node {
    /// Where it is.
    pub path: String,
    /// Its driver.
    pub driver: String,
    /// It takes several planes.
    pub mplane: bool,
    /// Jobs need requests, with controls in them.
    pub decoder: bool,
    /// The V4L2 types of the queues, by [`crate::grammar::Side`].
    pub types: [u32; 2],
    /// The formats, by [`crate::grammar::Side`].
    pub formats: [Vec<u32>; 2],
    /// Where requests come from.
    pub media: Option<String>,
    /// The driver's switches, for release and for acquire fences.
    pub switches: [PathBuf; 2],
    /// The control of a job's time.
    pub job_time: Option<u32>,
}

impl Node {
    fn of(found: &Found, switches: [PathBuf; 2]) -> Result<Self> {
        let stream = Stream::open(&found.path)?;
        let queues = [Queue::Output, Queue::Capture];
        let offers = queues.map(|queue| stream.offers(queue));
        ensure!(
            offers.iter().all(|offers| !offers.is_empty()),
            "{} names no formats",
            found.path.display()
        );
        let compressed = offers[0].iter().any(|offer| offer.compressed);
        let media = stateless::media_node(&found.path).ok();
        Ok(Self {
            path: found.path.display().to_string(),
            driver: found.driver.clone(),
            mplane: found.queues.mplane,
            decoder: compressed && media.is_some(),
            types: queues.map(|queue| found.queues.queue_type(queue) as u32),
            formats: offers.map(|offers| offers.iter().map(|o| o.fourcc.to_u32()).collect()),
            media: media.map(|path| path.display().to_string()),
            switches,
            job_time: job_time_control(stream.file()).ok(),
        })
    }
}

/// All of it.
#[derive(Debug)]
pub struct Everything {
    /// Video nodes.
    pub nodes: Vec<Node>,
    /// vgem's node.
    pub vgem: String,
}

impl Everything {
    /// Looks for it.
    pub fn find() -> Result<Self> {
        let mut nodes = Vec::new();
        for path in video_nodes()? {
            let found = Found::at(&path)?;
            let module = Sysfs::default().module(&path, &found.driver);
            let Some(release) = module.parameter.filter(|_| found.queues.m2m) else {
                continue;
            };
            let acquire = module.acquire_parameter.with_context(|| {
                format!(
                    "{} has no parameter acquire_fences: use a kernel with all patches",
                    found.driver
                )
            })?;
            nodes.push(Node::of(&found, [release, acquire])?);
        }
        ensure!(
            !nodes.is_empty(),
            "no driver with release fences: modprobe vim2m, on a kernel that has them"
        );
        for needed in ["/dev/dma_heap/system", "/sys/kernel/debug/sync/sw_sync"] {
            ensure!(Path::new(needed).exists(), "there is no {needed}");
        }
        Ok(Self {
            nodes,
            vgem: Card::of_driver("vgem")?.path(),
        })
    }

    /// The display, switched on until it is dropped. vkms of 6.12 can deadlock with its own timer when
    /// it is switched off, so no input does that.
    pub fn screen() -> Result<Display> {
        Display::without_checksums(MODE, REFRESH).context("vkms")
    }
}
