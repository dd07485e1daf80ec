// SPDX-License-Identifier: GPL-2.0-only

//! Which code of the kernel a thread ran, if the kernel can tell (CONFIG_KCOV).

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::ioctl::opcode;

use crate::count::feature;
use crate::sys;

const NODE: &str = "/sys/kernel/debug/kcov";
/// How many places are noted for a thread; those that come later are not.
const PLACES: u64 = 1 << 16;

const INIT: u32 = opcode::read::<u64>(b'c', 1);
const ENABLE: u32 = opcode::none(b'c', 100);
const DISABLE: u32 = opcode::none(b'c', 101);
/// KCOV_TRACE_PC.
const TRACE_PC: u64 = 0;

/// Notes what the thread that made it runs, until it is dropped.
#[derive(Debug)]
pub struct Trace {
    fd: i32,
    map: sys::Map,
}

impl Trace {
    /// Begins; `None` if this kernel does not say.
    pub fn begin() -> Option<Self> {
        let fd = sys::open(NODE, libc::O_RDWR).ok()?;
        let made = sys::ioctl_number(fd, INIT, PLACES)
            .and_then(|_| sys::Map::new(fd, 0, PLACES as usize * size_of::<u64>()))
            .and_then(|map| sys::ioctl_number(fd, ENABLE, TRACE_PC).map(|_| map));
        match made {
            Ok(map) => Some(Self { fd, map }),
            Err(_) => {
                let _ = sys::close(fd);
                None
            }
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = sys::ioctl_number(self.fd, DISABLE, 0);
        let words = self.map.words();
        let first = words.first().map_or(0, load);
        for place in words.iter().skip(1).take(first as usize) {
            feature(("place", load(place)));
        }
        let _ = sys::close(self.fd);
    }
}

fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        assert_eq!((INIT, ENABLE, DISABLE), (0x8008_6301, 0x6364, 0x6365));
    }
}
