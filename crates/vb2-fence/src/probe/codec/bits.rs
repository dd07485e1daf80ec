// SPDX-License-Identifier: GPL-2.0-only

//! Reading bits, and finding start codes.

use anyhow::{ensure, Context, Result};

/// Reads bits from the highest of each byte on.
#[derive(Clone, Debug)]
pub struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    /// From the first bit on.
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// A flag.
    pub fn flag(&mut self) -> Result<bool> {
        let byte = self
            .data
            .get(self.at / 8)
            .context("the stream ends too soon")?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(bit == 1)
    }

    /// A number of up to 32 bits.
    pub fn number(&mut self, bits: u32) -> Result<u32> {
        ensure!(bits <= 32, "a number of {bits} bits");
        (0..bits).try_fold(0, |value, _| Ok(value << 1 | u32::from(self.flag()?)))
    }

    /// The same for a field of 8 bits or fewer.
    pub fn byte(&mut self, bits: u32) -> Result<u8> {
        u8::try_from(self.number(bits)?).context("a field is too large")
    }
}

/// The units of a stream that are parted by the start code 00 00 01, without it.
pub fn units(stream: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = stream
        .windows(3)
        .enumerate()
        .filter(|(_, window)| *window == [0, 0, 1])
        .map(|(at, _)| at + 3)
        .collect();
    let ends = starts
        .iter()
        .skip(1)
        .map(|next| next - 3)
        .chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| &stream[start..end])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let mut bits = Bits::new(&[0b1010_0110, 0xff]);
        assert!(bits.flag().unwrap());
        assert_eq!(bits.number(3).unwrap(), 0b010);
        assert_eq!(bits.byte(8).unwrap(), 0b0110_1111);
        assert!(bits.number(5).is_err());
    }

    #[test]
    fn parts_at_start_codes() {
        let stream = [9, 0, 0, 1, 7, 8, 0, 0, 0, 1, 5];
        assert_eq!(units(&stream), [&[7, 8, 0][..], &[5][..]]);
        assert!(units(&[1, 2, 3]).is_empty());
    }
}
