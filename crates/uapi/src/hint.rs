// SPDX-License-Identifier: GPL-2.0-only

//! What a program tells its user of an error of a system call: what can be done about it.

use std::io;
use std::path::Path;

use anyhow::{anyhow, Error};
use rustix::io::Errno;
use v4l2r::nix;

/// Says on stderr what could not be cleaned up, which changes nothing of a result.
pub fn warn(message: &str) {
    let program = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default();
    eprintln!("{}: {message}", Path::new(name).display());
}

/// What to do when `open` of a video node fails.
pub fn open_failed(path: &Path, err: &io::Error) -> Error {
    let path = path.display();
    let advice = match err.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT | Errno::NXIO | Errno::NODEV) => {
            "there is no such node; `vb2-fence list` shows those that are there"
        }
        Some(Errno::ACCESS | Errno::PERM) => {
            "no permission; be root, or in the group that owns the node (often video)"
        }
        Some(Errno::BUSY) => "it is busy; end the program that uses it",
        _ => return anyhow!("cannot open {path}: {err}"),
    };
    anyhow!("cannot open {path}: {advice}")
}

/// An error of a V4L2 ioctl, with what to do about it where that is known.
pub fn ioctl_failed(what: &str, err: impl Into<nix::errno::Errno>) -> Error {
    let errno: nix::errno::Errno = err.into();
    let advice = match errno {
        nix::errno::Errno::EBUSY => {
            "; another program streams from this node: end it, or name another node"
        }
        nix::errno::Errno::ENODEV => "; the device is gone",
        nix::errno::Errno::ENOMEM => {
            "; not enough memory for the buffers: fewer, or a smaller --size"
        }
        _ => "",
    };
    anyhow!("{what}: {}{advice}", errno.desc())
}

/// Why something of tracefs or debugfs cannot be used.
pub fn tracefs_failed(path: &Path, err: &io::Error) -> Error {
    let path = path.display();
    match err.kind() {
        io::ErrorKind::PermissionDenied => {
            anyhow!("no permission for {path}: the trace events are for root")
        }
        io::ErrorKind::NotFound => anyhow!(
            "there is no {path}: mount tracefs (mount -t tracefs none /sys/kernel/tracing), on a \
             kernel with CONFIG_FTRACE"
        ),
        _ => anyhow!("{path}: {err}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_error(errno: Errno) -> String {
        let err = io::Error::from_raw_os_error(errno.raw_os_error());
        open_failed(Path::new("/dev/video9"), &err).to_string()
    }

    #[test]
    fn says_what_to_do() {
        assert!(open_error(Errno::NOENT).contains("no such node"));
        assert!(open_error(Errno::ACCESS).contains("be root"));
        assert!(open_error(Errno::BUSY).contains("end the program"));
        assert!(open_error(Errno::IO).contains("/dev/video9"));
        let busy = ioctl_failed("STREAMON", nix::errno::Errno::EBUSY).to_string();
        assert!(
            busy.starts_with("STREAMON: ") && busy.contains("another program"),
            "{busy}"
        );
    }
}
