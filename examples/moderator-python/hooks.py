"""What the server calls."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging

import grpc
from mattermost.pluginapi.v1 import (
    command_pb2,
    common_pb2,
    hooks_command_pb2,
    hooks_lifecycle_pb2,
    hooks_message_pb2,
    hooks_user_pb2,
    plugin_hooks_pb2_grpc,
)

import rules
from counters import Counters
from http_exchange import BodyCut, ClientGone, Exchange
from rules import Action
from server_api import ApiError, ServerApi
from web import Web

HOOKS = (
    "OnActivate",
    "OnDeactivate",
    "OnConfigurationChange",
    "MessageWillBePosted",
    "MessageWillBeUpdated",
    "MessageHasBeenPosted",
    "ExecuteCommand",
    "UserWillLogIn",
    "ServeHTTP",
)
TRIGGER = "moderator"
HELP = f"""\
`/{TRIGGER} stats` shows what has been counted.
`/{TRIGGER} reset` sets all counters back to 0.
`/{TRIGGER} help` shows this."""
# To the server this reason means: reject, and do not tell the author.
DISMISS_POST = "plugin.message_will_be_posted.dismiss_post"

log = logging.getLogger("moderator.hooks")


def hook(method):
    """Make any exception of a hook the status INTERNAL, and log it."""

    @functools.wraps(method)
    async def guarded(self, request, context: grpc.aio.ServicerContext):
        try:
            return await method(self, request)
        except Exception as failure:
            # A failure of the server is no fault of this plugin: a traceback would not help.
            traceback = not isinstance(failure, ApiError)
            log.error("%s failed: %s", method.__name__, failure, exc_info=traceback)
            await context.abort(grpc.StatusCode.INTERNAL, f"{method.__name__}: {failure}")

    return guarded


class Hooks(plugin_hooks_pb2_grpc.PluginHooksServicer):
    """The hooks of this plugin. Those that are not here are answered UNIMPLEMENTED."""

    def __init__(self, api: ServerApi, stopping: asyncio.Event) -> None:
        self._api = api
        self._counters = Counters(api)
        self._web = Web(api, self._counters, stopping)

    @hook
    async def Implemented(self, request):
        return hooks_lifecycle_pb2.ImplementedResponse(hooks=HOOKS)

    @hook
    async def OnActivate(self, request):
        command = command_pb2.Command(
            trigger=TRIGGER,
            display_name="Moderator",
            description="Shows and resets the moderator's counters.",
            auto_complete=True,
            auto_complete_desc="Show or reset the moderator's counters",
            auto_complete_hint="[stats|reset|help]",
        )
        try:
            await self._api.register_command(command)
        except ApiError as failure:
            # The rules matter more than the command: without it they still hold.
            log.warning("there will be no /%s: %s", TRIGGER, failure)
        log.info("active")
        return hooks_lifecycle_pb2.OnActivateResponse()

    @hook
    async def OnDeactivate(self, request):
        log.info("deactivated")
        return hooks_lifecycle_pb2.OnDeactivateResponse()

    @hook
    async def OnConfigurationChange(self, request):
        # The rules are in rules.py. A plugin with settings would ask GetPluginConfig here.
        log.info("the configuration has changed")
        return hooks_lifecycle_pb2.OnConfigurationChangeResponse()

    @hook
    async def MessageWillBePosted(self, request):
        answer = hooks_message_pb2.MessageWillBePostedResponse()
        await self._moderate(request.post, answer, dismissal=DISMISS_POST)
        return answer

    @hook
    async def MessageWillBeUpdated(self, request):
        answer = hooks_message_pb2.MessageWillBeUpdatedResponse()
        # An edit cannot be dismissed: its author would read the magic reason.
        reason = f"A post cannot be changed to start with {rules.SECRET_PREFIX}."
        await self._moderate(request.new_post, answer, dismissal=reason)
        return answer

    @hook
    async def MessageHasBeenPosted(self, request):
        await self._counters.add(f"posts/{request.post.channel_id}")
        return hooks_message_pb2.MessageHasBeenPostedResponse()

    @hook
    async def UserWillLogIn(self, request):
        reason = rules.login_refusal(request.user.username, request.user.delete_at)
        if reason:
            await self._note("logins refused")
        return hooks_user_pb2.UserWillLogInResponse(rejection_reason=reason)

    @hook
    async def ExecuteCommand(self, request):
        # The whole line: the trigger first, then perhaps a word.
        words = request.args.command.split()[1:]
        word = words[0].lower() if words else "help"
        try:
            text = await self._run(word)
        except ApiError as failure:
            error = common_pb2.AppError(
                id=f"{TRIGGER}.command.{word}",
                message=f"/{TRIGGER} {word} failed. Please try again.",
                detailed_error=str(failure),
                status_code=500,
                where="ExecuteCommand",
            )
            return hooks_command_pb2.ExecuteCommandResponse(error=error)
        response = command_pb2.CommandResponse(response_type="ephemeral", text=text)
        return hooks_command_pb2.ExecuteCommandResponse(response=response)

    async def ServeHTTP(self, _, context: grpc.aio.ServicerContext) -> None:
        exchange = Exchange(context)
        try:
            await exchange.open()
            await self._web.serve(exchange)
        except ClientGone:
            # Nobody is left to be told. When a client leaves while a handler waits for something
            # else, the handler is cancelled instead, and grpcio says nothing either.
            pass
        except BodyCut:
            # Most likely the client has left, too: nothing to be logged.
            await _cut(exchange, 400, "the body is incomplete")
            await context.abort(grpc.StatusCode.ABORTED, "ServeHTTP: the request's body was cut")
        except Exception as failure:
            log.exception("%s %s failed", exchange.method, exchange.path)
            await _cut(exchange, 500, "the plugin failed; see its log")
            await context.abort(grpc.StatusCode.INTERNAL, f"ServeHTTP: {failure}")

    async def _moderate(self, post, answer, dismissal: str) -> None:
        """Put the rules' verdict on a post into a hook's answer."""
        verdict = rules.judge(post.message)
        if verdict.action is Action.KEEP:
            return
        if verdict.action is Action.MASK:
            # The whole post goes back, not only what has changed.
            answer.modified_post.CopyFrom(post)
            answer.modified_post.message = verdict.message
        else:
            answer.rejection_reason = verdict.reason or dismissal
        await self._note(verdict.action.value)

    async def _note(self, name: str) -> None:
        """Count a verdict. It must reach the server even when the counting fails."""
        try:
            await self._counters.add(name)
        except ApiError as failure:
            log.warning("%r could not be counted: %s", name, failure)

    async def _run(self, word: str) -> str:
        """What /moderator answers to a word."""
        if word == "stats":
            counters = await self._counters.all()
            lines = [f"- {name}: {value}" for name, value in counters.items()]
            return "\n".join(lines) or "Nothing has been counted yet."
        if word == "reset":
            return f"{await self._counters.reset()} counters are 0 again."
        if word == "help":
            return HELP
        return f"There is no `/{TRIGGER} {word}`.\n{HELP}"


async def _cut(exchange: Exchange, status: int, error: str) -> None:
    """Tell the client that its request failed, unless its reply has begun: that one stays cut."""
    if not exchange.started:
        with contextlib.suppress(ClientGone):
            await exchange.reply_json(status, {"error": error})
