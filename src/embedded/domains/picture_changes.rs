//! The pictures of users and the icons of teams, over the API.

use plugin_proto::v1;

use super::super::ctx::Ctx;
use super::super::refusal::{internal, invalid, not_found, unavailable};
use super::pictures::{self, Unfit};
use super::{teams, user_view as view, users};
use crate::api::AppError;

const USER: &str = "api.user.upload_profile_user.upload_profile.app_error";

/// Pictures are worked on where nobody waits for the thread.
async fn square(data: bytes::Bytes, failing: [&'static str; 2]) -> Result<Vec<u8>, AppError> {
    let made = tokio::task::spawn_blocking(move || pictures::square(&data)).await;
    match made {
        Ok(Ok(png)) => Ok(png),
        Ok(Err(Unfit::Encoding)) => Err(internal(failing[1], "Unable to encode the picture.")),
        // A decoder that panics has met no picture either.
        Ok(Err(Unfit::Decoding)) | Err(_) => {
            Err(invalid(failing[0], "Unable to read the picture: it is of no known format."))
        }
    }
}

/// A user without a picture has a generated one.
pub(in super::super) async fn get_profile_image(
    ctx: &Ctx,
    it: v1::GetProfileImageRequest,
) -> Result<v1::GetProfileImageResponse, AppError> {
    let found = ctx.read("api.user.get_profile_image.not_found.app_error", move |tx| {
        let user = users::get(tx, &it.user_id)?;
        Ok((pictures::find(tx, &user.id)?, user))
    });
    let (stored, user) = found.await?;
    let image = stored.unwrap_or_else(|| pictures::generated(&user.id));
    Ok(v1::GetProfileImageResponse { image: image.into(), error: None })
}

pub(in super::super) async fn set_profile_image(
    ctx: &Ctx,
    it: v1::SetProfileImageRequest,
) -> Result<v1::SetProfileImageResponse, AppError> {
    let id = it.user_id.clone();
    ctx.read(USER, move |tx| users::get(tx, &id)).await?;
    let failing = [
        "api.user.upload_profile_user.decode.app_error",
        "api.user.upload_profile_user.encode.app_error",
    ];
    let png = square(it.data, failing).await?;
    let changed = ctx.write(USER, move |tx| {
        let mut user = users::get(tx, &it.user_id)?;
        if pictures::find(tx, &user.id)?.is_some_and(|old| old == png) {
            return Ok(None);
        }
        pictures::save(tx, &user.id, &png)?;
        user.last_picture_update = tx.now();
        user.update_at = user.last_picture_update;
        users::save(tx, &user)?;
        Ok(Some(user))
    });
    if let Some(user) = changed.await? {
        view::publish_updated_to_all(ctx, &user);
    }
    Ok(v1::SetProfileImageResponse::default())
}

pub(in super::super) async fn get_team_icon(
    ctx: &Ctx,
    it: v1::GetTeamIconRequest,
) -> Result<v1::GetTeamIconResponse, AppError> {
    const READ: &str = "api.team.get_team_icon.read_file.app_error";
    let has_files = has_files(ctx);
    let found = ctx.read((READ, 404), move |tx| {
        let team = teams::get(tx, &it.team_id)?;
        if !has_files {
            let id = "api.team.get_team_icon.filesettings_no_driver.app_error";
            return Err(unavailable(id, "There is no file storage.").into());
        }
        pictures::find(tx, &team.id)
    });
    match found.await? {
        Some(icon) => Ok(v1::GetTeamIconResponse { icon: icon.into(), error: None }),
        None => Err(not_found(READ, "Unable to read the team's icon.")),
    }
}

fn has_files(ctx: &Ctx) -> bool {
    !ctx.config().text("FileSettings", "DriverName").is_empty()
}

pub(in super::super) async fn set_team_icon(
    ctx: &Ctx,
    it: v1::SetTeamIconRequest,
) -> Result<v1::SetTeamIconResponse, AppError> {
    let id = it.team_id.clone();
    ctx.read("app.team.get.finding.app_error", move |tx| teams::get(tx, &id)).await?;
    let failing =
        ["api.team.set_team_icon.decode.app_error", "api.team.set_team_icon.encode.app_error"];
    let png = square(it.data, failing).await?;
    let team = ctx.write(("api.team.team_icon.update.app_error", 400), move |tx| {
        let mut team = teams::get(tx, &it.team_id)?;
        pictures::save(tx, &team.id, &png)?;
        team.last_team_icon_update = tx.now();
        team.update_at = team.last_team_icon_update;
        teams::save(tx, &team)?;
        Ok(team)
    });
    teams::publish(ctx, "update_team", &team.await?);
    Ok(v1::SetTeamIconResponse::default())
}

/// The team says that it has none, but the picture stays and can be got.
pub(in super::super) async fn remove_team_icon(
    ctx: &Ctx,
    it: v1::RemoveTeamIconRequest,
) -> Result<v1::RemoveTeamIconResponse, AppError> {
    let team = ctx.write(("api.team.team_icon.update.app_error", 400), move |tx| {
        let mut team = teams::get(tx, &it.team_id)?;
        (team.last_team_icon_update, team.update_at) = (0, 0);
        teams::save(tx, &team)?;
        Ok(team)
    });
    teams::publish(ctx, "update_team", &team.await?);
    Ok(v1::RemoveTeamIconResponse::default())
}
