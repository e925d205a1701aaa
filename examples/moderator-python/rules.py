"""The moderator's rules. Edit the constants; everything below them only applies them."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

# Whole words, in any case. A post that holds one is rejected.
FORBIDDEN_WORDS = ("blasted", "confounded", "dratted")
# A post that starts with this vanishes, and its author is not told.
SECRET_PREFIX = "/secret"
# 13 to 19 digits, alone or in groups, may be a card number. It is one if its check digit is right.
CARD_NUMBER = re.compile(r"(?<![0-9])(?:[0-9][ -]?){12,18}[0-9](?![0-9])")
# So many digits of a card number stay, so that its owner knows which card it was.
DIGITS_KEPT = 4
# Who may not log in, in lower case.
BLOCKED_NAMES = frozenset({"mallory", "spammer"})

_FORBIDDEN = re.compile(
    r"\b(?:" + "|".join(map(re.escape, FORBIDDEN_WORDS)) + r")\b", re.IGNORECASE
)


class Action(enum.Enum):
    """What becomes of a message. The values name the counters."""

    KEEP = "kept"
    MASK = "masked"
    REJECT = "rejected"
    DISMISS = "dismissed"


@dataclass(frozen=True)
class Verdict:
    """What the rules say of a message."""

    action: Action
    #: The message to store instead; for `MASK` only.
    message: str = ""
    #: What the author is told; for `REJECT` only.
    reason: str = ""


def judge(message: str) -> Verdict:
    """Apply every rule to a message; the strictest one that fits wins."""
    if message.startswith(SECRET_PREFIX):
        return Verdict(Action.DISMISS)
    word = _FORBIDDEN.search(message)
    if word:
        reason = f'The word "{word.group().lower()}" is not welcome here.'
        return Verdict(Action.REJECT, reason=reason)
    masked = CARD_NUMBER.sub(_mask, message)
    if masked != message:
        return Verdict(Action.MASK, message=masked)
    return Verdict(Action.KEEP)


def login_refusal(username: str, deleted_at: int) -> str:
    """Why this user may not log in; empty if they may. `deleted_at` is 0 for users that exist."""
    if deleted_at:
        return "This account has been deactivated."
    if username.lower() in BLOCKED_NAMES:
        return "This account is blocked."
    return ""


def _mask(match: re.Match[str]) -> str:
    """The number with stars for its first digits, if it is a card number, else as it is."""
    number = match.group()
    digits = [int(digit) for digit in number if digit.isdigit()]
    if not _luhn(digits):
        return number
    hidden = len(digits) - DIGITS_KEPT
    return re.sub("[0-9]", "*", number, count=hidden)


def _luhn(digits: list[int]) -> bool:
    """Whether the last digit is the check digit of those before it, as on all payment cards."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0
