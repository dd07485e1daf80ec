// SPDX-License-Identifier: GPL-2.0-only

//! What there is to call: found once, before the first input.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use drm::control::Device as _;
use drm::Device as _;
use uapi::device::{job_time_control, open, video_nodes, Node as Found, Queue};
use uapi::kms::Display;
use uapi::picture::Size;
use uapi::publishing::Sysfs;
use uapi::stateless;
use v4l2r::bindings::v4l2_fmtdesc;

use crate::grammar::Side;
use crate::sys;
use crate::video::ENUM_FMT;

/// V4L2_FMT_FLAG_COMPRESSED: the OUTPUT queue of a decoder.
const COMPRESSED: u32 = 1;

/// The display's mode; buffers of other sizes are shown, or refused, in it.
pub const MODE: Size = Size {
    width: 64,
    height: 64,
};

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
    /// The V4L2 types of the queues, by [`Side`].
    pub types: [u32; 2],
    /// The formats, by [`Side`].
    pub formats: [Vec<u32>; 2],
    /// Where requests come from.
    pub media: Option<String>,
    /// The driver's switch for release fences.
    pub switch: PathBuf,
    /// The control of a job's time.
    pub job_time: Option<u32>,
}

impl Node {
    fn of(found: &Found, switch: PathBuf) -> Result<Self> {
        let file = open(&found.path)?;
        let types =
            [Queue::Output, Queue::Capture].map(|queue| found.queues.queue_type(queue) as u32);
        let (outputs, compressed) = formats(&file, types[Side::Output as usize]);
        let (captures, _) = formats(&file, types[Side::Capture as usize]);
        ensure!(
            !outputs.is_empty() && !captures.is_empty(),
            "{} names no formats",
            found.path.display()
        );
        let media = stateless::media_node(&found.path).ok();
        Ok(Self {
            path: found.path.display().to_string(),
            driver: found.driver.clone(),
            mplane: found.queues.mplane,
            decoder: compressed && media.is_some(),
            types,
            formats: [outputs, captures],
            media: media.map(|path| path.display().to_string()),
            switch,
            job_time: job_time_control(&file).ok(),
        })
    }
}

/// The formats of a queue, and whether they are those of a bitstream.
fn formats(file: &File, kind: u32) -> (Vec<u32>, bool) {
    use std::os::fd::AsRawFd;
    let mut found = Vec::new();
    let mut compressed = false;
    for index in 0..64 {
        let mut format = v4l2_fmtdesc {
            index,
            type_: kind,
            ..v4l2_fmtdesc::default()
        };
        if sys::ioctl(file.as_raw_fd(), ENUM_FMT, &mut format).is_err() {
            break;
        }
        compressed |= format.flags & COMPRESSED != 0;
        found.push(format.pixelformat);
    }
    (found, compressed)
}

/// What an atomic commit needs to know of the display.
#[derive(Debug)]
pub struct Screen {
    /// Switched on until the end: vkms of 6.12 can deadlock with its own timer when it is switched
    /// off, so no input does that.
    display: Display,
    /// The CRTC.
    pub crtc: u32,
    /// The primary plane.
    pub plane: u32,
    /// Properties of the plane: FB_ID, IN_FENCE_FD.
    pub plane_properties: [u32; 2],
    /// Of the CRTC: OUT_FENCE_PTR.
    pub out_fence: u32,
    /// The framebuffer that is shown between inputs.
    pub base: u32,
}

struct Card<'a>(BorrowedFd<'a>);

impl AsFd for Card<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0
    }
}

impl drm::Device for Card<'_> {}
impl drm::control::Device for Card<'_> {}

impl Screen {
    fn open() -> Result<Self> {
        let display = Display::without_checksums(MODE, REFRESH)?;
        let card = Card(display.as_fd());
        let resources = card.resource_handles()?;
        let crtc = *resources
            .crtcs()
            .first()
            .context("a display without a CRTC")?;
        let planes = card.plane_handles()?;
        let shown = planes.iter().find_map(|&plane| {
            let base = card.get_plane(plane).ok()?.framebuffer()?;
            Some((plane, base))
        });
        let (plane, base) = shown.context("a display that shows nothing")?;
        let properties = card.get_properties(plane)?.as_hashmap(&card)?;
        let of_plane = |name: &str| -> Result<u32> {
            let property = properties.get(name).with_context(|| format!("no {name}"))?;
            Ok(property.handle().into())
        };
        let of_crtc = card.get_properties(crtc)?.as_hashmap(&card)?;
        let out_fence = of_crtc.get("OUT_FENCE_PTR").context("no OUT_FENCE_PTR")?;
        Ok(Self {
            crtc: crtc.into(),
            plane: plane.into(),
            plane_properties: [of_plane("FB_ID")?, of_plane("IN_FENCE_FD")?],
            out_fence: out_fence.handle().into(),
            base: base.into(),
            display,
        })
    }

    /// The node that may show something.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.display.as_fd()
    }
}

/// The node of a DRM driver, without becoming the one who may show something.
fn drm_node(driver: &str) -> Result<String> {
    for number in 0..64 {
        let path = format!("/dev/dri/card{number}");
        let Ok(file) = File::options().read(true).write(true).open(&path) else {
            continue;
        };
        if Card(file.as_fd()).get_driver()?.name() == driver {
            return Ok(path);
        }
    }
    anyhow::bail!("no DRM node of {driver}: modprobe {driver}")
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
            if let Some(switch) = module.parameter.filter(|_| found.queues.m2m) {
                nodes.push(Node::of(&found, switch)?);
            }
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
            vgem: drm_node("vgem")?,
        })
    }

    /// The display, which the thread that asks keeps.
    pub fn screen() -> Result<Screen> {
        Screen::open().context("vkms")
    }
}
