// SPDX-License-Identifier: GPL-2.0-only

//! Calls of vkms. It is never switched off, and no framebuffer on its plane is removed (which would
//! switch it off): see [`crate::found::Everything::screen`].

use std::sync::atomic::{AtomicI32, Ordering};

use drm_ffi::mode::dumbbuffer;
use drm_ffi::{gem, mode};
use rustix::ioctl::opcode;

use crate::calls::DisplayCall;
use crate::count::THREADS;
use crate::found::MODE;
use crate::grammar::{Slot, Value};
use crate::sys;
use crate::world::Actor;

/// `struct drm_mode_closefb`: unlike RMFB it leaves the plane alone.
const CLOSE_FRAMEBUFFER: u32 = opcode::read_write::<[u32; 2]>(b'd', 0xd0);

/// DRM_MODE_PAGE_FLIP_EVENT, DRM_MODE_PAGE_FLIP_ASYNC.
const EVENT: u32 = 1;
const ASYNC: u32 = 2;
/// DRM_MODE_ATOMIC_TEST_ONLY, _NONBLOCK.
const TEST_ONLY: u32 = 0x100;
const NONBLOCK: u32 = 0x200;

/// Where the kernel puts the fence of a commit.
static OUT_FENCES: [AtomicI32; THREADS] = [const { AtomicI32::new(-1) }; THREADS];

/// Pixels and bytes of a line.
const FORMATS: [([u8; 4], u32); 2] = [(*b"XR24", MODE.width * 4), (*b"RG16", MODE.width * 2)];
const BROKEN_FORMATS: [([u8; 4], u32); 3] = [(*b"XR24", 3), (*b"NV12", 64), (*b"FUZZ", 64)];

impl Actor<'_> {
    /// Makes a call of the display.
    pub fn display(&self, call: &DisplayCall) {
        use DisplayCall as D;
        let world = self.world;
        let screen = world.screen;
        let card = sys::borrow(screen.fd);
        let framebuffer_of = |slot: Slot| world.framebuffers.get(slot).unwrap_or_else(|n| n as u32);
        let handle_of = |slot: Slot| world.handles.get(slot).unwrap_or(99);
        match *call {
            D::Dumb { size } => {
                let side = size.pick(&[64, 128], &[0, 1, u32::MAX]);
                let answer = self.call("CREATE_DUMB", 0, || {
                    dumbbuffer::create(card, side, side, 32, 0).map_err(sys::errno_of)
                });
                if let Ok(made) = answer {
                    self.keep_handle(made.handle);
                }
            }
            D::Import { buffer } => {
                let buffer = world.fd(&world.buffers, buffer);
                let answer = self.call("FD_TO_HANDLE", 0, || {
                    gem::fd_to_handle(card, sys::borrow(buffer)).map_err(sys::errno_of)
                });
                if let Ok(prime) = answer {
                    self.keep_handle(prime.handle);
                    // So that imports often are shown.
                    self.add_framebuffer(prime.handle, FORMATS[0]);
                }
            }
            D::Export { handle } => {
                let number = handle_of(handle);
                let flags = (libc::O_RDWR | libc::O_CLOEXEC) as u32;
                let answer = self.call("HANDLE_TO_FD", 0, || {
                    gem::handle_to_fd(card, number, flags).map_err(sys::errno_of)
                });
                if let Ok(prime) = answer {
                    self.keep(&world.buffers, prime.fd);
                }
            }
            D::AddFramebuffer { handle, format } => {
                let format = format.pick(&FORMATS, &BROKEN_FORMATS);
                self.add_framebuffer(handle_of(handle), format);
            }
            D::CloseFramebuffer { framebuffer } => {
                if let Some(number) = world.framebuffers.take(framebuffer) {
                    self.close_framebuffer(number);
                }
            }
            D::Flip { framebuffer, flags } => {
                let number = framebuffer_of(framebuffer);
                world.shown.store(true, Ordering::Relaxed);
                let flags = flags.pick(&[0, EVENT], &[ASYNC, 0x80]);
                let _ = self.call("PAGE_FLIP", 0, || {
                    mode::page_flip(card, screen.crtc, number, flags, 0).map_err(sys::errno_of)
                });
            }
            D::Commit {
                framebuffer,
                flags,
                fence,
                out_fence,
            } => {
                let flags = flags.pick(
                    &[NONBLOCK, NONBLOCK | EVENT, TEST_ONLY, 0],
                    &[1 << 31, TEST_ONLY | EVENT],
                );
                let fence = fence.map(|slot| world.fd(&world.fences, slot));
                self.commit(framebuffer_of(framebuffer), flags, fence, out_fence);
            }
            D::SetPlane { framebuffer } => {
                let number = framebuffer_of(framebuffer);
                world.shown.store(true, Ordering::Relaxed);
                let (width, height) = (MODE.width, MODE.height);
                let _ = self.call("SETPLANE", 0, || {
                    let (plane, crtc) = (screen.plane, screen.crtc);
                    let source = (width << 16, height << 16);
                    mode::set_plane(
                        card, plane, crtc, number, 0, 0, 0, width, height, 0, 0, source.0, source.1,
                    )
                    .map_err(sys::errno_of)
                });
            }
            D::CloseHandle { handle } => {
                if let Some(handle) = world.handles.take(handle) {
                    self.close_handle(handle);
                }
            }
            D::ReadEvents => {
                let _ = self.call("read events", 0, || sys::read(screen.fd));
            }
        }
    }

    fn keep_handle(&self, number: u32) {
        if let Some(old) = self.world.handles.add(number) {
            self.close_handle(old);
        }
    }

    /// Closes a handle.
    pub fn close_handle(&self, number: u32) {
        let card = sys::borrow(self.world.screen.fd);
        let _ = self.call("GEM_CLOSE", 0, || {
            gem::close(card, number).map_err(sys::errno_of)
        });
    }

    /// What other calls need.
    pub fn begin_showing(&self) {
        for call in [
            DisplayCall::Dumb { size: Value::FIRST },
            DisplayCall::AddFramebuffer {
                handle: Slot::FIRST,
                format: Value::FIRST,
            },
            DisplayCall::Import {
                buffer: Slot::FIRST,
            },
        ] {
            self.display(&call);
        }
    }

    fn add_framebuffer(&self, handle: u32, (format, pitch): ([u8; 4], u32)) {
        let card = sys::borrow(self.world.screen.fd);
        let format = u32::from_le_bytes(format);
        let answer = self.call("ADDFB2", 0, || {
            let (handles, pitches) = ([handle, 0, 0, 0], [pitch, 0, 0, 0]);
            mode::add_fb2(
                card,
                MODE.width,
                MODE.height,
                format,
                &handles,
                &pitches,
                &[0; 4],
                &[0; 4],
                0,
            )
            .map_err(sys::errno_of)
        });
        if let Ok(made) = answer {
            if let Some(old) = self.world.framebuffers.add(made.fb_id) {
                self.close_framebuffer(old);
            }
        }
    }

    /// Closes a framebuffer, which stays on the plane if it is there.
    pub fn close_framebuffer(&self, number: u32) {
        let mut arg = [number, 0];
        let fd = self.world.screen.fd;
        let _ = self.call("CLOSEFB", 0, || sys::ioctl(fd, CLOSE_FRAMEBUFFER, &mut arg));
    }

    fn commit(&self, framebuffer: u32, flags: u32, fence: Option<i32>, out_fence: bool) {
        let screen = self.world.screen;
        self.world.shown.store(true, Ordering::Relaxed);
        let mut objects = vec![screen.plane];
        let mut counts = vec![1];
        let mut properties = vec![screen.plane_properties[0]];
        let mut values = vec![u64::from(framebuffer)];
        if let Some(fence) = fence {
            counts[0] += 1;
            properties.push(screen.plane_properties[1]);
            values.push(i64::from(fence) as u64);
        }
        let place = &OUT_FENCES[self.number];
        place.store(-1, Ordering::Relaxed);
        if out_fence {
            objects.push(screen.crtc);
            counts.push(1);
            properties.push(screen.out_fence);
            values.push(place.as_ptr().expose_provenance() as u64);
        }
        let answer = self.call("ATOMIC", flags, || {
            let card = sys::borrow(screen.fd);
            let (objects, counts) = (&mut objects[..], &mut counts[..]);
            mode::atomic_commit(card, flags, objects, counts, &mut properties, &mut values)
                .map_err(sys::errno_of)
        });
        let fd = place.load(Ordering::Relaxed);
        if answer.is_ok() && fd >= 0 {
            self.keep(&self.world.fences, fd);
        }
    }

    /// Shows what is shown between inputs, and waits until it is.
    pub fn show_base(&self) {
        if !self.world.shown.load(Ordering::Relaxed) {
            return;
        }
        self.commit(self.world.screen.base, 0, None, false);
    }
}
