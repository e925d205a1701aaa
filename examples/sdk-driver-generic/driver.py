"""A driver for `plugin-conformance check sdk` that finds an SDK's methods by their names.

    plugin-conformance check sdk -- python driver.py --client mattermost_plugin:PluginAPIClient

It expects what most SDKs have: a client class with a method per RPC (`get_user` for `GetUser`),
arguments named after the request's fields, dataclasses for messages, exceptions for failures. What
is special about an SDK goes into the section "For you to adapt". README.md goes through it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import inspect
import json
import os
import sys
from typing import Any

from contract import Contract
from mapping import Mapping, NotOffered

# --- For you to adapt ---------------------------------------------------------------------------

# RPCs whose method has another name than the RPC's, in whatever spelling.
METHODS: dict[str, str] = {
    # "GetServerVersion": "server_version",
}

# Fields that have another name in the SDK: "Message.field" of the .proto files, and the name of the
# argument or of the dataclass's attribute.
FIELDS: dict[str, str] = {
    # "GetUserByUsernameRequest.name": "username",
}

# Where an exception keeps the AppError's id and its HTTP status: the first attribute that is there.
ERROR_ID = ("error_id", "id", "app_error_id")
ERROR_STATUS = ("status_code", "http_status", "status")


def connect(client_class: type, target: str) -> Any:
    """Makes a client that is connected. SDKs find the target in the environment by themselves."""
    client = client_class()
    for opener in ("__enter__", "connect"):
        if hasattr(client, opener):
            getattr(client, opener)()
            break
    return client


# ------------------------------------------------------------------------------------------------


class Driver:
    """Calls the methods of a client."""

    def __init__(self, client: Any, contract: Contract) -> None:
        self.client = client
        self.contract = contract
        self.mapping = Mapping(FIELDS)
        self.loop = asyncio.new_event_loop()
        self.methods = {
            plain(name): name
            for name in dir(client)
            if not name.startswith("_") and callable(getattr(client, name, None))
        }

    def find(self, rpc: str) -> Any:
        """The method for an RPC, or None."""
        name = METHODS.get(rpc) or self.methods.get(plain(rpc))
        return getattr(self.client, name, None) if name else None

    def answer(self, rpc: str, request: dict[str, Any]) -> dict[str, Any]:
        """Makes one call; what came of it, as the kit wants it."""
        method = self.find(rpc)
        if method is None:
            return {"missing": f"no method of the client is called like {rpc}"}
        asked, answered = self.contract.messages(rpc)
        not_offered = NotOffered()
        try:
            arguments, named = self.mapping.arguments(method, asked, request, not_offered.request)
            result = method(*arguments, **named)
            if inspect.isawaitable(result):
                result = self.loop.run_until_complete(as_coroutine(result))
            response = self.mapping.response(result, answered, not_offered.response)
            answer = {"response": response}
        except Exception as error:  # whatever an SDK raises is an answer
            answer = {"error": described(error)}
        return {**answer, "not_offered": not_offered.as_json()}


def plain(name: str) -> str:
    """A name without its spelling: GetUser and get_user are the same."""
    return name.replace("_", "").lower()


async def as_coroutine(awaitable: Any) -> Any:
    return await awaitable


def described(error: Exception) -> dict[str, Any]:
    def first(names: tuple[str, ...], kind: type) -> Any:
        values = (getattr(error, name, None) for name in names)
        return next((v for v in values if isinstance(v, kind) and not isinstance(v, bool)), None)

    return {
        "kind": type(error).__name__,
        "id": first(ERROR_ID, str),
        "status_code": first(ERROR_STATUS, int),
        "message": str(error),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="A driver for `plugin-conformance check sdk`.")
    parser.add_argument("--client", required=True, metavar="MODULE:CLASS", help="the SDK's client")
    options = parser.parse_args()
    target = os.environ.get("MATTERMOST_PLUGIN_API_TARGET")
    file = os.environ.get("PLUGIN_CONFORMANCE_CONTRACT")
    if not target or not file:
        sys.exit("run this under `plugin-conformance check sdk`, which says where its server is")
    module, _, name = options.client.partition(":")
    # Answers alone go to standard output, whatever the SDK prints.
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        client_class = getattr(importlib.import_module(module), name)
        driver = Driver(connect(client_class, target), Contract(file))
        for line in sys.stdin:
            case = json.loads(line)
            answer = driver.answer(case["rpc"], case["request"])
            # What is no JSON is shown as it is: the kit says what is wrong with it.
            text = json.dumps({"case": case["case"], **answer}, default=repr)
            print(text, file=answers, flush=True)


if __name__ == "__main__":
    main()
