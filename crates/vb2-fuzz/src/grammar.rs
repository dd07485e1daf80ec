// SPDX-License-Identifier: GPL-2.0-only

//! What an input says: a short program for a few threads.
//!
//! All choices are small numbers that are taken modulo the length of a table, so that each input is a
//! program, and most values make sense.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::calls::{Call, SetUp};

/// At most so many calls; a set-up or a job is one, and makes several.
pub const MAX_STEPS: usize = 48;

/// A program.
#[derive(Clone, Debug)]
pub struct Program {
    /// How many threads.
    pub threads: u8,
    /// There are fences, dma-bufs and timelines from the start.
    pub shares: bool,
    /// There are framebuffers from the start.
    pub shows: bool,
    /// Done first, one after the other: what makes jobs run.
    pub setups: Vec<SetUp>,
    /// What the threads do.
    pub steps: Vec<Step>,
}

/// A call, and the thread that makes it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The thread.
    pub thread: u8,
    /// The call.
    pub call: Call,
}

/// An entry of a table that grows and shrinks.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Slot(u8);

/// What a slot stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An entry.
    At(usize),
    /// None, or one of another table.
    Odd(usize),
}

impl Slot {
    /// The oldest entry.
    pub const FIRST: Self = Self(0);

    /// The entry, of so many.
    pub fn place(self, len: usize) -> Place {
        match usize::from(self.0) {
            number if number >= 248 || len == 0 => Place::Odd(number),
            number => Place::At(number % len),
        }
    }
}

/// A value: mostly a valid one.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Value(u8);

impl Value {
    /// The first of the valid ones.
    pub const FIRST: Self = Self(0);

    /// One of the valid, or now and then of the broken ones.
    pub fn pick<T: Copy>(self, valid: &[T], broken: &[T]) -> T {
        let number = usize::from(self.0);
        if number < 224 || broken.is_empty() {
            valid[number % valid.len()]
        } else {
            broken[number % broken.len()]
        }
    }
}

/// One of the two queues.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What the device reads.
    Output,
    /// What it writes.
    Capture,
}

impl<'a> Arbitrary<'a> for Program {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let threads = u.int_in_range(2..=3)?;
        let shares = u.ratio(3, 4)?;
        let shows = u.ratio(1, 2)?;
        let count = if u.ratio(15, 16)? {
            u.int_in_range(1..=2)?
        } else {
            0
        };
        let setups = (0..count).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        let mut steps = Vec::new();
        while steps.len() < MAX_STEPS && !u.is_empty() {
            let thread = u.int_in_range(0..=threads - 1)?;
            let call = u.arbitrary()?;
            steps.push(Step { thread, call });
        }
        Ok(Self {
            threads,
            shares,
            shows,
            setups,
            steps,
        })
    }
}

impl Program {
    /// What some bytes say; anything says something.
    pub fn parse(bytes: &[u8]) -> Self {
        Unstructured::new(bytes).arbitrary().unwrap_or(Self {
            threads: 2,
            shares: false,
            shows: false,
            setups: Vec::new(),
            steps: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maker::Maker;

    #[test]
    fn everything_is_a_program() {
        assert!(Program::parse(&[]).steps.is_empty());
        let mut room = [0; 512];
        let mut steps = 0;
        let mut jobs = 0;
        let mut maker = Maker::new(7);
        for _ in 0..200 {
            let len = maker.make(&mut room);
            let program = Program::parse(&room[..len]);
            assert!((2..=3).contains(&program.threads));
            assert!(program
                .steps
                .iter()
                .all(|step| step.thread < program.threads));
            steps += program.steps.len();
            jobs += program.setups.len();
        }
        assert!(steps > 200 * 20, "{steps} steps");
        assert!(jobs > 200, "{jobs} set-ups");
    }

    #[test]
    fn slots_and_values() {
        assert_eq!(Slot(7).place(4), Place::At(3));
        assert_eq!(Slot(250).place(4), Place::Odd(250));
        assert_eq!(Slot(0).place(0), Place::Odd(0));
        assert_eq!(Value(3).pick(&[1, 2], &[9]), 2);
        assert_eq!(Value(255).pick(&[1, 2], &[9]), 9);
        assert_eq!(Value(255).pick(&[1, 2], &[]), 2);
    }
}
