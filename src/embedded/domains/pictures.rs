//! Square pictures of users and teams: read, turned upright, cut, and stored as PNG.

use std::io::Cursor;

use image::imageops::FilterType;
use image::{
    DynamicImage, GenericImageView as _, ImageDecoder as _, ImageError, ImageFormat, ImageReader,
    Rgb, RgbImage,
};
use rusqlite::params;

use super::super::store::{Fault, Tx, WriteTx};

/// By the id of the user or the team.
pub(super) const SCHEMA: &str = "
CREATE TABLE pictures (
    id TEXT PRIMARY KEY,
    png BLOB NOT NULL
) WITHOUT ROWID;
";

/// How wide and high a picture is, in pixels.
const SIDE: u32 = 128;
/// How much memory a picture may take when it is read, in bytes.
const MAX_BYTES: u64 = 512 << 20;

/// Why a picture cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is no picture.
    Decoding,
    /// It cannot be written as PNG.
    Encoding,
}

/// The middle of a picture, 128 by 128 pixels, as PNG. Takes a while.
pub(super) fn square(data: &[u8]) -> Result<Vec<u8>, Unfit> {
    let picture = upright(data).map_err(|_| Unfit::Decoding)?;
    if picture.dimensions().0 == 0 {
        return Err(Unfit::Decoding);
    }
    png(&picture.resize_to_fill(SIDE, SIDE, FilterType::Triangle)).map_err(|_| Unfit::Encoding)
}

fn upright(data: &[u8]) -> Result<DynamicImage, ImageError> {
    let mut reader = ImageReader::new(Cursor::new(data)).with_guessed_format()?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn png(picture: &DynamicImage) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// The picture of somebody who has none: a colour that the id says.
pub(super) fn generated(id: &str) -> Vec<u8> {
    let colour = COLOURS[(fnv_1a(id.as_bytes()) as usize) % COLOURS.len()];
    let picture = RgbImage::from_pixel(SIDE, SIDE, Rgb(colour));
    // A picture in memory can always be written as PNG.
    png(&DynamicImage::ImageRgb8(picture)).unwrap_or_default()
}

fn fnv_1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

const COLOURS: [[u8; 3]; 12] = [
    [197, 8, 126],
    [227, 207, 18],
    [28, 181, 105],
    [35, 188, 224],
    [116, 49, 196],
    [197, 8, 8],
    [197, 119, 8],
    [24, 140, 44],
    [28, 84, 181],
    [112, 112, 112],
    [160, 64, 64],
    [64, 96, 96],
];

/// The picture of a user or a team.
pub(super) fn find(tx: &Tx<'_>, id: &str) -> Result<Option<Vec<u8>>, Fault> {
    tx.value("SELECT png FROM pictures WHERE id = ?1", [id])
}

/// Stores a picture, or another one.
pub(super) fn save(tx: &WriteTx<'_>, id: &str, png: &[u8]) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO pictures (id, png) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET png = excluded.png",
        params![id, png],
    )
    .map(drop)
}
