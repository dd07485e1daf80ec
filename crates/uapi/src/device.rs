// SPDX-License-Identifier: GPL-2.0-only

//! V4L2: finding a node, and running single jobs on a memory-to-memory node.

use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure, Context, Result};
use v4l2r::bindings::v4l2_query_ext_ctrl;
use v4l2r::ioctl::{self, BufferFlags, CtrlId, ExpbufFlags, QBufPlane, QBuffer};
use v4l2r::ioctl::{QueryCtrlFlags, V4l2Buffer};
use v4l2r::memory::{DmaBufHandle, MemoryType, MmapHandle, PlaneHandle};
use v4l2r::{Format, PixelFormat, QueueType};

use crate::hint;
use crate::queues::Queues;

/// A small picture, so that vim2m's copying, which is part of starting a job, takes no time.
const PICTURE: (u32, u32) = (160, 120);

/// V4L2_PIX_FMT_RGB565, which vim2m takes on both sides.
const PIXEL_FORMAT: &[u8; 4] = b"RGBP";

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
}

impl Node {
    /// Asks the node at `path` for its driver.
    pub fn at(path: &Path) -> Result<Self> {
        let file = open(path)?;
        let caps: ioctl::Capability = ioctl::querycap(&file)
            .with_context(|| format!("{} is not a V4L2 node", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            queues: Queues::decode(caps.device_caps()),
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

/// The two queues of a memory-to-memory node, by what the program uses them for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// What the device reads.
    Output,
    /// What it writes.
    Capture,
}

impl From<Queue> for QueueType {
    fn from(queue: Queue) -> Self {
        match queue {
            Queue::Output => Self::VideoOutput,
            Queue::Capture => Self::VideoCapture,
        }
    }
}

/// An open memory-to-memory node with one buffer on each side: one context of the driver.
/// Dropping it ends its job and frees its buffers.
#[derive(Debug)]
pub struct M2m {
    file: File,
    output_size: u32,
    capture_size: u32,
}

impl M2m {
    /// Opens the node and prepares jobs that take `job_ms`.
    pub fn open(path: &Path, job_ms: u32) -> Result<Self> {
        let mut file = open(path)?;
        let job_time = job_time_control(&file).with_context(|| format!("{}", path.display()))?;
        let value = i32::try_from(job_ms).context("the job's time is too long")?;
        ioctl::s_ctrl(&file, job_time, value)
            .with_context(|| format!("cannot set a job time of {job_ms} ms"))?;
        let output_size = set_format(&mut file, Queue::Output)?;
        let capture_size = set_format(&mut file, Queue::Capture)?;
        Ok(Self {
            file,
            output_size,
            capture_size,
        })
    }

    /// Bytes of a CAPTURE buffer.
    pub fn capture_size(&self) -> u32 {
        self.capture_size
    }

    /// Gives a queue one buffer: its own memory, or a place for an imported one.
    pub fn request_buffer(&self, queue: Queue, memory: MemoryType) -> Result<()> {
        let count: usize = ioctl::reqbufs(&self.file, queue.into(), memory, 1)
            .with_context(|| format!("REQBUFS {queue:?} {memory:?}"))?;
        ensure!(count >= 1, "REQBUFS {queue:?} {memory:?} gave no buffer");
        Ok(())
    }

    /// Exports the CAPTURE buffer as a dma-buf.
    pub fn export_capture(&self) -> Result<OwnedFd> {
        let flags = ExpbufFlags::CLOEXEC | ExpbufFlags::RDWR;
        ioctl::expbuf(&self.file, Queue::Capture.into(), 0, 0, flags).context("EXPBUF")
    }

    /// Queues the OUTPUT buffer, as full.
    pub fn queue_output(&self) -> Result<()> {
        let plane = QBufPlane::new_from_handle(&MmapHandle, self.output_size as usize);
        self.queue_buffer::<MmapHandle>(Queue::Output, plane)
    }

    /// Queues the CAPTURE buffer that is the device's own memory.
    pub fn queue_capture(&self) -> Result<()> {
        let plane = QBufPlane::new_from_handle(&MmapHandle, 0);
        self.queue_buffer::<MmapHandle>(Queue::Capture, plane)
    }

    /// Queues the CAPTURE buffer with `dmabuf` as its memory.
    pub fn queue_capture_import(&self, dmabuf: BorrowedFd<'_>) -> Result<()> {
        let mut plane = QBufPlane::new(0);
        plane.0.m.fd = dmabuf.as_raw_fd();
        self.queue_buffer::<DmaBufHandle<File>>(Queue::Capture, plane)
    }

    fn queue_buffer<H: PlaneHandle>(&self, queue: Queue, plane: QBufPlane) -> Result<()> {
        let mut buffer = QBuffer::<H>::new(queue.into(), 0);
        buffer.planes.push(plane);
        ioctl::qbuf(&self.file, buffer).with_context(|| format!("QBUF {queue:?}"))
    }

    /// Starts a queue. The second of the two starts the job.
    pub fn stream_on(&self, queue: Queue) -> Result<()> {
        ioctl::streamon(&self.file, queue.into()).with_context(|| format!("STREAMON {queue:?}"))
    }

    /// Takes the CAPTURE buffer back; says whether the driver flagged an error.
    pub fn dequeue_capture(&self) -> Result<bool> {
        let buffer: V4l2Buffer =
            ioctl::dqbuf(&self.file, Queue::Capture.into()).context("DQBUF Capture")?;
        Ok(buffer.flags().contains(BufferFlags::ERROR))
    }
}

impl AsFd for M2m {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Sets a queue's format; gives the size of its buffers.
fn set_format(file: &mut File, queue: Queue) -> Result<u32> {
    let (width, height) = PICTURE;
    let wanted = Format {
        width,
        height,
        pixelformat: PixelFormat::from(PIXEL_FORMAT),
        plane_fmt: Vec::new(),
    };
    let got: Format =
        ioctl::s_fmt(file, (queue.into(), &wanted)).with_context(|| format!("S_FMT {queue:?}"))?;
    let plane = got.plane_fmt.first();
    let plane = plane.with_context(|| format!("S_FMT {queue:?}: a format without a plane"))?;
    Ok(plane.sizeimage)
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
