// SPDX-License-Identifier: GPL-2.0

//! Sharing buffers between devices: fences and reservation objects.
//!
//! A fence says when a device is done with a buffer. A reservation object holds the fences of one
//! buffer, and all drivers that share the buffer look there. This module lets a driver publish
//! fences of its own:
//!
//! 1. where sleeping and failing are fine: [`DriverFenceAllocation::new`];
//! 2. when the job is certain to run: lock ([`Reservation::lock`], [`Reservation::lock_all`]),
//!    reserve ([`FenceSlots`]), [`DriverFenceAllocation::publish`], start the hardware;
//! 3. when the hardware is done, in any context: [`DriverFence::signal`], or, where several
//!    contexts may end the job, [`JobFence::end`].
//!
//! The types allow no other order. Consumers get a [`Fence`], which cannot be signalled. A driver
//! that consumes asks a reservation object what it has to wait for
//! ([`Reservation::for_each_pending`]), and is told when that is over ([`FenceCbRegistration`]).
//!
//! Reference: <https://docs.kernel.org/driver-api/dma-buf.html>

mod callback;
mod context;
mod driver_fence;
mod fence;
mod pending;
mod reservation;
mod signalling;
mod spare;
mod usage;

pub use self::callback::{AlreadySignalled, FenceCb, FenceCbRegistration};
pub use self::context::FenceContext;
pub use self::driver_fence::{DriverFence, DriverFenceAllocation, JobFence};
pub use self::fence::{Fence, Status};
pub use self::reservation::{FenceSlots, LockedReservations, Reservation, ReservationGuard, Usage};
pub use self::signalling::SignallingGuard;
pub use self::spare::SpareAllocation;
pub use self::usage::DmaResvUsage;
