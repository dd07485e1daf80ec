// SPDX-License-Identifier: GPL-2.0-only

//! The nodes of the scene: how they are found, and their formats.

use anyhow::{bail, ensure, Context, Result};
use v4l2r::{PixelFormat, PlaneLayout};

use uapi::device::{Node, Queue};
use uapi::picture::Size;
use uapi::stream::{Stream, Wanted};

/// Pictures: one is on the display while the other one is written.
pub const PICTURES: u32 = 2;

/// How long a device may take beyond what a job was set to.
pub const PATIENCE_MS: u64 = 10_000;

/// The driver's node, with what may be missing.
pub fn find(driver: &str) -> Result<Node> {
    Node::find(driver).with_context(|| match driver {
        "vim2m" => "no test device".to_owned(),
        _ => format!(
            "no {driver}: on a machine without one, \
             echo 1 >/sys/module/rkemu/parameters/enable emulates it"
        ),
    })
}

/// Sets a format of one plane and exactly that size. `bytes` is for bitstreams, else 0.
pub fn set_format(
    stream: &mut Stream,
    queue: Queue,
    fourcc: [u8; 4],
    size: Size,
    bytes: u32,
) -> Result<PlaneLayout> {
    let fourcc = PixelFormat::from(&fourcc);
    let wanted = Wanted {
        fourcc,
        size: (size.width, size.height),
        bytes,
    };
    let got = stream.set_format(queue, &wanted)?;
    ensure!(
        (got.width, got.height) == wanted.size,
        "the device does not take {fourcc} of that size: it says {got:?}"
    );
    match got.plane_fmt.as_slice() {
        [plane] => Ok(plane.clone()),
        _ => bail!("{fourcc}: not in one plane"),
    }
}
