// SPDX-License-Identifier: GPL-2.0-only

//! Pictures that say which frame they are, so that an old one is known by its pixels.

use serde::Serialize;

/// What a buffer holds before its job: the green of YUV that is all 0, as rockchip-rga converts it.
pub const GREEN: u32 = 0x00_88_00;

/// What the display's writeback buffer holds before it is written.
pub const UNWRITTEN: u32 = 0xff_00_ff;

/// A frame's number is 32 squares, and 32 more of its complement; so many are in a row.
const SQUARES_PER_ROW: u32 = 16;

/// How many white pixels are between two pictures that are side by side.
const BESIDE: u32 = 8;

/// How much a channel may differ after the way through a format with fewer bits.
const TOLERANCE: u32 = 8;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl Size {
    /// So wide and so high.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// How many pixels that is.
    pub fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }
}

/// How pixels lie in memory. Both are little endian, as DRM and V4L2 name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// 32 bits: DRM_FORMAT_XRGB8888, V4L2_PIX_FMT_XBGR32.
    Xrgb8888,
    /// 16 bits: DRM_FORMAT_RGB565, V4L2_PIX_FMT_RGB565.
    Rgb565,
}

impl Layout {
    /// Bytes of a pixel.
    pub fn bytes(self) -> u32 {
        match self {
            Self::Xrgb8888 => 4,
            Self::Rgb565 => 2,
        }
    }

    /// Whether bytes are the same pixels. What is in the place of alpha means nothing.
    pub fn same(self, a: &[u8], b: &[u8]) -> bool {
        let counts = |index: usize| self == Self::Rgb565 || index % 4 != 3;
        let mut pairs = a.iter().zip(b).enumerate();
        a.len() == b.len() && pairs.all(|(index, (a, b))| a == b || !counts(index))
    }

    /// The pixel in the first bytes of a slice, which has enough of them.
    fn take(self, bytes: &[u8]) -> u32 {
        match (self, bytes) {
            (Self::Xrgb8888, [blue, green, red, ..]) => {
                u32::from_le_bytes([*blue, *green, *red, 0])
            }
            (Self::Rgb565, [low, high, ..]) => {
                let short = u32::from(u16::from_le_bytes([*low, *high]));
                (short >> 11) << 19 | (short >> 5 & 0x3f) << 10 | (short & 0x1f) << 3
            }
            _ => UNWRITTEN,
        }
    }

    fn put(self, pixel: u32, to: &mut Vec<u8>) {
        match self {
            Self::Xrgb8888 => to.extend(pixel.to_le_bytes()),
            Self::Rgb565 => {
                let [blue, green, red, _] = pixel.to_le_bytes().map(u16::from);
                let short = (red >> 3) << 11 | (green >> 2) << 5 | blue >> 3;
                to.extend(short.to_le_bytes());
            }
        }
    }
}

/// What a picture turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "shown", content = "number")]
pub enum Shown {
    /// All of the frame that was asked for.
    Wanted,
    /// All of it is what was in the buffer before the job.
    Before,
    /// The number of another frame can be read.
    Other(u32),
    /// Something else: parts of both, say.
    Torn,
    /// It was not written.
    Nothing,
}

/// A picture, with 0xRRGGBB for each pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its size.
    pub size: Size,
    /// Its pixels, line by line.
    pub pixels: Vec<u32>,
}

impl Picture {
    /// One colour.
    pub fn uniform(size: Size, colour: u32) -> Self {
        Self {
            size,
            pixels: vec![colour; size.pixels()],
        }
    }

    /// Frame `number`: no pixel is as in the frames before and after, or green.
    pub fn frame(size: Size, number: u32) -> Self {
        let Size { width, height } = size;
        let blue = 0x40 | (number % 2) << 7 | number.wrapping_mul(7) & 0x3f;
        let pixel = |i: u32| {
            let (x, y) = (i % width, i / width);
            match square_at(size, x, y) {
                Some(bit) if name(number) >> (63 - bit) & 1 == 1 => 0xff_ff_ff,
                Some(_) => 0x00_00_00,
                None => {
                    let red = 0xff * x / width;
                    let stripe = (x + y + number % 4 * 8) / 16 % 2 * 0x20;
                    let green = 0x20 + 0x80 * y / height + stripe;
                    red << 16 | green << 8 | blue
                }
            }
        };
        Self {
            size,
            pixels: (0..width * height).map(pixel).collect(),
        }
    }

    /// From pixels in memory, whose lines are `pitch` bytes apart.
    pub fn from_memory(size: Size, layout: Layout, pitch: u32, bytes: &[u8]) -> Self {
        let line = (size.width * layout.bytes()) as usize;
        let lines = bytes.chunks(pitch as usize).take(size.height as usize);
        let pixels = lines
            .flat_map(|bytes| bytes[..line.min(bytes.len())].chunks_exact(layout.bytes() as usize))
            .map(|pixel| layout.take(pixel))
            .collect();
        Self { size, pixels }
    }

    /// Both in one picture, this one at the left, and some white in between.
    pub fn beside(&self, other: &Self) -> Self {
        let (left, right) = (self.size.width, other.size.width);
        let lines = self.pixels.chunks(left as usize);
        let others = other.pixels.chunks(right as usize);
        let white = [0xff_ff_ff; BESIDE as usize];
        let lines = lines.zip(others).map(|(a, b)| [a, &white, b].concat());
        let pixels: Vec<u32> = lines.flatten().collect();
        let height = self.size.height.min(other.size.height);
        Self {
            size: Size::new(left + BESIDE + right, height),
            pixels,
        }
    }

    /// Its bytes in memory, with nothing between the lines.
    pub fn bytes(&self, layout: Layout) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.pixels.len() * layout.bytes() as usize);
        for &pixel in &self.pixels {
            layout.put(pixel, &mut bytes);
        }
        bytes
    }

    /// The number of the frame that it is, if all of its squares can be read.
    pub fn number(&self) -> Option<u32> {
        let mut name = 0;
        for bit in 0..64 {
            name = name << 1 | u64::from(self.square(bit)?);
        }
        let (number, complement) = ((name >> 32) as u32, name as u32);
        (number == !complement).then_some(number)
    }

    /// The colour of a square: white or black, in its middle.
    fn square(&self, bit: u32) -> Option<bool> {
        let side = square_side(self.size);
        let x = bit % SQUARES_PER_ROW * side + side / 2;
        let y = bit / SQUARES_PER_ROW * side + side / 2;
        let pixel = *self.pixels.get((y * self.size.width + x) as usize)?;
        let [blue, green, red, _] = pixel.to_le_bytes();
        match (red.min(green).min(blue), red.max(green).max(blue)) {
            (0xc0.., _) => Some(true),
            (_, ..0x40) => Some(false),
            _ => None,
        }
    }

    /// What it is, if it should be `wanted` and was `before` until then.
    pub fn compare(&self, wanted: &Self, before: &Self) -> Shown {
        if self.is(wanted) {
            return Shown::Wanted;
        }
        if self.is(before) {
            return Shown::Before;
        }
        if self.is(&Self::uniform(self.size, UNWRITTEN)) {
            return Shown::Nothing;
        }
        match self.number() {
            Some(number) if wanted.number() != Some(number) => Shown::Other(number),
            _ => Shown::Torn,
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.size == other.size
            && self.pixels.len() == other.pixels.len()
            && self
                .pixels
                .iter()
                .zip(&other.pixels)
                .all(|(a, b)| near(*a, *b))
    }
}

/// Whether two pixels are the same, but for what the way through a format with fewer bits costs.
pub fn near(a: u32, b: u32) -> bool {
    let channels = |pixel: u32| pixel.to_le_bytes().map(u32::from);
    let pairs = channels(a).into_iter().zip(channels(b));
    pairs.take(3).all(|(a, b)| a.abs_diff(b) <= TOLERANCE)
}

/// The number as the squares have it.
fn name(number: u32) -> u64 {
    u64::from(number) << 32 | u64::from(!number)
}

fn square_side(size: Size) -> u32 {
    size.width / SQUARES_PER_ROW
}

/// Which square of the number is at this place.
fn square_at(size: Size, x: u32, y: u32) -> Option<u32> {
    let side = square_side(size);
    let (column, row) = (x / side, y / side);
    (column < SQUARES_PER_ROW && row < 64 / SQUARES_PER_ROW).then(|| row * SQUARES_PER_ROW + column)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size::new(128, 96);

    fn through(layout: Layout, picture: &Picture) -> Picture {
        let bytes = picture.bytes(layout);
        Picture::from_memory(SIZE, layout, SIZE.width * layout.bytes(), &bytes)
    }

    #[test]
    fn numbers_can_be_read() {
        for number in [0, 1, 2, 999, 0x8000_0001, u32::MAX] {
            let frame = Picture::frame(SIZE, number);
            assert_eq!(frame.number(), Some(number));
            assert_eq!(through(Layout::Xrgb8888, &frame), frame);
            assert_eq!(through(Layout::Rgb565, &frame).number(), Some(number));
        }
        assert_eq!(Picture::uniform(SIZE, GREEN).number(), None);
        assert_eq!(Picture::uniform(SIZE, 0).number(), None);
        assert_eq!(Picture::uniform(SIZE, 0xff_ff_ff).number(), None);
    }

    #[test]
    fn frames_differ_in_every_pixel_but_the_squares() {
        let (one, two) = (Picture::frame(SIZE, 6), Picture::frame(SIZE, 7));
        let squares = SIZE.width * 4 * square_side(SIZE);
        for i in squares as usize..SIZE.pixels() {
            assert!(!near(one.pixels[i], two.pixels[i]), "pixel {i}");
            assert!(!near(one.pixels[i], GREEN), "pixel {i}");
        }
    }

    #[test]
    fn tells_what_it_is() {
        let (wanted, before) = (Picture::frame(SIZE, 5), Picture::uniform(SIZE, GREEN));
        let what = |picture: &Picture| picture.compare(&wanted, &before);
        assert_eq!(what(&through(Layout::Rgb565, &wanted)), Shown::Wanted);
        assert_eq!(what(&before), Shown::Before);
        assert_eq!(what(&Picture::frame(SIZE, 4)), Shown::Other(4));
        assert_eq!(what(&Picture::uniform(SIZE, UNWRITTEN)), Shown::Nothing);
        for line in [0, 40, SIZE.height - 1] {
            let mut torn = wanted.clone();
            let start = (line * SIZE.width) as usize;
            torn.pixels[start..].fill(GREEN);
            assert_eq!(
                what(&torn),
                if line == 0 {
                    Shown::Before
                } else {
                    Shown::Torn
                }
            );
        }
        let mut one_pixel = wanted.clone();
        one_pixel.pixels[SIZE.pixels() - 1] ^= 0x10;
        assert_eq!(what(&one_pixel), Shown::Torn);
    }

    #[test]
    fn alpha_does_not_count() {
        let xrgb = |bytes| Layout::Xrgb8888.same(&[1, 2, 3, 4], bytes);
        assert!(xrgb(&[1, 2, 3, 0xff]) && !xrgb(&[1, 2, 0, 4]) && !xrgb(&[1, 2, 3]));
        assert!(!Layout::Rgb565.same(&[1, 2, 3, 4], &[1, 2, 3, 0xff]));
    }

    #[test]
    fn lines_may_be_apart() {
        let frame = Picture::frame(SIZE, 3);
        let mut bytes = Vec::new();
        for line in frame
            .bytes(Layout::Xrgb8888)
            .chunks(SIZE.width as usize * 4)
        {
            bytes.extend(line);
            bytes.extend([0xaa; 64]);
        }
        let pitch = SIZE.width * 4 + 64;
        let read = Picture::from_memory(SIZE, Layout::Xrgb8888, pitch, &bytes);
        assert_eq!(read, frame);
    }

    #[test]
    fn side_by_side() {
        let (one, two) = (Picture::uniform(SIZE, 1), Picture::uniform(SIZE, 2));
        let both = one.beside(&two);
        assert_eq!(both.size, Size::new(2 * SIZE.width + BESIDE, SIZE.height));
        assert_eq!(both.pixels.len(), both.size.pixels());
        let line = &both.pixels[..both.size.width as usize];
        let (last, first) = (SIZE.width as usize - 1, (SIZE.width + BESIDE) as usize);
        assert_eq!(line[last..=last + 1], [1, 0xff_ff_ff]);
        assert_eq!(line[first - 1..=first], [0xff_ff_ff, 2]);
    }
}
