//! Groups. Without a licence none can be made, so that the five reads that need no licence find
//! nothing, and everything else is refused before the request is looked at.

use plugin_proto::v1;

use super::super::ctx::Ctx;
use super::super::paging::Page;
use super::super::refusal::{forbidden, internal, not_found};
use crate::api::AppError;

macro_rules! licensed {
    ($($method:ident $request:ident $response:ident;)*) => {
        $(
            pub(in super::super) async fn $method(
                _: &Ctx,
                _: v1::$request,
            ) -> Result<v1::$response, AppError> {
                let message = "Groups need a licence, which Team Edition does not have.";
                Err(forbidden("app.group.license_error", message))
            }
        )*
    };
}

licensed! {
    upsert_group_member UpsertGroupMemberRequest UpsertGroupMemberResponse;
    upsert_group_members UpsertGroupMembersRequest UpsertGroupMembersResponse;
    get_group_by_remote_id GetGroupByRemoteIdRequest GetGroupByRemoteIdResponse;
    create_group CreateGroupRequest CreateGroupResponse;
    update_group UpdateGroupRequest UpdateGroupResponse;
    delete_group DeleteGroupRequest DeleteGroupResponse;
    restore_group RestoreGroupRequest RestoreGroupResponse;
    delete_group_member DeleteGroupMemberRequest DeleteGroupMemberResponse;
    get_group_syncable GetGroupSyncableRequest GetGroupSyncableResponse;
    get_group_syncables GetGroupSyncablesRequest GetGroupSyncablesResponse;
    upsert_group_syncable UpsertGroupSyncableRequest UpsertGroupSyncableResponse;
    update_group_syncable UpdateGroupSyncableRequest UpdateGroupSyncableResponse;
    delete_group_syncable DeleteGroupSyncableRequest DeleteGroupSyncableResponse;
    get_groups GetGroupsRequest GetGroupsResponse;
    create_default_syncable_memberships
        CreateDefaultSyncableMembershipsRequest CreateDefaultSyncableMembershipsResponse;
    delete_group_constrained_memberships
        DeleteGroupConstrainedMembershipsRequest DeleteGroupConstrainedMembershipsResponse;
}

fn no_group() -> AppError {
    not_found("app.group.no_rows", "no matching group found")
}

pub(in super::super) async fn get_group(
    _: &Ctx,
    _: v1::GetGroupRequest,
) -> Result<v1::GetGroupResponse, AppError> {
    Err(no_group())
}

pub(in super::super) async fn get_group_by_name(
    _: &Ctx,
    _: v1::GetGroupByNameRequest,
) -> Result<v1::GetGroupByNameResponse, AppError> {
    Err(no_group())
}

/// A group that is not there has no members: no error.
pub(in super::super) async fn get_group_member_users(
    _: &Ctx,
    it: v1::GetGroupMemberUsersRequest,
) -> Result<v1::GetGroupMemberUsersResponse, AppError> {
    if Page::of(it.page, it.per_page).is_none() {
        return Err(internal("app.select_error", "A page and its size are 0 or more."));
    }
    Ok(v1::GetGroupMemberUsersResponse::default())
}

pub(in super::super) async fn get_groups_by_source(
    _: &Ctx,
    _: v1::GetGroupsBySourceRequest,
) -> Result<v1::GetGroupsBySourceResponse, AppError> {
    Ok(v1::GetGroupsBySourceResponse::default())
}

pub(in super::super) async fn get_groups_for_user(
    _: &Ctx,
    _: v1::GetGroupsForUserRequest,
) -> Result<v1::GetGroupsForUserResponse, AppError> {
    Ok(v1::GetGroupsForUserResponse::default())
}
