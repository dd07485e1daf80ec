// SPDX-License-Identifier: GPL-2.0-only

//! V4L2: finding a node.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};
use v4l2r::bindings::v4l2_query_ext_ctrl;
use v4l2r::ioctl::{self, Capability, CtrlId, QueryCtrlFlags};

use crate::hint;
use crate::queue_fences::{FencesOf, QueueFences};
pub use crate::queues::Queue;
use crate::queues::Queues;

/// The name of the control with which vim2m lets a job take long.
const JOB_TIME_CONTROL: &str = "Transaction Time (msec)";

/// A video node and the driver behind it.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its path.
    pub path: PathBuf,
    /// The driver's name from VIDIOC_QUERYCAP.
    pub driver: String,
    /// The device's name from there.
    pub card: String,
    /// Its queues.
    pub queues: Queues,
    /// The fences of each queue whose driver can be asked.
    pub fences: Vec<FencesOf>,
}

impl Node {
    /// Asks the node at `path` for its driver.
    pub fn at(path: &Path) -> Result<Self> {
        let (file, caps) = open_and_ask(path)?;
        let queues = Queues::decode(caps.device_caps());
        let fences = queues.with_buffers().filter_map(|queue| {
            let fences = QueueFences::ask(&file, queues.queue_type(queue))?;
            Some(FencesOf { queue, fences })
        });
        Ok(Self {
            path: path.to_owned(),
            fences: fences.collect(),
            queues,
            driver: caps.driver,
            card: caps.card,
        })
    }

    /// The first video node of a driver.
    pub fn find(driver: &str) -> Result<Self> {
        let mut refused = None;
        for path in video_nodes()? {
            match Self::at(&path) {
                Ok(node) if node.driver == driver => return Ok(node),
                Ok(_) => {}
                Err(err) => refused = Some(err),
            }
        }
        match refused {
            Some(err) => Err(err.context(format!(
                "no video node of the driver {driver} among those that can be opened (are you root?)"
            ))),
            None => bail!(
                "no video node of the driver {driver}: load it (modprobe {driver}), or name a node with --device"
            ),
        }
    }
}

/// /dev/video*, by number.
pub fn video_nodes() -> Result<Vec<PathBuf>> {
    let mut nodes: Vec<(u32, PathBuf)> = fs::read_dir("/dev")
        .context("cannot list /dev")?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let number = path.file_name()?.to_str()?.strip_prefix("video")?.parse();
            Some((number.ok()?, path))
        })
        .collect();
    nodes.sort();
    Ok(nodes.into_iter().map(|(_, path)| path).collect())
}

/// Opens a node so that no ioctl waits.
pub fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
        .open(path)
        .map_err(|err| hint::open_failed(path, &err))
}

/// Opens a node and asks for its driver.
pub fn open_and_ask(path: &Path) -> Result<(File, Capability)> {
    let file = open(path)?;
    let caps =
        ioctl::querycap(&file).with_context(|| format!("{} is not a V4L2 node", path.display()))?;
    Ok((file, caps))
}

/// Finds the control that sets how long a job takes.
pub fn job_time_control(file: &File) -> Result<u32> {
    let mut last = 0;
    loop {
        let id = CtrlId::new(last).context("a control number out of range")?;
        let Ok(control) =
            ioctl::query_ext_ctrl::<v4l2_query_ext_ctrl>(file, id, QueryCtrlFlags::NEXT)
        else {
            bail!("no control {JOB_TIME_CONTROL:?}: the report needs a node of the driver vim2m");
        };
        if control_name(&control) == JOB_TIME_CONTROL {
            return Ok(control.id);
        }
        last = control.id;
    }
}

/// The control's name, up to its NUL.
fn control_name(control: &v4l2_query_ext_ctrl) -> String {
    control
        .name
        .iter()
        .map(|&c| char::from(c as u8))
        .take_while(|&c| c != '\0')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_a_video_node() {
        let err = Node::at(Path::new("/dev/null")).unwrap_err();
        assert!(format!("{err:#}").contains("not a V4L2 node"), "{err:#}");
    }

    #[test]
    fn names_end_at_their_nul() {
        let mut control = v4l2_query_ext_ctrl::default();
        for (to, from) in control.name.iter_mut().zip("Gain\0rest".bytes()) {
            *to = from as _;
        }
        assert_eq!(control_name(&control), "Gain");
    }
}
