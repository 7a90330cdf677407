"""The codes of the contract, who may try again, and the tree of what can go wrong."""

from __future__ import annotations

import inspect
import re

import pytest
from rubydraw import errors
from rubydraw.errors import Code, SketchError, shared_failure

# As design.md lists them.
FINAL = ["BAD_INPUT", "IDEMPOTENCY_CONFLICT", "CONTENT_REFUSED", "MISCONFIGURED", "CANCELED"]
RETRYABLE = [
    "NO_IMAGE",
    "BAD_ANSWER",
    "TIMEOUT",
    "PROVIDER_OVERLOADED",
    "PROVIDER_FAILED",
    "UNAVAILABLE",
    "RATE_LIMITED",
    "BUDGET_EXCEEDED",
    "RESULT_EXPIRED",
    "EXPIRED",
]


def classes() -> dict[str, type[SketchError]]:
    found = inspect.getmembers(errors, inspect.isclass)
    return {name: kind for name, kind in found if issubclass(kind, SketchError)}


def drawn() -> dict[str, tuple[str, str]]:
    """The tree of the module's docstring: for each class its parent and its code, if one is written."""
    tree, path = {}, {0: "SketchError"}
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([│ ]*)[├└]── (\w+)(?: +([A-Z_]{4,}) )?", line):
            depth = len(found[1]) // 4 + 1
            path[depth] = found[2]
            tree[found[2]] = (path[depth - 1], found[3] or "")
    return tree


def test_codes_are_those_of_the_design() -> None:
    """Each is retryable or final, as the design says."""
    assert [code for code in Code if not code.retryable] == FINAL
    assert [code for code in Code if code.retryable] == RETRYABLE


def test_every_class_is_drawn_and_every_drawn_class_exists() -> None:
    """The tree in the docstring is the tree."""
    expected = {
        name: (kind.__mro__[1].__name__, kind.code if "code" in vars(kind) else "")
        for name, kind in classes().items()
        if kind is not SketchError
    }
    assert expected == drawn()


@pytest.mark.parametrize("code", Code)
def test_each_code_has_one_sentence(code: Code) -> None:
    """For people: a capital letter, a full stop, one line, and whether to try again."""
    assert re.fullmatch(r"[A-Z][^\n]{20,110}\.", code.sentence)
    assert code.sentence.count(". ") == 0
    told_to_repeat = re.search(r"\b(try again|send (it|the sketch) again)\b", code.sentence)
    assert code.retryable == bool(told_to_repeat)


@pytest.mark.parametrize("kind", [kind for kind in classes().values() if kind is not SketchError])
def test_each_error_says_its_sentence(kind: type[SketchError]) -> None:
    """Without a message of its own it has that of its code, in `message` and as text."""
    error = kind()
    assert (kind.code.sentence, kind.code.sentence) == (error.message, str(error))
    assert kind.code.retryable == error.retryable
    assert (error.retry_after_s, kind("Other.").message) == (None, "Other.")


def test_what_may_be_billed_is_what_gemini_answered() -> None:
    """A refusal before the call costs nothing; a job gets its attempt back."""
    billed = {name for name, kind in classes().items() if kind.may_be_billed}
    assert {"BadAnswer", "ContentRefused", "GeminiFailed", "NoImage", "NotAccepted"} == billed
    assert errors.OutOfTime(may_be_billed=True).may_be_billed
    assert not errors.GeminiFailed(may_be_billed=False).may_be_billed


def test_only_what_depends_on_the_sketch_is_remembered() -> None:
    """A refusal that is kept for this sketch must be final."""
    assert all(not kind.code.retryable for kind in errors.REMEMBERED)


@pytest.mark.parametrize("code", [Code.BAD_INPUT, Code.CONTENT_REFUSED, Code.MISCONFIGURED, *map(Code, RETRYABLE[:6])])
def test_a_shared_failure_keeps_its_code_and_delay(code: Code) -> None:
    """Who waited for another's call gets the failure of that call."""
    shared = shared_failure(code, retry_after_s=3)
    assert (code, 3, code.sentence) == (shared.code, shared.retry_after_s, shared.message)


def test_a_shared_failure_counts_as_the_call_it_was() -> None:
    """A job that waited for a call which may have been billed has had one of its attempts."""
    billed = {code for code in Code if shared_failure(code).may_be_billed}
    assert {"BAD_ANSWER", "BAD_INPUT", "CONTENT_REFUSED", "NO_IMAGE", "PROVIDER_FAILED", "TIMEOUT"} == billed


@pytest.mark.parametrize("code", ["", "NO_SUCH_CODE", "bad_input", "\ud800"])
def test_a_failure_of_an_unknown_code_is_a_passing_one(code: str) -> None:
    """A newer revision may have written it."""
    assert shared_failure(code).code == Code.UNAVAILABLE


def test_a_code_is_its_own_text() -> None:
    """It goes onto the wire, into Redis and into logs as it is."""
    assert "TIMEOUT" == f"{Code.TIMEOUT}" == Code.TIMEOUT
