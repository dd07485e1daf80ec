// SPDX-License-Identifier: GPL-2.0-only

//! What a slow reader saw, by its pixels.

use serde::Serialize;

use uapi::picture::{near, Picture};

/// What was read from a buffer that is to be written for the next picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "saw")]
pub enum Saw {
    /// All of the picture that was there at first.
    Whole,
    /// Parts of both.
    Torn {
        /// How many pixels are of the next picture only.
        next_pixels: usize,
    },
    /// All of the next picture.
    Next,
    /// Neither the one nor the other.
    Strange {
        /// How many pixels are of neither.
        pixels: usize,
    },
}

impl Saw {
    /// What the pixels are, if they should be those of `first`, and `next` is the picture that
    /// follows.
    pub fn of(seen: &Picture, first: &Picture, next: &Picture) -> Self {
        let sizes = (seen.size == first.size, seen.size == next.size);
        if sizes != (true, true) || seen.pixels.len() != seen.size.pixels() {
            let pixels = seen.size.pixels();
            return Self::Strange { pixels };
        }
        let (mut not_first, mut not_next, mut neither) = (0, 0, 0);
        let pictures = seen.pixels.iter().zip(&first.pixels).zip(&next.pixels);
        for ((&seen, &first), &next) in pictures {
            let (is_first, is_next) = (near(seen, first), near(seen, next));
            not_first += usize::from(!is_first);
            not_next += usize::from(!is_next);
            neither += usize::from(!is_first && !is_next);
        }
        match (neither, not_first, not_next) {
            (1.., _, _) => Self::Strange { pixels: neither },
            (0, 0, _) => Self::Whole,
            (0, _, 0) => Self::Next,
            (0, next_pixels, _) => Self::Torn { next_pixels },
        }
    }

    /// Whether it is parts of the next picture, or all of it.
    pub fn is_torn(self) -> bool {
        matches!(self, Self::Torn { .. } | Self::Next)
    }

    /// In words; `pixels` is how many the picture has.
    pub fn describe(self, pixels: usize) -> String {
        match self {
            Self::Whole => "whole".into(),
            Self::Torn { next_pixels } => {
                let part = 100 * next_pixels / pixels.max(1);
                format!("TORN: {part} % of the next")
            }
            Self::Next => "the NEXT picture".into(),
            Self::Strange { pixels } => format!("{pixels} pixels are of neither"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uapi::picture::{Size, GREEN};

    const SIZE: Size = Size::new(64, 48);

    fn of(seen: &Picture) -> Saw {
        Saw::of(seen, &Picture::frame(SIZE, 7), &Picture::frame(SIZE, 8))
    }

    /// The first lines of one frame, and the rest of another one.
    fn mixed(first: u32, lines: u32, then: u32) -> Picture {
        let mut picture = Picture::frame(SIZE, first);
        let start = (lines * SIZE.width) as usize;
        picture.pixels[start..].copy_from_slice(&Picture::frame(SIZE, then).pixels[start..]);
        picture
    }

    #[test]
    fn pictures_are_told_apart() {
        assert_eq!(of(&Picture::frame(SIZE, 7)), Saw::Whole);
        assert_eq!(of(&Picture::frame(SIZE, 8)), Saw::Next);
        let half = (SIZE.pixels() / 2) as u32;
        let next_pixels = half as usize;
        assert_eq!(of(&mixed(7, 24, 8)), Saw::Torn { next_pixels });
        assert!(matches!(of(&mixed(8, 24, 7)), Saw::Torn { .. }));
        assert!(matches!(of(&mixed(7, 47, 8)), Saw::Torn { .. }));
        assert!(matches!(of(&mixed(7, 24, 9)), Saw::Strange { .. }));
        assert!(matches!(
            of(&Picture::uniform(SIZE, GREEN)),
            Saw::Strange { .. }
        ));
    }

    #[test]
    fn one_pixel_is_enough() {
        let mut picture = Picture::frame(SIZE, 7);
        let last = picture.pixels.len() - 1;
        picture.pixels[last] = Picture::frame(SIZE, 8).pixels[last];
        assert_eq!(of(&picture), Saw::Torn { next_pixels: 1 });
        picture.pixels[last] = GREEN;
        assert_eq!(of(&picture), Saw::Strange { pixels: 1 });
    }

    #[test]
    fn a_part_of_a_picture_is_strange() {
        let mut picture = Picture::frame(SIZE, 7);
        picture.pixels.pop();
        assert!(matches!(of(&picture), Saw::Strange { .. }));
        let small = Picture::frame(Size::new(32, 24), 7);
        assert!(matches!(of(&small), Saw::Strange { .. }));
    }

    #[test]
    fn only_the_next_picture_tears() {
        let all = [
            (Saw::Whole, false),
            (Saw::Torn { next_pixels: 30 }, true),
            (Saw::Next, true),
            (Saw::Strange { pixels: 1 }, false),
        ];
        for (saw, torn) in all {
            assert_eq!(saw.is_torn(), torn, "{saw:?}");
        }
        assert_eq!(all[1].0.describe(100), "TORN: 30 % of the next");
    }
}
