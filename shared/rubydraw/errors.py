"""
Everything that can go wrong, and who may try again.

SketchError
├── BadSketch              BAD_INPUT             the caller must change the request
├── NotAccepted            BAD_INPUT             Gemini would not take it: same sketch, same answer
├── IdempotencyConflict    IDEMPOTENCY_CONFLICT  the key was used for another sketch
├── ContentRefused         CONTENT_REFUSED       Gemini will not draw it: same sketch, same answer
├── Misconfigured          MISCONFIGURED         the operator must change a setting
├── NoImage                NO_IMAGE              an answer without a picture: retry
├── BadAnswer              BAD_ANSWER            an answer that cannot be read: retry
├── OutOfTime              TIMEOUT               retry
├── GeminiBusy             PROVIDER_OVERLOADED   retry, after `retry_after_s` if given; nothing was billed
├── GeminiFailed           PROVIDER_FAILED       retry
├── Unavailable            UNAVAILABLE           ours: full, stopping or cut off; retry
│   ├── StoreUnavailable                         Redis cannot be reached or will not write
│   └── Stopping                                 this instance is going away: another one takes over
├── RateLimited            RATE_LIMITED          this caller asks too often: retry, after `retry_after_s`
├── BudgetExceeded         BUDGET_EXCEEDED       no call now: retry, after `retry_after_s`
└── ResultExpired          RESULT_EXPIRED        the drawing is gone: send the sketch again

EXPIRED and CANCELED are never raised. A Lua script settles a job that is too old with EXPIRED, and answers CANCELED to
a worker that claims an abandoned job.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Code(StrEnum):
    """The `ProblemCode` of the contract."""

    BAD_INPUT = "BAD_INPUT"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    CONTENT_REFUSED = "CONTENT_REFUSED"
    MISCONFIGURED = "MISCONFIGURED"
    CANCELED = "CANCELED"
    NO_IMAGE = "NO_IMAGE"
    BAD_ANSWER = "BAD_ANSWER"
    TIMEOUT = "TIMEOUT"
    PROVIDER_OVERLOADED = "PROVIDER_OVERLOADED"
    PROVIDER_FAILED = "PROVIDER_FAILED"
    UNAVAILABLE = "UNAVAILABLE"
    RATE_LIMITED = "RATE_LIMITED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    RESULT_EXPIRED = "RESULT_EXPIRED"
    EXPIRED = "EXPIRED"

    @classmethod
    def _missing_(cls, value: object) -> Code:
        """Return UNAVAILABLE, which is retryable, for a code that only a newer revision of ours knows."""
        return cls.UNAVAILABLE

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self not in NOT_RETRYABLE

    @property
    def sentence(self) -> str:
        """What a person is told when nothing more exact is known."""
        return SENTENCES[self]


NOT_RETRYABLE = frozenset(
    {Code.BAD_INPUT, Code.IDEMPOTENCY_CONFLICT, Code.CONTENT_REFUSED, Code.MISCONFIGURED, Code.CANCELED}
)

SENTENCES = {
    Code.BAD_INPUT: "The drawing model did not accept this sketch; change the sketch or the hints.",
    Code.IDEMPOTENCY_CONFLICT: "This idempotency key was already used for another sketch; use a new key.",
    Code.CONTENT_REFUSED: "The drawing model refused this sketch for its content; change the sketch or the hints.",
    Code.MISCONFIGURED: "The service is not set up correctly; its operator has to correct this.",
    Code.CANCELED: "This request was canceled.",
    Code.NO_IMAGE: "The drawing model answered without a picture; try again.",
    Code.BAD_ANSWER: "The drawing model's answer could not be read; try again.",
    Code.TIMEOUT: "The drawing was not finished in time; try again.",
    Code.PROVIDER_OVERLOADED: "The drawing model is busy; try again later.",
    Code.PROVIDER_FAILED: "The drawing model failed; try again.",
    Code.UNAVAILABLE: "The service is temporarily unavailable; try again.",
    Code.RATE_LIMITED: "Too many requests; try again later.",
    Code.BUDGET_EXCEEDED: "The budget for new drawings is used up; try again later.",
    Code.RESULT_EXPIRED: "The drawing is no longer kept; send the sketch again.",
    Code.EXPIRED: "The sketch was not drawn in the time allowed; send it again.",
}


class SketchError(Exception):
    """
    A failure with a code of the contract and a sentence that may be shown to anyone.

    `retry_after_s`: seconds after which a retry makes sense, if known.
    `may_be_billed`: a call to Gemini may have been paid for; if not, a job gets its attempt back. Stopping gives it
    back although it may cut off a call: a deploy must not use up the attempts of a job.
    `final`: no job may try this sketch again: too many calls for it failed in a row, or a budget is used up.
    """

    code: ClassVar[Code]
    may_be_billed: bool = False
    final: bool = False

    def __init__(
        self, message: str | None = None, *, retry_after_s: float | None = None, may_be_billed: bool | None = None
    ) -> None:
        self.message = message or self.code.sentence
        self.retry_after_s = retry_after_s
        if may_be_billed is not None:
            self.may_be_billed = may_be_billed
        super().__init__(self.message)

    @property
    def retryable(self) -> bool:
        return self.code.retryable


class BadSketch(SketchError):
    code = Code.BAD_INPUT


class NotAccepted(SketchError):
    code = Code.BAD_INPUT
    may_be_billed = True


class IdempotencyConflict(SketchError):
    code = Code.IDEMPOTENCY_CONFLICT


class ContentRefused(SketchError):
    code = Code.CONTENT_REFUSED
    may_be_billed = True


class Misconfigured(SketchError):
    code = Code.MISCONFIGURED


class NoImage(SketchError):
    code = Code.NO_IMAGE
    may_be_billed = True


class BadAnswer(SketchError):
    code = Code.BAD_ANSWER
    may_be_billed = True


class OutOfTime(SketchError):
    code = Code.TIMEOUT


class GeminiBusy(SketchError):
    code = Code.PROVIDER_OVERLOADED


class GeminiFailed(SketchError):
    code = Code.PROVIDER_FAILED
    may_be_billed = True


class Unavailable(SketchError):
    code = Code.UNAVAILABLE


class StoreUnavailable(Unavailable):
    """Redis cannot be reached, or refuses to write."""


class Stopping(Unavailable):
    """This instance is being stopped; another one can take over."""


class RateLimited(SketchError):
    code = Code.RATE_LIMITED


class BudgetExceeded(SketchError):
    """
    No more calls today, or, if it is not `final`, until calls in progress have ended.

    `account`: whose budget is used up; empty for the budget of all callers.
    """

    code = Code.BUDGET_EXCEEDED
    final = True

    def __init__(self, message: str | None = None, *, retry_after_s: float | None = None, account: str = "") -> None:
        self.account = account
        super().__init__(message, retry_after_s=retry_after_s)


class ResultExpired(SketchError):
    code = Code.RESULT_EXPIRED


REMEMBERED: tuple[type[SketchError], ...] = (ContentRefused, NotAccepted)
"""Refusals that depend on the sketch alone: asking again would cost money and change nothing."""

_BY_CODE: dict[Code, type[SketchError]] = {
    Code.BAD_INPUT: NotAccepted,
    Code.CONTENT_REFUSED: ContentRefused,
    Code.MISCONFIGURED: Misconfigured,
    Code.NO_IMAGE: NoImage,
    Code.BAD_ANSWER: BadAnswer,
    Code.TIMEOUT: OutOfTime,
    Code.PROVIDER_OVERLOADED: GeminiBusy,
    Code.PROVIDER_FAILED: GeminiFailed,
    Code.UNAVAILABLE: Unavailable,
}


def shared_failure(
    code: str, *, retry_after_s: float | None = None, final: bool = False, billed: bool = True
) -> SketchError:
    """
    Return our error for the failure of another caller's call for the same sketch: that call counts for both callers.

    `billed`: the call may have been paid for, if a call that fails like this can be.
    """
    kind = _BY_CODE.get(Code(code), Unavailable)
    failure = kind(retry_after_s=retry_after_s, may_be_billed=billed and (kind.may_be_billed or kind is OutOfTime))
    failure.final = final
    return failure
