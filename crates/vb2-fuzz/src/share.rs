// SPDX-License-Identifier: GPL-2.0-only

//! Calls of dma-bufs, sync_files, sw_sync and vgem.

use std::ffi::CStr;
use std::os::fd::RawFd;
use std::process::Command;
use std::time::Duration;

use drm_ffi::gem;
use drm_ffi::mode::dumbbuffer;
use rustix::ioctl::opcode;

use crate::calls::ShareCall;
use crate::count::lock;
use crate::grammar::{Slot, Value};
use crate::sys::{self, Map};
use crate::world::Actor;

const HEAP_ALLOC: u32 = opcode::read_write::<[u64; 3]>(b'H', 0);
const SYNC: u32 = opcode::write::<u64>(b'b', 0);
const SET_NAME: u32 = opcode::write::<u64>(b'b', 1);
const EXPORT_SYNC_FILE: u32 = opcode::read_write::<[u32; 2]>(b'b', 2);
const IMPORT_SYNC_FILE: u32 = opcode::write::<[u32; 2]>(b'b', 3);
/// `struct sync_merge_data`: 32 bytes of a name, then fd2, the new one, flags and nothing.
const MERGE: u32 = opcode::read_write::<[u32; 12]>(b'>', 3);
/// `struct sync_file_info`: 32 bytes of a name, status, flags, count, nothing, an address.
const FILE_INFO: u32 = opcode::read_write::<[u64; 7]>(b'>', 4);
const SET_DEADLINE: u32 = opcode::write::<[u64; 2]>(b'>', 5);
/// `struct sw_sync_create_fence_data`: value, 32 bytes of a name, the new one.
const CREATE_FENCE: u32 = opcode::read_write::<[u32; 10]>(b'W', 0);
const ADVANCE: u32 = opcode::write::<u32>(b'W', 1);
const VGEM_ATTACH: u32 = opcode::read_write::<[u32; 4]>(b'd', 0x41);
const VGEM_SIGNAL: u32 = opcode::write::<[u32; 2]>(b'd', 0x42);

/// DMA_BUF_SYNC_READ, _WRITE, both.
const ACCESSES: [u32; 3] = [1, 2, 3];
const PAGE: u64 = 4096;
const NAME: &CStr = c"vb2-fuzz";
const SW_SYNC: &str = "/sys/kernel/debug/sync/sw_sync";

fn poll(fd: RawFd, events: i16, ms: u64) -> Result<i16, i32> {
    sys::poll(fd, events, Duration::from_millis(ms))
}

impl Actor<'_> {
    /// Makes a call of something that is shared.
    pub fn share(&self, call: &ShareCall) {
        use ShareCall as S;
        let world = self.world;
        let buffer_of = |slot| world.fd(&world.buffers, slot);
        let fence_of = |slot| world.fd(&world.fences, slot);
        match *call {
            S::Heap { size } => {
                self.heap(size.pick(&[PAGE, 3 * PAGE, 8 * PAGE], &[0, 1, u64::MAX]));
            }
            S::CloseBuffer { buffer } => self.end(world.buffers.take(buffer)),
            S::Duplicate { buffer } => {
                // Not an odd one: a second descriptor of a timeline would keep its fences pending.
                let Ok(fd) = world.buffers.get(buffer) else {
                    return;
                };
                if let Ok(new) = self.call("dup", 0, || sys::dup(fd)) {
                    self.keep(&world.buffers, new);
                }
            }
            S::Sync { buffer, flags } => {
                let fd = buffer_of(buffer);
                let mut flags = flags.pick(&[1, 2, 3, 5, 6, 7], &[0, 4, u64::MAX]);
                let _ = self.call("DMA_BUF_SYNC", 0, || sys::ioctl(fd, SYNC, &mut flags));
            }
            S::ExportFence { buffer, access } => {
                let fd = buffer_of(buffer);
                let mut arg = [access.pick(&ACCESSES, &[0, 8]), u32::MAX];
                let name = "EXPORT_SYNC_FILE";
                let answer = self.call(name, 0, || sys::ioctl(fd, EXPORT_SYNC_FILE, &mut arg));
                self.keep_fence(answer, arg[1]);
            }
            S::ImportFence {
                buffer,
                fence,
                access,
            } => {
                let fd = buffer_of(buffer);
                let mut arg = [access.pick(&ACCESSES, &[0, 8]), fence_of(fence) as u32];
                let _ = self.call("IMPORT_SYNC_FILE", 0, || {
                    sys::ioctl(fd, IMPORT_SYNC_FILE, &mut arg)
                });
            }
            S::PollBuffer { buffer, events, ms } => {
                let fd = buffer_of(buffer);
                let both = libc::POLLIN | libc::POLLOUT;
                let events = events.pick(&[libc::POLLIN, libc::POLLOUT, both], &[0, -1]);
                let ms = ms.pick(&[0, 1, 20], &[]);
                let _ = self.call("poll dma-buf", 0, || poll(fd, events, ms));
            }
            S::NameBuffer { buffer } => {
                let fd = buffer_of(buffer);
                let name = NAME.as_ptr().expose_provenance() as u64;
                let _ = self.call("DMA_BUF_SET_NAME", 0, || {
                    sys::ioctl_number(fd, SET_NAME, name)
                });
            }
            S::MapBuffer { buffer } => {
                let fd = buffer_of(buffer);
                let map = self.call("mmap dma-buf", 0, || Map::new(fd, 0, PAGE as usize));
                if let Ok(map) = map {
                    map.touch();
                    drop(world.maps.add(map));
                }
            }
            S::SeekBuffer { buffer } => {
                let fd = buffer_of(buffer);
                let _ = self.call("lseek", 0, || sys::seek_end(fd));
            }
            S::Unmap { map } => {
                if let Some(map) = world.maps.take(map) {
                    let _ = self.call("munmap", 0, || {
                        drop(map);
                        Ok(())
                    });
                }
            }
            S::VgemCreate { .. }
            | S::VgemExport { .. }
            | S::VgemImport { .. }
            | S::VgemAttach { .. }
            | S::VgemSignal { .. } => self.vgem(call),
            _ => self.fence(call),
        }
    }

    fn fence(&self, call: &ShareCall) {
        use ShareCall as S;
        let world = self.world;
        let fence_of = |slot| world.fd(&world.fences, slot);
        let timeline_of = |slot| world.fd(&world.timelines, slot);
        match *call {
            S::Merge { one, two } => {
                let fd = fence_of(one);
                let mut arg = [0_u32; 12];
                arg[8] = fence_of(two) as u32;
                let answer = self.call("SYNC_MERGE", 0, || sys::ioctl(fd, MERGE, &mut arg));
                self.keep_fence(answer, arg[9]);
            }
            S::FenceInfo { fence, room } => {
                let fd = fence_of(fence);
                // 80 bytes for each fence, and none is asked for with room for less.
                let mut room_for = [0_u64; 10 * 8];
                let count = room.pick(&[0, 1, 8], &[]);
                let mut arg = [0_u64; 7];
                arg[5] = count;
                arg[6] = room_for.as_mut_ptr().expose_provenance() as u64;
                let _ = self.call("SYNC_FILE_INFO", 0, || {
                    // SAFETY: the address is that of room for 8 fences of 80 bytes.
                    unsafe { sys::ioctl_any(fd, FILE_INFO, &mut arg) }
                });
            }
            S::FenceDeadline { fence, at } => {
                let fd = fence_of(fence);
                let mut arg = [at.pick(&[0, 1, u64::MAX], &[1 << 40]), 0];
                let _ = self.call("SYNC_SET_DEADLINE", 0, || {
                    sys::ioctl(fd, SET_DEADLINE, &mut arg)
                });
            }
            S::PollFence { fence, ms } => {
                let fd = fence_of(fence);
                let ms = ms.pick(&[0, 1, 20], &[]);
                let _ = self.call("poll sync_file", 0, || poll(fd, libc::POLLIN, ms));
            }
            S::CloseFence { fence } => self.end(world.fences.take(fence)),
            S::Timeline => {
                if let Ok(fd) = self.call("open sw_sync", 0, || sys::open(SW_SYNC, libc::O_RDWR)) {
                    self.keep(&world.timelines, fd);
                }
            }
            S::CreateFence { timeline, value } => {
                let fd = timeline_of(timeline);
                let mut arg = [0_u32; 10];
                arg[0] = value.pick(&[1, 2, 3], &[0, u32::MAX]);
                let answer = self.call("SW_SYNC_CREATE", 0, || {
                    sys::ioctl(fd, CREATE_FENCE, &mut arg)
                });
                self.keep_fence(answer, arg[9]);
            }
            S::Advance { timeline, value } => {
                let fd = timeline_of(timeline);
                let mut value = value.pick(&[1, 2], &[0, u32::MAX]);
                let _ = self.call("SW_SYNC_INC", 0, || sys::ioctl(fd, ADVANCE, &mut value));
            }
            S::CloseTimeline { timeline } => self.end(world.timelines.take(timeline)),
            // Not of fences
            _ => {}
        }
    }

    fn vgem(&self, call: &ShareCall) {
        use ShareCall as S;
        let world = self.world;
        let fd = {
            let mut vgem = lock(&world.vgem);
            if vgem.is_none() {
                let path = &world.found.vgem;
                *vgem = self
                    .call("open vgem", 0, || sys::open(path, libc::O_RDWR))
                    .ok();
            }
            vgem.unwrap_or(-1)
        };
        let handle_of = |slot: Slot| world.vgem_handles.get(slot).unwrap_or(99);
        match *call {
            S::VgemCreate { size } => {
                let side = size.pick(&[64, 128], &[0, u32::MAX]);
                let answer = self.call("vgem CREATE_DUMB", 0, || {
                    dumbbuffer::create(sys::borrow(fd), side, side, 32, 0).map_err(sys::errno_of)
                });
                if let Ok(made) = answer {
                    let _ = world.vgem_handles.add(made.handle);
                }
            }
            S::VgemExport { handle } => {
                let number = handle_of(handle);
                let flags = (libc::O_RDWR | libc::O_CLOEXEC) as u32;
                let answer = self.call("vgem HANDLE_TO_FD", 0, || {
                    gem::handle_to_fd(sys::borrow(fd), number, flags).map_err(sys::errno_of)
                });
                if let Ok(prime) = answer {
                    self.keep(&world.buffers, prime.fd);
                }
            }
            S::VgemImport { buffer } => {
                let buffer = world.fd(&world.buffers, buffer);
                let answer = self.call("vgem FD_TO_HANDLE", 0, || {
                    gem::fd_to_handle(sys::borrow(fd), sys::borrow(buffer)).map_err(sys::errno_of)
                });
                if let Ok(prime) = answer {
                    let _ = world.vgem_handles.add(prime.handle);
                }
            }
            S::VgemAttach { handle, write } => {
                let mut arg = [handle_of(handle), u32::from(write), 0, 0];
                let _ = self.call("VGEM_ATTACH", 0, || sys::ioctl(fd, VGEM_ATTACH, &mut arg));
            }
            S::VgemSignal { fence } => {
                let mut arg = [fence.pick(&[1_u32, 2, 3], &[0, 99]), 0];
                let _ = self.call("VGEM_SIGNAL", 0, || sys::ioctl(fd, VGEM_SIGNAL, &mut arg));
            }
            // Not of vgem
            _ => {}
        }
    }

    /// What other calls need.
    pub fn begin_sharing(&self) {
        for call in [
            ShareCall::Heap { size: Value::FIRST },
            ShareCall::Timeline,
            ShareCall::CreateFence {
                timeline: Slot::FIRST,
                value: Value::FIRST,
            },
            // One that has ended: not each in-fence is to hold its job up.
            ShareCall::ExportFence {
                buffer: Slot::FIRST,
                access: Value::FIRST,
            },
            ShareCall::VgemCreate { size: Value::FIRST },
            ShareCall::VgemExport {
                handle: Slot::FIRST,
            },
        ] {
            self.share(&call);
        }
    }

    /// Memory of the system dma-heap, shared from the start.
    pub fn heap(&self, len: u64) -> Option<RawFd> {
        let heap = self.call("open heap", 0, || {
            sys::open("/dev/dma_heap/system", libc::O_RDWR)
        });
        let heap = heap.ok()?;
        let flags = (libc::O_RDWR | libc::O_CLOEXEC) as u64;
        // A descriptor of 32 bits, then the flags of the new one.
        let mut arg = [len, flags << 32, 0];
        let answer = self.call("HEAP_ALLOC", 0, || sys::ioctl(heap, HEAP_ALLOC, &mut arg));
        self.close(heap);
        answer.ok()?;
        let fd = arg[1] as u32 as RawFd;
        self.keep(&self.world.buffers, fd);
        Some(fd)
    }

    /// For the test of the oracle: a dma-buf with a fence that is not signalled before the timeline,
    /// which is in no table, is closed.
    pub fn unknown_fence(&self) -> Option<RawFd> {
        let timeline = sys::open(SW_SYNC, libc::O_RDWR).ok()?;
        let mut fence = [0_u32; 10];
        fence[0] = 1;
        sys::ioctl(timeline, CREATE_FENCE, &mut fence).ok()?;
        let mut import = [3, fence[9]];
        sys::ioctl(self.heap(PAGE)?, IMPORT_SYNC_FILE, &mut import).ok()?;
        sys::close(fence[9] as RawFd).ok()?;
        Some(timeline)
    }

    /// A dma-buf in another process, which outlives this program: a leak for the test to find.
    pub fn lend_buffer(&self) {
        let Some(buffer) = self.heap(PAGE) else {
            return;
        };
        if let Ok(own) = sys::borrow(buffer).try_clone_to_owned() {
            let mut holder = Command::new("sleep");
            let _ = holder.arg("3600").stdin(own).spawn();
        }
    }

    /// Keeps a sync_file, if the call that gives it was right.
    pub(crate) fn keep_fence(&self, answer: Result<i32, i32>, fd: u32) {
        if answer.is_ok() {
            self.keep(&self.world.fences, fd as RawFd);
        }
    }

    /// Closes what was taken out of a table.
    pub fn end(&self, fd: Option<RawFd>) {
        if let Some(fd) = fd {
            self.close(fd);
        }
    }
}
