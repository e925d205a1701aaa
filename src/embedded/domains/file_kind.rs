//! What a file's name and bytes say of it.

use jiff::Timestamp;
use jiff::tz::Offset;
use plugin_proto::v1;

use super::super::limits::is_id;
use super::super::refusal::invalid;
use super::images;
use crate::api::AppError;

/// The creator of a file that no user has uploaded.
pub(super) const NO_USER: &str = "nouser";

/// A file of this name, without an id.
pub(super) fn named(name: &str) -> v1::FileInfo {
    let extension = extension(name);
    v1::FileInfo {
        name: name.to_owned(),
        mime_type: mime_type(&extension),
        extension,
        remote_id: Some(String::new()),
        ..Default::default()
    }
}

/// In lower case, without the dot.
fn extension(name: &str) -> String {
    let base = base_name(name);
    base.rsplit_once('.').map(|(_, extension)| extension.to_lowercase()).unwrap_or_default()
}

/// By the extension alone; texts are UTF-8.
fn mime_type(extension: &str) -> String {
    let Some(mime) = mime_guess::from_ext(extension).first_raw() else { return String::new() };
    let text = mime.starts_with("text/");
    if text { format!("{mime}; charset=utf-8") } else { mime.to_owned() }
}

/// The last element of a path; `.` for an empty one.
pub(super) fn base_name(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    match path.trim_end_matches('/') {
        "" => "/",
        path => path.rsplit('/').next().unwrap_or(path),
    }
}

pub(super) fn is_svg(it: &v1::FileInfo) -> bool {
    it.mime_type == "image/svg+xml"
}

/// A picture by its name, other than a drawing.
pub(super) fn is_picture(it: &v1::FileInfo) -> bool {
    it.mime_type.starts_with("image") && !is_svg(it)
}

/// What went wrong with a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PictureFault {
    /// It cannot be read.
    Unreadable,
    /// It is a GIF whose frames cannot be read.
    BadGif,
    /// It has more pixels than the configuration allows.
    TooLarge { width: u32, height: u32 },
}

/// Takes a picture's size from its bytes. `most` is how many pixels it may have.
pub(super) fn measure(it: &mut v1::FileInfo, data: &[u8], most: i64) -> Result<(), PictureFault> {
    let header = images::header(data).ok_or(PictureFault::Unreadable)?;
    let (width, height) = (header.width, header.height);
    it.width = i32::try_from(width).unwrap_or(i32::MAX);
    it.height = i32::try_from(height).unwrap_or(i32::MAX);
    if i64::from(width) * i64::from(height) > most {
        return Err(PictureFault::TooLarge { width, height });
    }
    it.has_preview_image = true;
    if it.mime_type == "image/gif" {
        let frames = images::gif_frames(data).ok_or(PictureFault::BadGif)?;
        it.has_preview_image = frames <= 1;
    }
    Ok(())
}

/// The paths of the preview and the thumbnail of a file.
pub(super) fn smaller_paths(path: &str, png: bool) -> (String, String) {
    let stem = match path.rsplit_once('.') {
        Some((stem, extension)) if !extension.contains('/') => stem,
        _ => path,
    };
    let extension = if png { "png" } else { "jpg" };
    (format!("{stem}_preview.{extension}"), format!("{stem}_thumb.{extension}"))
}

/// Where an uploaded file is stored.
pub(super) fn upload_path(
    now: i64,
    channel_id: &str,
    user_id: &str,
    id: &str,
    name: &str,
) -> String {
    let day = Timestamp::from_millisecond(now).unwrap_or(Timestamp::UNIX_EPOCH);
    let day = Offset::UTC.to_datetime(day).date();
    let (year, month, date) = (day.year(), day.month(), day.day());
    format!(
        "{year:04}{month:02}{date:02}/teams/noteam/channels/{channel_id}/users/{user_id}/{id}/{name}"
    )
}

/// The rules for what is stored of a file.
pub(super) fn check(it: &v1::FileInfo, path: &str) -> Result<(), AppError> {
    let refused = |field: &str| {
        let id = format!("model.file_info.is_valid.{field}.app_error");
        Err(invalid(&id, &format!("Invalid value for {field}.")).detail(format!("id={}", it.id)))
    };
    if !is_id(&it.id) {
        return refused("id");
    }
    if !is_id(&it.creator_id) && it.creator_id != NO_USER && it.creator_id != "bookmark" {
        return refused("user_id");
    }
    if !it.post_id.is_empty() && !is_id(&it.post_id) {
        return refused("post_id");
    }
    if it.create_at == 0 {
        return refused("create_at");
    }
    if it.update_at == 0 {
        return refused("update_at");
    }
    if path.is_empty() {
        return refused("path");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_is() {
        let kinds = [
            ("a.PNG", "png", "image/png"),
            ("a.tar.gz", "gz", "application/gzip"),
            ("notes.txt", "txt", "text/plain; charset=utf-8"),
            ("Makefile", "", ""),
            ("x.nosuchkind", "nosuchkind", ""),
        ];
        for (name, extension, mime_type) in kinds {
            let info = named(name);
            assert_eq!((&*info.extension, &*info.mime_type), (extension, mime_type), "{name}");
        }
    }

    #[test]
    fn the_last_element_of_a_path() {
        let cases = [("", "."), ("a/b.txt", "b.txt"), ("/", "/"), ("a/", "a"), ("b", "b")];
        for (path, base) in cases {
            assert_eq!(base_name(path), base, "{path}");
        }
    }

    #[test]
    fn paths_have_the_day() {
        let path = upload_path(1_700_000_000_000, "c", "u", "i", "n.txt");
        assert_eq!(path, "20231114/teams/noteam/channels/c/users/u/i/n.txt");
        let (preview, thumbnail) = smaller_paths("d.x/n.gif", false);
        assert_eq!((&*preview, &*thumbnail), ("d.x/n_preview.jpg", "d.x/n_thumb.jpg"));
        assert_eq!(smaller_paths("d.x/n", true).0, "d.x/n_preview.png");
    }
}
