// SPDX-License-Identifier: GPL-2.0-only

//! What all stateless decoders need: requests from the media node, with controls in them.

mod control;
pub mod key_frames;

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use v4l2r::ioctl::{self, CtrlWhich, Request, RequestError};

pub use self::control::Control;
pub use self::key_frames::KeyFrames;
use crate::hint;

/// Where sysfs has the video nodes.
const CLASS: &str = "/sys/class/video4linux";

/// The media device of a decoder: requests come from there.
#[derive(Debug)]
pub struct Media(File);

impl Media {
    /// Opens that of a video node.
    pub fn of(video: &Path) -> Result<Self> {
        Self::open(&media_node(video)?)
    }

    fn open(path: &Path) -> Result<Self> {
        let opened = OpenOptions::new().read(true).write(true).open(path);
        let file = opened.map_err(|err| hint::open_failed(path, &err))?;
        Ok(Self(file))
    }

    /// A new request.
    pub fn request(&self) -> Result<Request> {
        Request::alloc(&self.0).map_err(|err| failed("MEDIA_IOC_REQUEST_ALLOC", err))
    }
}

/// The media node of the device behind a video node.
pub fn media_node(video: &Path) -> Result<PathBuf> {
    let real = fs::canonicalize(video).with_context(|| format!("{}", video.display()))?;
    let name = real.file_name().context("the node has no name")?;
    media_of_device(&Path::new(CLASS).join(name).join("device")).with_context(|| {
        format!(
            "{} is no stateless decoder that can be used",
            video.display()
        )
    })
}

fn media_of_device(device: &Path) -> Result<PathBuf> {
    let entries =
        fs::read_dir(device).with_context(|| format!("cannot list {}", device.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut media = names.filter(|name| {
        let number = name.strip_prefix("media");
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    });
    let media = media.next();
    let media = media.context("its device has no media node, so there are no requests")?;
    Ok(Path::new("/dev").join(media))
}

/// Puts controls into a request.
pub fn set_controls(file: &File, request: &Request, mut controls: Vec<Control>) -> Result<()> {
    let mut raw: Vec<_> = controls.iter_mut().map(Control::raw).collect();
    let which = CtrlWhich::Request(request.as_raw_fd());
    ioctl::s_ext_ctrls(file, which, raw.as_mut_slice()).map_err(|err| {
        hint::ioctl_failed(
            "the driver refuses the stream's parameters: S_EXT_CTRLS",
            err,
        )
    })
}

/// Starts what a request describes.
pub fn queue(request: &Request) -> Result<()> {
    let queued = request.queue();
    queued.map_err(|err| failed("MEDIA_REQUEST_IOC_QUEUE", err))
}

/// Makes a request that is over new again.
fn reinit(request: &Request) -> Result<()> {
    let empty = request.reinit();
    empty.map_err(|err| failed("MEDIA_REQUEST_IOC_REINIT", err))
}

fn failed(what: &str, err: RequestError) -> Error {
    match err {
        RequestError::IoctlError(errno) => hint::ioctl_failed(what, errno),
        other => Error::from(other).context(what.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_media_node() {
        let dir = std::env::temp_dir().join(format!("vb2-fence-media-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for other in ["driver", "media", "media-bus", "mediax1"] {
            fs::write(dir.join(other), "").unwrap();
        }
        let err = format!("{:#}", media_of_device(&dir).unwrap_err());
        assert!(err.contains("no media node"), "{err}");
        fs::write(dir.join("media3"), "").unwrap();
        assert_eq!(media_of_device(&dir).unwrap(), Path::new("/dev/media3"));
        fs::remove_dir_all(&dir).unwrap();
        let err = format!("{:#}", media_of_device(&dir).unwrap_err());
        assert!(err.contains("cannot list"), "{err}");
    }

    #[test]
    fn says_what_is_missing() {
        let err = format!("{:#}", Media::of(Path::new("/dev/null")).unwrap_err());
        assert!(err.contains("/dev/null is no stateless decoder"), "{err}");
        let err = format!("{:#}", Media::of(Path::new("/nonexistent")).unwrap_err());
        assert!(err.contains("/nonexistent"), "{err}");
        let err = Media::open(Path::new("/nonexistent")).unwrap_err();
        assert!(format!("{err:#}").contains("no such node"), "{err:#}");
        let null = Media::open(Path::new("/dev/null")).unwrap();
        let err = format!("{:#}", null.request().unwrap_err());
        assert!(err.starts_with("MEDIA_IOC_REQUEST_ALLOC: "), "{err}");
    }
}
