//! Reactions.

use plugin_conformance::embedded::Notice;
use plugin_proto::v1;

use super::people::NOBODY;
use super::posts::{Place, get};
use super::{Told, alone, refused};

fn reaction(post: &v1::Post, emoji: &str) -> v1::Reaction {
    v1::Reaction {
        user_id: post.user_id.clone(),
        post_id: post.id.clone(),
        emoji_name: emoji.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn reactions_come_and_go() {
    let (server, api) = alone();
    let place = Place::of(&api).await;
    let post = place.post("hello").await;
    let told = Told::by(&server);
    let add = async |it: v1::Reaction| {
        api.add_reaction(v1::AddReactionRequest { reaction: Some(it) }).await
    };
    let first = add(reaction(&post, "tada")).await.unwrap().reaction.unwrap();
    assert_eq!(first.channel_id.as_ref(), Some(&post.channel_id));
    assert!(first.create_at > 0 && first.create_at == first.update_at);
    let again = add(reaction(&post, "tada")).await.unwrap().reaction.unwrap();
    assert!(again.create_at > first.create_at);
    let list = async || {
        let request = v1::GetReactionsRequest { post_id: post.id.clone() };
        api.get_reactions(request).await.unwrap().reactions
    };
    let listed = list().await;
    assert_eq!((listed.len(), listed[0].create_at), (1, first.create_at));
    let after = get(&api, &post.id).await.unwrap();
    assert!(after.has_reactions && after.update_at > post.update_at);

    let remove = async |it: v1::Reaction| {
        api.remove_reaction(v1::RemoveReactionRequest { reaction: Some(it) }).await
    };
    remove(reaction(&post, "tada")).await.unwrap();
    remove(reaction(&post, "never_was")).await.unwrap();
    assert_eq!(list().await, []);
    assert!(!get(&api, &post.id).await.unwrap().has_reactions);
    let hooks: Vec<_> = told.take().iter().map(Notice::hook).collect();
    let (added, removed) = ("ReactionHasBeenAdded", "ReactionHasBeenRemoved");
    assert_eq!(hooks, [added, added, removed, removed]);

    refused(add(reaction(&post, "no_such")).await, "app.emoji.get_by_name.no_result", 404);
    let lost = v1::Post { id: NOBODY.into(), ..post.clone() };
    refused(add(reaction(&lost, "tada")).await, "app.post.get.app_error", 404);
    refused(remove(reaction(&lost, "tada")).await, "app.post.get.app_error", 404);
    let nobody = v1::Reaction { user_id: "x".into(), ..reaction(&post, "tada") };
    refused(add(nobody).await, "model.reaction.is_valid.user_id.app_error", 400);
}
