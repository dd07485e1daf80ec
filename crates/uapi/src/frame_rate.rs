// SPDX-License-Identifier: GPL-2.0-only

//! How many pictures a second a capture device makes (VIDIOC_S_PARM).

use std::fs::File;

use anyhow::Result;
use v4l2r::bindings::{v4l2_captureparm, v4l2_fract, v4l2_streamparm};
use v4l2r::ioctl;
use v4l2r::nix::errno::Errno;
use v4l2r::QueueType;

use crate::hint;

/// Sets it on a CAPTURE queue of this type. The driver may take another one that it has.
pub fn set(file: &File, queue: QueueType, per_second: u32) -> Result<()> {
    let mut parm = v4l2_streamparm {
        type_: queue as u32,
        ..Default::default()
    };
    parm.parm.capture = v4l2_captureparm {
        timeperframe: v4l2_fract {
            numerator: 1,
            denominator: per_second,
        },
        ..Default::default()
    };
    let set: Result<v4l2_streamparm, _> = ioctl::s_parm(file, parm);
    set.map_err(|err| hint::ioctl_failed("S_PARM", Errno::from(err)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_node() {
        let null = File::open("/dev/null").unwrap();
        let err = set(&null, QueueType::VideoCapture, 25).unwrap_err();
        assert!(err.to_string().starts_with("S_PARM: "), "{err}");
    }
}
