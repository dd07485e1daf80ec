// SPDX-License-Identifier: GPL-2.0-only

//! Inputs that depend on a seed only, whatever the kernel answers.

use std::hash::{DefaultHasher, Hash, Hasher};

/// How many inputs [`Maker::digest`] is of: fewer than any run has.
pub const DIGESTED: u64 = 100;

/// Makes inputs of which nothing but the seed decides.
#[derive(Clone, Debug)]
pub struct Maker {
    seed: u64,
    made: u64,
    digest: DefaultHasher,
}

impl Maker {
    /// None were made.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            made: 0,
            digest: DefaultHasher::new(),
        }
    }

    /// Makes the next one, and says how long it is.
    pub fn make(&mut self, room: &mut [u8]) -> usize {
        let mixed = self.seed ^ self.made.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = fastrand::Rng::with_seed(mixed);
        let len = random.usize(room.len() / 2..=room.len());
        random.fill(&mut room[..len]);
        if self.made < DIGESTED {
            room[..len].hash(&mut self.digest);
        }
        self.made += 1;
        len
    }

    /// Of the first inputs: the same for the same seed.
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let inputs = |seed| {
            let mut maker = Maker::new(seed);
            let mut room = [0; 64];
            let mut made = || {
                let len = maker.make(&mut room);
                room[..len].to_vec()
            };
            let two = [made(), made()];
            (two, maker.digest())
        };
        let (made, digest) = inputs(1);
        assert_ne!(made[0], made[1]);
        assert_eq!(inputs(1), (made, digest));
        assert_ne!(inputs(2).1, digest);
    }
}
