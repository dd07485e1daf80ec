// SPDX-License-Identifier: GPL-2.0-only

//! Reading bits, and finding start codes.

use anyhow::{bail, ensure, Context, Result};

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

    /// How many bits have been read.
    pub fn position(&self) -> usize {
        self.at
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

    /// An unsigned number in H.264's exponential Golomb code.
    pub fn golomb(&mut self) -> Result<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                bail!("a number is too large");
            }
        }
        Ok((1 << zeros) - 1 + self.number(zeros)?)
    }

    /// The same, in a field of the kernel's that is smaller.
    pub fn golomb_as<T: TryFrom<u32>>(&mut self) -> Result<T> {
        let value = self.golomb()?;
        T::try_from(value)
            .ok()
            .with_context(|| format!("a value of {value} is too large"))
    }

    /// A signed number in that code.
    pub fn golomb_signed(&mut self) -> Result<i32> {
        let code = i64::from(self.golomb()?);
        let value = if code % 2 == 1 {
            (code + 1) / 2
        } else {
            -(code / 2)
        };
        i32::try_from(value).context("a number is too large")
    }

    /// The same, in a field of the kernel's that is smaller.
    pub fn golomb_signed_as<T: TryFrom<i32>>(&mut self) -> Result<T> {
        let value = self.golomb_signed()?;
        T::try_from(value)
            .ok()
            .with_context(|| format!("a value of {value} is out of range"))
    }

    /// Whether more follows than the closing bit of an H.264 unit.
    pub fn more_data(&self) -> bool {
        let Some(last) = self.data.iter().rposition(|&byte| byte != 0) else {
            return false;
        };
        let end = last * 8 + 7 - self.data[last].trailing_zeros() as usize;
        self.at < end
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
        assert_eq!(bits.position(), 12);
        assert!(bits.number(5).is_err());
    }

    #[test]
    fn golomb_codes() {
        // 1, 010, 011, 00100, 00101: 0, 1, 2, 3, 4
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let values: Vec<u32> = (0..5).map(|_| bits.golomb().unwrap()).collect();
        assert_eq!(values, [0, 1, 2, 3, 4]);
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let values: Vec<i32> = (0..5).map(|_| bits.golomb_signed().unwrap()).collect();
        assert_eq!(values, [0, 1, -1, 2, -2]);
        assert!(Bits::new(&[0; 9]).golomb().is_err());
        assert!(Bits::new(&[0b0000_0001, 0, 0, 0]).golomb_as::<u8>().is_ok());
        assert!(Bits::new(&[0, 0b0100_0000, 0, 0])
            .golomb_as::<u8>()
            .is_err());
    }

    #[test]
    fn end_of_a_unit() {
        let mut bits = Bits::new(&[0b1110_1000]);
        assert!(bits.more_data());
        bits.number(4).unwrap();
        assert!(!bits.more_data());
        assert!(!Bits::new(&[0, 0]).more_data());
    }

    #[test]
    fn parts_at_start_codes() {
        let stream = [9, 0, 0, 1, 7, 8, 0, 0, 0, 1, 5];
        assert_eq!(units(&stream), [&[7, 8, 0][..], &[5][..]]);
        assert!(units(&[1, 2, 3]).is_empty());
    }
}
