//! Pictures of users and icons of teams.

use image::{DynamicImage, GenericImageView as _, ImageFormat};
use plugin_proto::v1;

use super::people::{NOBODY, get_user, team, user};
use super::{alone, refused};

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::new_rgb8(width, height).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn is_square(png: &[u8]) -> bool {
    let picture = image::load_from_memory_with_format(png, ImageFormat::Png).unwrap();
    picture.dimensions() == (128, 128)
}

#[tokio::test]
async fn a_user_has_a_picture() {
    let (server, api) = alone();
    let ada = user(&api, "ada").await;
    server.outbox().take();
    let get = |user_id: &str| {
        api.get_profile_image(v1::GetProfileImageRequest { user_id: user_id.into() })
    };
    let set = |user_id: &str, data: Vec<u8>| {
        let request = v1::SetProfileImageRequest { user_id: user_id.into(), data: data.into() };
        api.set_profile_image(request)
    };
    let missing = "app.user.missing_account.const";
    refused(get(NOBODY).await, missing, 404);
    refused(set(NOBODY, Vec::new()).await, missing, 404);
    let generated = get(&ada.id).await.unwrap().image;
    assert!(is_square(&generated));
    let decode = "api.user.upload_profile_user.decode.app_error";
    refused(set(&ada.id, Vec::new()).await, decode, 400);
    refused(set(&ada.id, b"no picture".to_vec()).await, decode, 400);
    set(&ada.id, picture(300, 20, ImageFormat::Jpeg)).await.unwrap();
    let stored = get(&ada.id).await.unwrap().image;
    assert!(is_square(&stored) && stored != generated);
    let now = get_user(&api, &ada.id).await;
    assert!(now.last_picture_update > 0 && now.update_at == now.last_picture_update);
    set(&ada.id, picture(300, 20, ImageFormat::Jpeg)).await.unwrap();
    assert_eq!(server.outbox().websocket_events().len(), 1, "the same again tells nobody");
}

#[tokio::test]
async fn an_icon_that_is_removed_can_still_be_got() {
    let (_server, api) = alone();
    let core = team(&api, "core").await;
    let get = |team_id: &str| api.get_team_icon(v1::GetTeamIconRequest { team_id: team_id.into() });
    let set = |team_id: &str, data: Vec<u8>| {
        api.set_team_icon(v1::SetTeamIconRequest { team_id: team_id.into(), data: data.into() })
    };
    let remove =
        |team_id: &str| api.remove_team_icon(v1::RemoveTeamIconRequest { team_id: team_id.into() });
    let missing = "app.team.get.find.app_error";
    refused(get(NOBODY).await, missing, 404);
    refused(set(NOBODY, Vec::new()).await, missing, 404);
    refused(remove(NOBODY).await, missing, 404);
    refused(get(&core.id).await, "api.team.get_team_icon.read_file.app_error", 404);
    refused(set(&core.id, vec![1]).await, "api.team.set_team_icon.decode.app_error", 400);
    set(&core.id, picture(8, 8, ImageFormat::Gif)).await.unwrap();
    assert!(is_square(&get(&core.id).await.unwrap().icon));
    remove(&core.id).await.unwrap();
    let request = v1::GetTeamRequest { team_id: core.id.clone() };
    let team = api.get_team(request).await.unwrap().team.unwrap();
    assert_eq!((team.last_team_icon_update, team.update_at), (0, 0));
    assert!(is_square(&get(&core.id).await.unwrap().icon));
}
