// SPDX-License-Identifier: GPL-2.0-only

//! The checksum of what a display scans out, frame by frame (debugfs, crtc-0/crc).

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{bail, ensure, Context, Result};

use crate::clock::{self, Ns, MS};
use crate::picture::{Layout, Picture};
use crate::poll;

/// How often a wait looks at the clock.
const SLICE_MS: u64 = 500;

/// The checksum of a picture as vkms makes it: the CRC-32 of its pixels in 16 bits per channel,
/// alpha first, as crc32_le() computes it from 0. `layout` says how many bits the channels had.
pub fn of(picture: &Picture, layout: Layout) -> u32 {
    // The crate inverts at the start and at the end, the kernel does neither.
    let mut crc = crc32fast::Hasher::new_with_initial(!0);
    for &pixel in &picture.pixels {
        for channel in channels(pixel, layout) {
            crc.update(&channel.to_le_bytes());
        }
    }
    !crc.finalize()
}

fn channels(pixel: u32, layout: Layout) -> [u16; 4] {
    let [blue, green, red, _] = pixel.to_le_bytes().map(u32::from);
    // The nearest of the values from 0 to 65535.
    let of_bits = |value: u32, bits: u32| {
        let highest = (1 << bits) - 1;
        (((value >> (8 - bits)) * 0xffff + highest / 2) / highest) as u16
    };
    match layout {
        Layout::Xrgb8888 => [0xffff, of_bits(red, 8), of_bits(green, 8), of_bits(blue, 8)],
        Layout::Rgb565 => [0xffff, of_bits(red, 5), of_bits(green, 6), of_bits(blue, 5)],
    }
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    frame: u32,
    crc: u32,
}

/// The checksums, from now on. While this is open the display composes every frame.
#[derive(Debug)]
pub struct Checksums {
    data: File,
}

impl Checksums {
    /// Of the first CRTC of /dev/dri/card`number`, which has to be switched on.
    pub fn open(number: u32) -> Result<Self> {
        let dir = PathBuf::from(format!("/sys/kernel/debug/dri/{number}/crtc-0/crc"));
        let failed = || {
            format!(
                "no checksums of the display in {}: is debugfs mounted?",
                dir.display()
            )
        };
        fs::write(dir.join("control"), "auto").with_context(failed)?;
        let data = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
            .open(dir.join("data"))
            .with_context(failed)?;
        Ok(Self { data })
    }

    /// The checksum of a frame, or of the first one after it: vkms leaves frames out if it is slow.
    pub fn wait(&mut self, frame: u32, limit: Ns) -> Result<u32> {
        loop {
            ensure!(clock::now() < limit, "no checksum of frame {frame} came");
            match self.next()? {
                Some(entry) if is_at_or_after(entry.frame, frame) => return Ok(entry.crc),
                Some(_) => {}
                None => {
                    let slice = clock::now() + SLICE_MS * MS;
                    poll::wait(self.data.as_fd(), limit.min(slice))?;
                }
            }
        }
    }

    /// The next one that is there.
    fn next(&mut self) -> Result<Option<Entry>> {
        let mut line = [0; 64];
        match self.data.read(&mut line) {
            Ok(0) => bail!("the display's checksums have ended"),
            Ok(len) => Ok(Some(parse(&String::from_utf8_lossy(&line[..len]))?)),
            Err(err) if err.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(err) => Err(err).context("the display's checksums"),
        }
    }
}

fn parse(line: &str) -> Result<Entry> {
    let number = |text: Option<&str>| -> Option<u32> {
        u32::from_str_radix(text?.strip_prefix("0x")?, 16).ok()
    };
    let mut words = line.split_whitespace();
    match (number(words.next()), number(words.next())) {
        (Some(frame), Some(crc)) => Ok(Entry { frame, crc }),
        _ => bail!("not a checksum of the display: {line:?}"),
    }
}

/// Frame numbers wrap around.
fn is_at_or_after(frame: u32, start: u32) -> bool {
    frame.wrapping_sub(start) < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Size;

    #[test]
    fn checksum_is_that_of_the_kernel() {
        // One pixel, computed by crc32_le(0, ...).
        let pixel = Size::new(1, 1);
        let blue = Picture::uniform(pixel, 0xff);
        assert_eq!(of(&blue, Layout::Xrgb8888), 0x0a5b_5e29);
        let size = Size::new(2, 1);
        let of = |pixel, layout| of(&Picture::uniform(size, pixel), layout);
        let black = of(0, Layout::Xrgb8888);
        assert_ne!(black, of(1, Layout::Xrgb8888));
        assert_eq!(black, of(0, Layout::Rgb565));
        assert_eq!(black, of(0x07_03_07, Layout::Rgb565));
        assert_ne!(black, 0);
    }

    #[test]
    fn channels_have_16_bits() {
        let white = [0xffff; 4];
        assert_eq!(channels(0xff_ff_ff, Layout::Xrgb8888), white);
        assert_eq!(channels(0xff_ff_ff, Layout::Rgb565), white);
        let some = [0xffff, 0x1212, 0x3434, 0x5656];
        assert_eq!(channels(0x12_34_56, Layout::Xrgb8888), some);
        // 2, 13 and 10 of 31, 63 and 31.
        let some = [0xffff, 4228, 13523, 21140];
        assert_eq!(channels(0x12_34_56, Layout::Rgb565), some);
    }

    #[test]
    fn lines_are_understood() {
        let entry = Entry {
            frame: 0x1f,
            crc: 0xdead_beef,
        };
        assert_eq!(parse("0x0000001f 0xdeadbeef\n").unwrap(), entry);
        for bad in ["", "0x1f", "XXXXXXXXXX 0x1", "1f 2"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn frames_wrap_around() {
        assert!(is_at_or_after(5, 5) && is_at_or_after(6, 5) && !is_at_or_after(4, 5));
        assert!(is_at_or_after(1, u32::MAX) && !is_at_or_after(u32::MAX, 1));
    }
}
