//! What the server makes of pictures: their size, and smaller ones of them.

use std::io::Cursor;

use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{AnimationDecoder as _, DynamicImage, ImageDecoder as _, ImageFormat, ImageReader};

/// A thumbnail is at most so wide and so high, in pixels.
const THUMBNAIL: (u32, u32) = (120, 100);
/// A preview is at most so wide, in pixels.
const PREVIEW_WIDTH: u32 = 1920;
/// The side of a mini preview, in pixels.
const MINI_PREVIEW: u32 = 16;
const JPEG_QUALITY: u8 = 90;

/// What a picture's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// In pixels, as it is shown.
    pub(super) width: u32,
    /// In pixels, as it is shown.
    pub(super) height: u32,
    pub(super) format: ImageFormat,
}

/// The header; `None` for what is no picture that can be read.
pub(super) fn header(data: &[u8]) -> Option<Header> {
    let reader = ImageReader::new(Cursor::new(data)).with_guessed_format().ok()?;
    let format = reader.format()?;
    let mut decoder = reader.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    let turned = matches!(
        decoder.orientation(),
        Ok(Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH)
    );
    let (width, height) = if turned { (height, width) } else { (width, height) };
    Some(Header { width, height, format })
}

/// The bare name of a format, such as `png`.
pub(super) fn format_name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "png",
        ImageFormat::Gif => "gif",
        ImageFormat::Jpeg => "jpeg",
        ImageFormat::WebP => "webp",
        ImageFormat::Bmp => "bmp",
        ImageFormat::Tiff => "tiff",
        _ => "",
    }
}

/// How many frames a GIF has, two for two or more; `None` if it cannot be read.
pub(super) fn gif_frames(data: &[u8]) -> Option<usize> {
    let frames = GifDecoder::new(Cursor::new(data)).ok()?.into_frames();
    let mut count = 0;
    for frame in frames.take(2) {
        frame.ok()?;
        count += 1;
    }
    Some(count)
}

/// The smaller pictures of one.
#[derive(Debug)]
pub(super) struct Smaller {
    pub(super) preview: Vec<u8>,
    pub(super) thumbnail: Vec<u8>,
}

/// The picture's preview and thumbnail, in PNG (`png`) or JPEG. Takes time: not for async threads.
pub(super) fn smaller(data: &[u8], png: bool) -> Option<Smaller> {
    let picture = upright(data)?;
    let (width, height) = (picture.width(), picture.height());
    let (most_wide, most_high) = THUMBNAIL;
    let thumbnail = if width > most_wide || height > most_high {
        picture.thumbnail(most_wide, most_high)
    } else {
        picture.clone()
    };
    let preview =
        if width > PREVIEW_WIDTH { picture.thumbnail(PREVIEW_WIDTH, u32::MAX) } else { picture };
    Some(Smaller { preview: encoded(&preview, png)?, thumbnail: encoded(&thumbnail, png)? })
}

/// 16 by 16 pixels in JPEG.
pub(super) fn mini_preview(data: &[u8]) -> Option<Vec<u8>> {
    let picture = upright(data)?;
    encoded(&picture.thumbnail_exact(MINI_PREVIEW, MINI_PREVIEW), false)
}

fn upright(data: &[u8]) -> Option<DynamicImage> {
    let reader = ImageReader::new(Cursor::new(data)).with_guessed_format().ok()?;
    let mut decoder = reader.into_decoder().ok()?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).ok()?;
    picture.apply_orientation(orientation);
    Some(picture)
}

fn encoded(picture: &DynamicImage, png: bool) -> Option<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    if png {
        picture.write_to(&mut bytes, ImageFormat::Png).ok()?;
    } else {
        let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
        picture.to_rgb8().write_with_encoder(encoder).ok()?;
    }
    Some(bytes.into_inner())
}
