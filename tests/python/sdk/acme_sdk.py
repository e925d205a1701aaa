"""A small SDK, in the manner of real ones, with some methods that are right and some that are not.

What is wrong stands in the docstring of the method or class; tests/check_sdk_python.rs has the list.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

sys.path.insert(0, str(Path(__file__).parent / "generated"))

import grpc  # noqa: E402
from google.protobuf.json_format import MessageToDict, ParseDict  # noqa: E402
from google.protobuf.struct_pb2 import Value  # noqa: E402
from mattermost.pluginapi.v1 import (  # noqa: E402
    api_channel_pb2,
    api_file_pb2,
    api_kv_pb2,
    api_logging_pb2,
    api_plugin_pb2,
    api_post_pb2,
    api_server_pb2,
    api_team_pb2,
    api_user_pb2,
    file_pb2,
    logging_pb2,
    plugin_api_pb2_grpc,
    post_pb2,
    team_pb2,
    user_pb2,
)


class AcmeError(Exception):
    """A call failed."""

    def __init__(self, message: str, error_id: Optional[str] = None, status_code: Optional[int] = None):
        super().__init__(message)
        self.error_id = error_id
        self.status_code = status_code


def checked(response: Any) -> Any:
    """Raises what an AppError says."""
    if response.HasField("error"):
        error = response.error
        raise AcmeError(error.message, error.id, error.status_code)
    return response


class TeamType(Enum):
    OPEN = "O"
    INVITE = "I"


@dataclass(frozen=True)
class User:
    """Right, but without most of a user's fields."""

    id: str
    username: str = ""
    email: str = ""
    create_at: int = 0
    is_bot: bool = False
    auth_data: Optional[str] = None
    props: Dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_proto(cls, user: Any) -> "User":
        auth_data = user.auth_data if user.HasField("auth_data") else None
        return cls(
            user.id, user.username, user.email, user.create_at, user.is_bot, auth_data, dict(user.props)
        )

    def to_proto(self) -> Any:
        return user_pb2.User(
            id=self.id,
            username=self.username,
            email=self.email,
            create_at=self.create_at,
            is_bot=self.is_bot,
            auth_data=self.auth_data,
            props=self.props,
        )


@dataclass
class Team:
    id: str
    name: str = ""
    display_name: str = ""
    type: TeamType = TeamType.OPEN

    @classmethod
    def from_proto(cls, team: Any) -> "Team":
        kind = TeamType.INVITE if team.type == team_pb2.TEAM_TYPE_INVITE else TeamType.OPEN
        return cls(team.id, team.name, team.display_name, kind)


@dataclass
class Post:
    id: str
    channel_id: str = ""
    message: str = ""
    props: Dict[str, Any] = field(default_factory=dict)
    file_ids: List[str] = field(default_factory=list)

    @classmethod
    def from_proto(cls, post: Any) -> "Post":
        return cls(post.id, post.channel_id, post.message, MessageToDict(post.props), list(post.file_ids))

    def to_proto(self) -> Any:
        post = post_pb2.Post(
            id=self.id, channel_id=self.channel_id, message=self.message, file_ids=self.file_ids
        )
        ParseDict(self.props, post.props)
        return post


class Info(NamedTuple):
    """What is known of a file."""

    id: str
    name: str
    mini_preview: bytes


class Client:
    """The SDK's client."""

    def __init__(self) -> None:
        target = os.environ["MATTERMOST_PLUGIN_API_TARGET"]
        self._channel = grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)])
        self._stub = plugin_api_pb2_grpc.PluginAPIStub(self._channel)

    def _call(self, name: str, request: Any) -> Any:
        try:
            return checked(getattr(self._stub, name)(request))
        except grpc.RpcError as failure:
            # The id is before the colon; the HTTP status follows from the code.
            text, code = failure.details() or "", failure.code()
            error_id, colon, _ = text.partition(": ")
            statuses = {
                grpc.StatusCode.INVALID_ARGUMENT: 400,
                grpc.StatusCode.UNAUTHENTICATED: 401,
                grpc.StatusCode.PERMISSION_DENIED: 403,
                grpc.StatusCode.NOT_FOUND: 404,
                grpc.StatusCode.ALREADY_EXISTS: 409,
                grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
                grpc.StatusCode.UNIMPLEMENTED: 501,
                grpc.StatusCode.UNAVAILABLE: 503,
            }
            raise AcmeError(text, error_id if colon else None, statuses.get(code, 500)) from failure

    # Right.

    def get_server_version(self) -> str:
        print("an SDK that prints does no harm to the driver")
        return self._call("GetServerVersion", api_server_pb2.GetServerVersionRequest()).version

    def get_user(self, user_id: str) -> User:
        request = api_user_pb2.GetUserRequest(user_id=user_id)
        return User.from_proto(self._call("GetUser", request).user)

    def create_user(self, user: User) -> User:
        request = api_user_pb2.CreateUserRequest(user=user.to_proto())
        return User.from_proto(self._call("CreateUser", request).user)

    def get_user_by_username(self, username: str) -> User:
        request = api_user_pb2.GetUserByUsernameRequest(name=username)
        return User.from_proto(self._call("GetUserByUsername", request).user)

    def delete_user(self, user_id: str) -> None:
        self._call("DeleteUser", api_user_pb2.DeleteUserRequest(user_id=user_id))

    async def update_user_active(self, user_id: str, active: bool = True) -> None:
        request = api_user_pb2.UpdateUserActiveRequest(user_id=user_id, active=active)
        self._call("UpdateUserActive", request)

    def get_team(self, team_id: str) -> Team:
        return Team.from_proto(self._call("GetTeam", api_team_pb2.GetTeamRequest(team_id=team_id)).team)

    def get_post(self, post_id: str) -> Post:
        return Post.from_proto(self._call("GetPost", api_post_pb2.GetPostRequest(post_id=post_id)).post)

    def kv_set(self, key: str, value: bytes) -> None:
        self._call("KVSet", api_kv_pb2.KVSetRequest(key=key, value=value))

    def kv_get(self, key: str) -> Optional[bytes]:
        return self._call("KVGet", api_kv_pb2.KVGetRequest(key=key)).value or None

    def get_file_info(self, file_id: str) -> Info:
        info = self._call("GetFileInfo", api_file_pb2.GetFileInfoRequest(file_id=file_id)).file_info
        return Info(info.id, info.name, info.mini_preview)

    def get_file_infos(
        self,
        *,
        page: int = 0,
        per_page: int = 60,
        user_id: str = "",
        channel_id: str = "",
        include_deleted: bool = False,
        sort_by: str = "",
        sort_order: str = "",
    ) -> List[Info]:
        """The options are spread over arguments."""
        options = file_pb2.GetFileInfosOptions(
            user_id=user_id,
            channel_id=channel_id,
            include_deleted=include_deleted,
            sort_by=sort_by,
            sort_order=sort_order,
        )
        request = api_file_pb2.GetFileInfosRequest(page=page, per_page=per_page, options=options)
        found = self._call("GetFileInfos", request).file_infos
        return [Info(info.id, info.name, info.mini_preview) for info in found]

    def log_info(self, message: str, **pairs: Any) -> None:
        """Pairs are keyword arguments."""
        parts = [
            logging_pb2.KeyValuePair(key=key, value=Value(string_value=value))
            for key, value in pairs.items()
        ]
        self._call("LogInfo", api_logging_pb2.LogInfoRequest(msg=message, key_value_pairs=parts))

    # Wrong.

    def get_user_by_email(self, email: str) -> User:
        """Loses the request's only field."""
        return User.from_proto(self._call("GetUserByEmail", api_user_pb2.GetUserByEmailRequest()).user)

    def update_user(self, user: User) -> User:
        """Loses a field of the response that other methods give back."""
        request = api_user_pb2.UpdateUserRequest(user=user.to_proto())
        updated = User.from_proto(self._call("UpdateUser", request).user)
        return User(updated.id, updated.username, "", updated.create_at, updated.is_bot,
                    updated.auth_data, updated.props)

    def add_channel_member(self, channel_id: str, user_id: str) -> Dict[str, Any]:
        """Swaps the arguments."""
        request = api_channel_pb2.AddChannelMemberRequest(channel_id=user_id, user_id=channel_id)
        member = self._call("AddChannelMember", request).channel_member
        return MessageToDict(member, preserving_proto_field_name=True)

    def log_debug(self, message: str, **pairs: str) -> None:
        """Names a field that there is not."""
        self._call("LogDebug", api_logging_pb2.LogDebugRequest(message=message))

    def kv_delete(self, key: str) -> None:
        """Takes every failure for a success."""
        try:
            self._stub.KVDelete(api_kv_pb2.KVDeleteRequest(key=key))
        except grpc.RpcError:
            pass

    def get_channel(self, channel_id: str) -> Dict[str, Any]:
        """Crashes on an empty answer."""
        response = self._call("GetChannel", api_channel_pb2.GetChannelRequest(channel_id=channel_id))
        if not response.HasField("channel"):
            return {}["channel"]
        return MessageToDict(response.channel, preserving_proto_field_name=True)

    def get_bundle_path(self) -> str:
        """Names a field of the response that there is not."""
        return self._call("GetBundlePath", api_plugin_pb2.GetBundlePathRequest()).bundle_path
