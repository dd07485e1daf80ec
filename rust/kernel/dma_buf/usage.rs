// SPDX-License-Identifier: GPL-2.0

//! Which fences of a reservation object a consumer asks for.
//!
//! C header: [`include/linux/dma-resv.h`](srctree/include/linux/dma-resv.h)

use crate::bindings;

/// The kinds of fences that a consumer of a buffer waits for.
///
/// Each kind includes those that are listed before it: who asks for [`Read`](Self::Read) gets the
/// fences of writers and of memory management, too.
///
/// Producers have a type of their own, [`Usage`](super::Usage), which says what a job does with the
/// buffer. A job can be no [`Kernel`](Self::Kernel) fence, for which everybody waits, whether they
/// asked for synchronisation or not, and no [`Bookkeep`](Self::Bookkeep) fence, which those who
/// rely on implicit synchronisation never see.
///
/// # Examples
///
/// ```
/// use kernel::dma_buf::DmaResvUsage;
///
/// // A device that writes waits for readers and writers, one that reads for writers only.
/// assert_eq!(DmaResvUsage::rw(true), DmaResvUsage::Read);
/// assert_eq!(DmaResvUsage::rw(false), DmaResvUsage::Write);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DmaResvUsage {
    /// Memory management: the memory is being moved or cleared.
    Kernel,
    /// Jobs that write, with implicit synchronisation.
    Write,
    /// Jobs that read, with implicit synchronisation.
    Read,
    /// Everything else that uses the memory, with explicit synchronisation or none.
    Bookkeep,
}

impl DmaResvUsage {
    /// Returns what a job with implicit synchronisation waits for, which `writes` or only reads.
    #[inline]
    pub fn rw(writes: bool) -> Self {
        if writes {
            Self::Read
        } else {
            Self::Write
        }
    }

    #[inline]
    pub(super) fn as_raw(self) -> bindings::dma_resv_usage {
        match self {
            Self::Kernel => bindings::dma_resv_usage_DMA_RESV_USAGE_KERNEL,
            Self::Write => bindings::dma_resv_usage_DMA_RESV_USAGE_WRITE,
            Self::Read => bindings::dma_resv_usage_DMA_RESV_USAGE_READ,
            Self::Bookkeep => bindings::dma_resv_usage_DMA_RESV_USAGE_BOOKKEEP,
        }
    }
}
