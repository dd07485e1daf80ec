// SPDX-License-Identifier: GPL-2.0-only

//! The structures of V4L2 that have unions in them.

use uapi::stateless::Control;
use v4l2r::bindings::{
    v4l2_buffer, v4l2_buffer__bindgen_ty_1, v4l2_buffer__bindgen_ty_2, v4l2_ext_controls,
    v4l2_ext_controls__bindgen_ty_1, v4l2_format, v4l2_format__bindgen_ty_1, v4l2_pix_format,
    v4l2_pix_format_mplane, v4l2_plane, v4l2_plane__bindgen_ty_1, v4l2_plane_pix_format,
};

use crate::sys::{self, Answer};

/// V4L2_MEMORY_MMAP.
pub const MMAP: u32 = 1;
/// V4L2_MEMORY_USERPTR.
pub const USERPTR: u32 = 2;
/// V4L2_MEMORY_DMABUF.
pub const DMABUF: u32 = 4;

/// V4L2_FIELD_NONE.
const FIELD_NONE: u32 = 1;
/// V4L2_CTRL_WHICH_REQUEST_VAL.
const WHICH_REQUEST: u32 = 0x0f01_0000;

/// A picture format.
#[derive(Clone, Copy, Debug)]
pub struct Picture {
    /// V4L2_BUF_TYPE_.
    pub kind: u32,
    /// Whether the type is one with planes.
    pub mplane: bool,
    /// The pixels.
    pub format: u32,
    /// Width and height.
    pub size: (u32, u32),
    /// Bytes of a bitstream's buffer, or 0.
    pub bytes: u32,
}

impl Picture {
    /// The kernel's form.
    pub fn raw(self) -> v4l2_format {
        let (width, height) = self.size;
        let fmt = if self.mplane {
            let mut plane_fmt = [v4l2_plane_pix_format::default(); 8];
            plane_fmt[0].sizeimage = self.bytes;
            let pix_mp = v4l2_pix_format_mplane {
                width,
                height,
                pixelformat: self.format,
                field: FIELD_NONE,
                plane_fmt,
                num_planes: 1,
                ..v4l2_pix_format_mplane::default()
            };
            v4l2_format__bindgen_ty_1 { pix_mp }
        } else {
            let pix = v4l2_pix_format {
                width,
                height,
                pixelformat: self.format,
                field: FIELD_NONE,
                sizeimage: self.bytes,
                ..v4l2_pix_format::default()
            };
            v4l2_format__bindgen_ty_1 { pix }
        };
        v4l2_format {
            type_: self.kind,
            fmt,
        }
    }
}

/// The size of a buffer, of its first plane.
pub fn size_image(format: &v4l2_format, mplane: bool) -> u32 {
    if mplane {
        // SAFETY: numbers only, so that all bytes are right.
        let pix = unsafe { format.fmt.pix_mp };
        let planes = pix.plane_fmt;
        planes[0].sizeimage
    } else {
        // SAFETY: numbers only, so that all bytes are right.
        unsafe { format.fmt.pix }.sizeimage
    }
}

/// What QBUF, DQBUF, PREPARE_BUF and QUERYBUF say of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// V4L2_BUF_TYPE_.
    pub kind: u32,
    /// Whether the type is one with planes.
    pub mplane: bool,
    /// Which buffer.
    pub index: u32,
    /// V4L2_MEMORY_.
    pub memory: u32,
    /// What is imported.
    pub dmabuf: i32,
    /// V4L2_BUF_FLAG_.
    pub flags: u32,
    /// The request to be part of.
    pub request: i32,
    /// How many bytes are in use.
    pub used: u32,
    /// How large it is.
    pub len: u32,
    /// The in-fence, or garbage.
    pub fence: i32,
}

/// What they say when they are right.
#[derive(Clone, Copy, Debug)]
pub struct Returned {
    /// Which buffer.
    pub index: u32,
    /// Where to map it.
    pub offset: u32,
    /// The out-fence, or what there is instead.
    pub fence: i32,
}

impl Buffer {
    /// Makes the ioctl.
    pub fn call(self, fd: i32, request: u32) -> Answer<Returned> {
        let (arena, _) = sys::arena();
        let mut plane = v4l2_plane {
            bytesused: self.used,
            length: self.len,
            m: match self.memory {
                USERPTR => v4l2_plane__bindgen_ty_1 {
                    userptr: arena as u64,
                },
                DMABUF => v4l2_plane__bindgen_ty_1 { fd: self.dmabuf },
                _ => v4l2_plane__bindgen_ty_1 { userptr: 0 },
            },
            ..v4l2_plane::default()
        };
        let mut raw = v4l2_buffer {
            index: self.index,
            type_: self.kind,
            memory: self.memory,
            flags: self.flags,
            field: FIELD_NONE,
            bytesused: self.used,
            length: if self.mplane { 1 } else { self.len },
            m: match (self.mplane, self.memory) {
                (true, _) => v4l2_buffer__bindgen_ty_1 {
                    planes: &raw mut plane,
                },
                (false, USERPTR) => v4l2_buffer__bindgen_ty_1 {
                    userptr: arena as u64,
                },
                (false, DMABUF) => v4l2_buffer__bindgen_ty_1 { fd: self.dmabuf },
                (false, _) => v4l2_buffer__bindgen_ty_1 { userptr: 0 },
            },
            // fence_fd, which is newer than the header.
            reserved2: self.fence as u32,
            __bindgen_anon_1: v4l2_buffer__bindgen_ty_2 {
                request_fd: self.request,
            },
            ..v4l2_buffer::default()
        };
        // SAFETY: the address of planes is that of one plane, and `length` says so; that of the
        // user's memory is the arena, into which `length` does not let the kernel go too far: the
        // lengths that are used are smaller, or it is refused.
        unsafe { sys::ioctl_any(fd, request, &mut raw) }?;
        let offset = if self.mplane {
            // SAFETY: a number, whatever it stands for.
            unsafe { plane.m.mem_offset }
        } else {
            // SAFETY: a number, whatever it stands for.
            unsafe { raw.m.offset }
        };
        Ok(Returned {
            index: raw.index,
            offset,
            fence: raw.reserved2 as i32,
        })
    }
}

/// Sets controls, in a request or at once.
pub fn set_controls(
    fd: i32,
    ioctl: u32,
    request: Option<i32>,
    controls: &mut [Control],
) -> Answer<i32> {
    let mut list: Vec<_> = controls.iter_mut().map(Control::raw).collect();
    let mut raw = v4l2_ext_controls {
        __bindgen_anon_1: v4l2_ext_controls__bindgen_ty_1 {
            which: request.map_or(0, |_| WHICH_REQUEST),
        },
        count: list.len() as u32,
        request_fd: request.unwrap_or(0),
        controls: list.as_mut_ptr(),
        ..v4l2_ext_controls::default()
    };
    // SAFETY: the address is that of the list, of which `count` says how long it is; those in it
    // are of `controls`, with their sizes.
    unsafe { sys::ioctl_any(fd, ioctl, &mut raw) }
}
