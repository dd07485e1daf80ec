// SPDX-License-Identifier: GPL-2.0-only

//! System calls with arguments that were not checked: the only place with `unsafe` in it, but for
//! descriptors that are borrowed without knowing whether they are open.

use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::OnceLock;
use std::time::Duration;
use std::{fs, ptr};

use v4l2r::bindings::{
    v4l2_create_buffers, v4l2_decoder_cmd, v4l2_exportbuffer, v4l2_format, v4l2_requestbuffers,
};

/// What a call gives, or its errno.
pub type Answer<T> = Result<T, i32>;

/// Bytes of the memory that is offered as V4L2_MEMORY_USERPTR.
const ARENA: usize = 1 << 20;

/// An argument of an ioctl without an address in it, in all bytes of which anything may be.
///
/// # Safety
///
/// The kernel may read and write the bytes of the value, and must not follow any of them.
pub unsafe trait Plain {}

macro_rules! plain {
    ($($kind:ty),*) => { $(
        // SAFETY: numbers and descriptors only, by the kernel's header. Of a format, those with
        // addresses in it are for overlays, and not used here.
        unsafe impl Plain for $kind {}
    )* };
}

plain!(u32, u64, i32, [u32; 2], [u32; 4], [u32; 8], [u32; 10], [u32; 12], [u32; 16]);
plain!([u64; 2], [u64; 3], [u64; 17]);
plain!(v4l2_requestbuffers, v4l2_create_buffers, v4l2_exportbuffer);
plain!(v4l2_format, v4l2_decoder_cmd);

fn answer(result: i32) -> Answer<i32> {
    if result < 0 {
        Err(errno())
    } else {
        Ok(result)
    }
}

/// The errno of an error of the standard library.
pub fn errno_of(error: std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// An ioctl whose argument has no address in it, on whatever `fd` is.
pub fn ioctl<T: Plain>(fd: RawFd, request: u32, arg: &mut T) -> Answer<i32> {
    // SAFETY: `Plain`.
    unsafe { ioctl_any(fd, request, arg) }
}

/// An ioctl.
///
/// # Safety
///
/// Each address in the argument must be one that the kernel refuses, or of memory that it may write.
pub unsafe fn ioctl_any<T>(fd: RawFd, request: u32, arg: &mut T) -> Answer<i32> {
    assert_eq!((request >> 16) as usize & 0x3fff, size_of::<T>());
    // SAFETY: the request says how large its argument is, and that is its size; the rest is by the
    // safety requirements. Requests are of V4L2, media, dma-buf, sync_file, sw_sync and vgem, and a
    // descriptor of another kind answers ENOTTY.
    answer(unsafe { libc::ioctl(fd, request.into(), ptr::from_mut(arg)) })
}

/// As [`ioctl`], with an argument that the kernel can read, but not write.
pub fn ioctl_sealed<T: Plain>(fd: RawFd, request: u32, arg: T) -> Answer<i32> {
    assert_eq!((request >> 16) as usize & 0x3fff, size_of::<T>());
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let page = Map::with(-1, 0, size_of::<T>(), flags)?;
    // SAFETY: the mapping is as large, and begins at a page; nothing else knows of it.
    unsafe { page.at.cast::<T>().write(arg) };
    // SAFETY: of this mapping only, which nothing writes any more.
    answer(unsafe { libc::mprotect(page.at, page.len, libc::PROT_READ) })?;
    // SAFETY: `Plain`, and the request says how large it is.
    answer(unsafe { libc::ioctl(fd, request.into(), page.at) })
}

/// An ioctl with a number, or nothing, as its argument; or a string that never changes.
pub fn ioctl_number(fd: RawFd, request: u32, number: u64) -> Answer<i32> {
    // SAFETY: the requests that are used with it take no address, or only read a constant there.
    answer(unsafe { libc::ioctl(fd, request.into(), number) })
}

/// Opens a node.
pub fn open(path: &str, flags: i32) -> Answer<RawFd> {
    let path = std::ffi::CString::new(path).map_err(|_| libc::EINVAL)?;
    // SAFETY: a string that ends with a NUL.
    answer(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) })
}

/// Closes a descriptor that was taken out of the tables, so that no other thread closes it.
pub fn close(fd: RawFd) -> Answer<i32> {
    // SAFETY: descriptors in the tables belong to nothing but the tables.
    answer(unsafe { libc::close(fd) })
}

/// A second descriptor.
pub fn dup(fd: RawFd) -> Answer<RawFd> {
    // SAFETY: no memory is involved.
    answer(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })
}

/// Which descriptors are open, and what they are of.
pub fn descriptors() -> std::io::Result<BTreeMap<RawFd, PathBuf>> {
    let number =
        |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let numbers: Vec<RawFd> = fs::read_dir("/proc/self/fd")?.filter_map(number).collect();
    // That of the directory is closed by now, and has no link.
    let link = |fd| Some((fd, fs::read_link(format!("/proc/self/fd/{fd}")).ok()?));
    Ok(numbers.into_iter().filter_map(link).collect())
}

/// Where the end of a file is.
pub fn seek_end(fd: RawFd) -> Answer<i64> {
    // SAFETY: no memory is involved.
    let end = unsafe { libc::lseek(fd, 0, libc::SEEK_END) };
    if end < 0 {
        Err(errno())
    } else {
        Ok(end)
    }
}

/// Reads a few bytes and forgets them: events.
pub fn read(fd: RawFd) -> Answer<i32> {
    let mut room = [0_u8; 256];
    // SAFETY: the room is as large as is said.
    let got = unsafe { libc::read(fd, room.as_mut_ptr().cast(), room.len()) };
    answer(i32::try_from(got).unwrap_or(i32::MAX))
}

/// Asks, for at most so long, and gives what is ready.
pub fn poll(fd: RawFd, events: i16, wait: Duration) -> Answer<i16> {
    let mut asked = libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one entry, which is said to be one.
    answer(unsafe { libc::poll(&raw mut asked, 1, wait) })?;
    Ok(asked.revents)
}

/// A mapping that nothing refers to.
#[derive(Debug)]
pub struct Map {
    at: *mut libc::c_void,
    len: usize,
}

// SAFETY: addresses only, of memory that any thread may write.
unsafe impl Send for Map {}

impl Map {
    /// Maps a file.
    pub fn new(fd: RawFd, offset: i64, len: usize) -> Answer<Self> {
        Self::with(fd, offset, len, libc::MAP_SHARED)
    }

    fn with(fd: RawFd, offset: i64, len: usize, flags: i32) -> Answer<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: without an address, so that nothing is replaced.
        let at = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, fd, offset) };
        if at == libc::MAP_FAILED {
            return Err(errno());
        }
        Ok(Self { at, len })
    }

    /// What is in it, which may change at any time.
    pub fn words(&self) -> &[AtomicU64] {
        let count = self.len / size_of::<AtomicU64>();
        // SAFETY: the mapping is there as long as `self`, begins at a page, and may be changed at
        // any time, as atomic numbers may.
        unsafe { std::slice::from_raw_parts(self.at.cast(), count) }
    }

    /// Writes its first byte, which makes the kernel find the page.
    pub fn touch(&self) {
        if self.len > 0 {
            // SAFETY: inside the mapping, and at an address of a u8. Others may write it, too.
            unsafe { self.at.cast::<u8>().write_volatile(1) };
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's, and nothing refers to it.
        let done = unsafe { libc::munmap(self.at, self.len) };
        assert_eq!(done, 0, "munmap");
    }
}

/// The address of memory that the kernel may write at any time, and its length.
pub fn arena() -> (usize, usize) {
    static AT: OnceLock<usize> = OnceLock::new();
    let at = *AT.get_or_init(|| {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: new memory, which is never unmapped, and never used as a Rust value.
        let at = unsafe { libc::mmap(ptr::null_mut(), ARENA, access, kind, -1, 0) };
        assert_ne!(at, libc::MAP_FAILED, "mmap");
        at.expose_provenance()
    });
    (at, ARENA)
}

/// Lends a descriptor that may be closed, or another one by now, to a call that only looks at it.
pub fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    // -1 is not allowed for the type.
    let fd = if fd < 0 { i32::MAX } else { fd };
    // SAFETY: not -1. That it may be closed meanwhile is what this program is about; no call that it
    // is lent to relies on more than the kernel's EBADF.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// The number of the thread that asks.
pub fn thread_id() -> i32 {
    // SAFETY: cannot fail.
    unsafe { libc::gettid() }
}

/// Which signal interrupts; libFuzzer takes SIGUSR1, SIGUSR2 and SIGALRM.
const INTERRUPT: i32 = libc::SIGURG;

extern "C" fn ignored(_signal: i32) {}

/// Makes [`interrupt`] end a call with EINTR, and not be restarted.
pub fn catch_interrupts() {
    let handler: extern "C" fn(i32) = ignored;
    // SAFETY: all zeroes is a value of it: no flags, so no SA_RESTART.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: the handler does nothing, and may do so at any time.
    let done = unsafe { libc::sigaction(INTERRUPT, &raw const action, ptr::null_mut()) };
    assert_eq!(done, 0, "sigaction");
}

/// Interrupts what a thread of this process waits for in the kernel.
pub fn interrupt(thread: i32) {
    let process = std::process::id();
    // SAFETY: the handler does nothing, whichever thread has that number by now.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, INTERRUPT) };
}

/// Ends the process at once, successfully or not. libFuzzer takes exit() for a crash.
pub fn exit(status: i32) -> ! {
    // SAFETY: always possible; nothing has to be flushed but what the caller has flushed.
    unsafe { libc::_exit(status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_errnos() {
        assert_eq!(open("/nonexistent", 0), Err(libc::ENOENT));
        let null = open("/dev/null", libc::O_RDWR).unwrap();
        assert_eq!(ioctl(null, 0x8004_6200, &mut 0_u32), Err(libc::ENOTTY));
        assert_eq!(Map::new(null, 0, 0).unwrap_err(), libc::EINVAL);
        let open = descriptors().unwrap();
        assert_eq!(open.get(&null), Some(&PathBuf::from("/dev/null")));
        assert!(!open.values().any(|of| of.ends_with("fd")), "{open:?}");
        assert_eq!(close(null), Ok(0));
        assert_eq!(dup(i32::MAX), Err(libc::EBADF));
    }

    #[test]
    fn a_sealed_argument_is_not_written() {
        // RNDGETENTCNT, which has nothing to read
        const COUNT: u32 = 0x8004_5200;
        let random = open("/dev/urandom", libc::O_RDONLY).unwrap();
        assert_eq!(ioctl(random, COUNT, &mut 0_i32), Ok(0));
        assert_eq!(ioctl_sealed(random, COUNT, 0_i32), Err(libc::EFAULT));
        assert_eq!(close(random), Ok(0));
    }

    #[test]
    fn a_signal_ends_a_wait() {
        catch_interrupts();
        let me = thread_id();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(50));
                interrupt(me);
            });
            let long = Duration::from_secs(30);
            assert_eq!(poll(-1, libc::POLLIN, long), Err(libc::EINTR));
        });
    }

    #[test]
    fn the_arena_is_one() {
        assert_eq!(arena(), arena());
    }
}
