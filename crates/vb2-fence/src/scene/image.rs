// SPDX-License-Identifier: GPL-2.0-only

//! A picture as a PNG file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};

use uapi::picture::Picture;

/// Writes it.
pub fn write(picture: &Picture, path: &Path) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    encode(picture, BufWriter::new(file))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn encode(picture: &Picture, to: impl Write) -> Result<()> {
    let mut encoder = png::Encoder::new(to, picture.size.width, picture.size.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    let bytes = picture.pixels.iter().flat_map(|pixel| {
        let [blue, green, red, _] = pixel.to_le_bytes();
        [red, green, blue]
    });
    writer.write_image_data(&bytes.collect::<Vec<u8>>())?;
    writer.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uapi::picture::Size;

    #[test]
    fn pixels_survive() {
        let size = Size::new(64, 20);
        let picture = Picture::frame(size, 9);
        let mut file = Vec::new();
        encode(&picture, &mut file).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file))
            .read_info()
            .unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut bytes).unwrap();
        let pixels: Vec<u32> = bytes
            .chunks_exact(3)
            .map(|rgb| u32::from_be_bytes([0, rgb[0], rgb[1], rgb[2]]))
            .collect();
        assert_eq!(pixels, picture.pixels);
    }
}
