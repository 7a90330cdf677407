"""How a background job is followed: by stream where there is one, else by asking, found out once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.browser import hand
from tests.browser.conftest import Laptop, OpenPad

pytestmark = pytest.mark.browser

# The smallest PNG there is.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
ID = "11111111-1111-4111-8111-111111111111"
UNKNOWN_FIELD = {"errors": [{"message": "Cannot query field 'etaMs' on type 'ImproveSketchStatus'."}]}
STREAM = "text/event-stream; charset=utf-8"
ENDS = ("\n", "\r\n")
NO_SUBSCRIPTIONS = {"errors": [{"message": "Schema is not configured to execute subscription operation."}]}
BUSY = {
    "message": "The service is busy; try again.",
    "extensions": {"code": "UNAVAILABLE", "trace": "0" * 32, "retryAfterSeconds": 7},
}
LIMITED = {"message": "At most 50 requests …", "extensions": {"code": "RATE_LIMITED", "retryAfterSeconds": 5}}
UNAUTHENTICATED = {"message": "Authentication is needed.", "extensions": {"code": "UNAUTHENTICATED"}}
# Tells how long the page waits, and has the seven seconds of BUSY pass at once.
NOTED_WAITS = """window.waited = []; const later = window.setTimeout;
  window.setTimeout = (then, wait_ms) => (waited.push(wait_ms), later(then, wait_ms === 7000 ? 0 : wait_ms));"""


HURRIED = """const later = window.setTimeout, timeout = AbortSignal.timeout.bind(AbortSignal);
  window.setTimeout = (then, wait_ms) => later(then, wait_ms === 5000 ? 2000 : wait_ms);
  AbortSignal.timeout = (wait_ms) => timeout(wait_ms === 15000 ? 2000 : wait_ms);"""


def events(answers: Sequence[object]) -> str:
    """As distinct connections have it: a comment, the answers with either kind of line ending, and the end."""
    told = [f"event: next{end}data: {json.dumps(answer)}{end}{end}" for answer, end in zip(answers, ENDS, strict=False)]
    return ":\n\n" + "".join(told) + "event: complete\ndata:\n\n"


class Endpoint:
    """An endpoint played by the browser's own routing: a job that is done after three looks at it."""

    def __init__(self, *, streams: bool, rich: bool, busy: int = 0, known: bool = True, limited: bool = False) -> None:
        self.limited = limited
        self.streams = streams
        self.rich = rich
        self.busy = busy
        self.known = known
        self.asked: list[str] = []

    def handle(self, route: Any) -> None:
        query: str = route.request.post_data_json["query"]
        kind = query.split(" ", 1)[0]
        if kind == "mutation":
            self.asked.append("improve")
            route.fulfill(json={"data": {"improveSketch": {"requestId": ID, "errors": [], "problem": None}}})
        elif "result" in query:
            self.asked.append("drawing")
            route.fulfill(json={"data": {"improveSketchStatus": {"result": self._result()}}})
        else:
            self._tell(route, kind, "rich" if "etaMs" in query else "plain")

    def _tell(self, route: Any, kind: str, fields: str) -> None:
        self.asked.append(f"{kind} {fields}")
        known = self.rich or fields == "plain"
        if not self.known:
            route.fulfill(status=401, json={"errors": [UNAUTHENTICATED]})
        elif self.busy:
            self.busy -= 1
            route.fulfill(content_type=STREAM, body=events([{"errors": [BUSY]}]))
        elif kind == "subscription" and self.limited:
            route.fulfill(content_type=STREAM, body=events([{"errors": [LIMITED]}]))
        elif kind == "query":
            state = {"data": {"improveSketchStatus": self._state(len(self.asked) > 6)}}
            route.fulfill(json=state if known else UNKNOWN_FIELD)
        elif self.streams:
            states = [{"data": {"improveSketchStatus": self._state(done)}} for done in (False, True)]
            route.fulfill(content_type=STREAM, body=events(states if known else [UNKNOWN_FIELD]))
        else:
            route.fulfill(json=NO_SUBSCRIPTIONS)

    def _state(self, done: bool) -> dict[str, object]:
        state: dict[str, object] = {"status": "done" if done else "running", "attempt": 1, "maxAttempts": 3}
        return state | ({"etaMs": 900, "pollAfterMs": 20} if self.rich else {})

    def _result(self) -> dict[str, object]:
        provenance = {"cache": "COALESCED", "model": "m"}
        facts = {"title": "House", "palette": [], "notes": "", "provenance": provenance}
        return {"imageUrl": f"data:image/png;base64,{PIXEL}", **facts}


def improved_by(endpoint: Endpoint, open_pad: OpenPad, laptop: Laptop, *, script: str = "") -> Any:
    """The page, with `script` run before its own, once the endpoint has improved a sketch in the background."""

    def prepare(page: Any) -> None:
        page.add_init_script(script)
        page.route(laptop.endpoint, endpoint.handle)

    page = open_pad(prepare)
    hand.draw(page)
    hand.press(page, "In the background")
    assert hand.finished(page) == "House"
    assert hand.origin(page).startswith("Shared with the same sketch")
    return page


def test_a_stream_is_enough(open_pad: OpenPad, laptop: Laptop) -> None:
    """Where the endpoint streams, the job is followed to its end without asking for its state even once."""
    endpoint = Endpoint(streams=True, rich=True)
    improved_by(endpoint, open_pad, laptop)
    assert endpoint.asked == ["improve", "subscription rich", "drawing"]


def test_an_endpoint_without_streams_or_newer_fields_is_asked_plainly(open_pad: OpenPad, laptop: Laptop) -> None:
    """What an endpoint lacks is tried once, quietly, and not again."""
    endpoint = Endpoint(streams=False, rich=False)
    page = improved_by(endpoint, open_pad, laptop)
    assert endpoint.asked[:4] == ["improve", "subscription rich", "query rich", "query plain"]
    assert set(endpoint.asked[4:-1]) == {"query plain"}
    endpoint.asked.clear()
    hand.press(page, "In the background")
    page.locator("#strip li[data-state=done]").nth(1).wait_for()
    assert set(endpoint.asked) == {"improve", "query plain", "drawing"}


def test_a_stream_of_an_older_schema_is_opened_plainly(open_pad: OpenPad, laptop: Laptop) -> None:
    """A stream that knows no newer fields is opened again without them."""
    endpoint = Endpoint(streams=True, rich=False)
    improved_by(endpoint, open_pad, laptop)
    assert endpoint.asked == ["improve", "subscription rich", "subscription plain", "drawing"]


def test_a_busy_endpoint_lacks_nothing(open_pad: OpenPad, laptop: Laptop) -> None:
    """It is asked again for all that this page knows, when it says so and not before."""
    endpoint = Endpoint(streams=True, rich=True, busy=1)
    page = improved_by(endpoint, open_pad, laptop, script=NOTED_WAITS)
    assert endpoint.asked == ["improve", "subscription rich", "subscription rich", "drawing"]
    assert 7000 in page.evaluate("waited")


class BreakingOff(Endpoint):
    """The first answer about a state breaks off."""

    def __init__(self, breaks_off: str) -> None:
        super().__init__(streams=False, rich=True)
        self._breaks_off = breaks_off

    def _tell(self, route: Any, kind: str, fields: str) -> None:
        if kind == "query" and "query rich" not in self.asked:
            self.asked.append("query rich")
            route.continue_(url=self._breaks_off)
        else:
            super()._tell(route, kind, fields)


def test_a_job_is_followed_beyond_an_answer_that_breaks_off(open_pad: OpenPad, laptop: Laptop, breaks_off: str) -> None:
    """A state that did not come whole is asked for again."""
    endpoint = BreakingOff(breaks_off)
    improved_by(endpoint, open_pad, laptop)
    assert ["improve", "subscription rich", "query rich", "query rich"] == endpoint.asked[:4]


class Silent(Endpoint):
    """The first request of a kind is never answered."""

    def __init__(self, kind: str) -> None:
        super().__init__(streams=kind == "subscription", rich=True)
        self._kind = kind
        self.unanswered: list[Any] = []

    def _tell(self, route: Any, kind: str, fields: str) -> None:
        if kind == self._kind and not self.unanswered:
            self.asked.append(f"{kind} unanswered")
            self.unanswered.append(route)
        else:
            super()._tell(route, kind, fields)


@pytest.mark.parametrize("kind", ["subscription", "query"])
def test_a_request_that_is_never_answered_is_given_up(open_pad: OpenPad, laptop: Laptop, kind: str) -> None:
    """A connection that is only half open tells nobody; here its seconds pass sooner."""
    endpoint = Silent(kind)
    improved_by(endpoint, open_pad, laptop, script=HURRIED)
    unanswered = endpoint.asked.index(f"{kind} unanswered")
    assert "query rich" == endpoint.asked[unanswered + 1], endpoint.asked


def test_a_job_is_polled_while_its_caller_has_too_many_streams(open_pad: OpenPad, laptop: Laptop) -> None:
    """Queries are not limited; once there is a place again, the job is streamed."""
    endpoint = Endpoint(streams=True, rich=True, limited=True)
    improved_by(endpoint, open_pad, laptop)
    assert ["subscription rich", "query rich"] * 3 == endpoint.asked[1:7]
    assert {"subscription rich", "query rich", "drawing"} == set(endpoint.asked[1:])


def enter_a_key(page: Any) -> None:
    hand.press(page, "Settings")
    page.get_by_label("API key").fill("a-key")
    hand.press(page, "Save")


def test_a_job_that_a_key_is_missing_for_is_followed_once_there_is_one(open_pad: OpenPad, laptop: Laptop) -> None:
    """It is not asked for again by itself, which cannot help; it is kept, and the key alone was missing."""
    endpoint = Endpoint(streams=True, rich=True, known=False)
    page = open_pad(lambda page: page.route(laptop.endpoint, endpoint.handle))
    hand.draw(page)
    hand.press(page, "In the background")
    assert hand.failed(page) == "The endpoint wants a valid API key. Settings has a place for it."
    assert endpoint.asked == ["improve", "subscription rich"]
    page.reload()
    page.locator("#strip button.pick").click()
    enter_a_key(page)
    endpoint.known = True
    hand.press(page, "Try again")
    assert hand.finished(page) == "House"
    assert endpoint.asked[2:] == ["subscription rich", "drawing"]


@pytest.mark.parametrize("button", ["Improve now", "In the background"])
def test_a_sketch_that_was_sent_without_a_key_is_sent_with_one(open_pad: OpenPad, laptop: Laptop, button: str) -> None:
    """The first sketch of a visitor who knew of no key is not lost, nor sent twice by a double click."""
    endpoint = Endpoint(streams=True, rich=True)
    page = open_pad(lambda page: page.route(laptop.endpoint, lambda route: route.fulfill(status=401, json={})))
    hand.draw(page)
    hand.press(page, button)
    assert hand.failed(page) == "The endpoint wants a valid API key. Settings has a place for it."
    page.unroute(laptop.endpoint)
    page.route(laptop.endpoint, endpoint.handle)
    enter_a_key(page)
    page.get_by_role("button", name="Try again").dblclick()
    assert hand.finished(page) == "House"
    assert endpoint.asked == ["improve", "subscription rich", "drawing"]


class Resting(Endpoint):
    """A job whose next attempt is due in a minute, for ever."""

    def _state(self, done: bool) -> dict[str, object]:
        due = datetime.now(UTC) + timedelta(minutes=1)
        return super()._state(done) | {"status": "queued", "retryAt": due.isoformat()}


def test_only_the_panel_counts_down(open_pad: OpenPad, laptop: Laptop) -> None:
    """The strip and what a screen reader says are not renewed every second, so they name none."""
    endpoint = Resting(streams=False, rich=True)
    page = open_pad(lambda page: page.route(laptop.endpoint, endpoint.handle))
    hand.draw(page)
    hand.press(page, "In the background")
    page.locator("#doing", has_text="Waiting: next attempt in ").wait_for()
    assert page.locator("#strip .pick span").inner_text() == "Waiting for the next attempt"
    assert page.locator("#live").text_content() == "Waiting for the next attempt"


def test_another_tab_waits_for_the_one_that_asks(open_pad: OpenPad, laptop: Laptop) -> None:
    """A sketch that an open tab has sent is under way in every tab, and done in every tab."""
    page = open_pad()
    hand.under_way(page, laptop)
    other = hand.another_tab(page, laptop)
    other.locator("#strip button.pick").click()
    other.locator("#panel[data-state=working]").wait_for()
    laptop.release()
    assert hand.finished(other) == hand.finished(page)


KEPT_ID = """() => new Promise((resolve) => {
  indexedDB.open("sketch-pad").onsuccess = ({ target: { result } }) => {
    const all = result.transaction("records").objectStore("records").getAll();
    all.onsuccess = () => (result.close(), resolve(all.result[0].requestId));
  };
})"""


def test_a_job_outlives_the_tab_that_sent_it(open_pad: OpenPad, laptop: Laptop) -> None:
    """A tab that opened before the job had its request id follows it once the other one is closed."""
    sending: list[Any] = []
    resting = Resting(streams=False, rich=True)

    def handle(route: Any) -> None:
        resting.handle(route) if sending else sending.append(route)

    page = open_pad(lambda page: page.route(laptop.endpoint, handle))
    hand.draw(page)
    with page.expect_request(laptop.endpoint):
        hand.press(page, "In the background")
    other = page.context.new_page()
    other.route(laptop.endpoint, Endpoint(streams=True, rich=True).handle)
    other.goto(laptop.pad)
    other.locator("#strip button.pick").click()
    other.locator("#doing", has_text="Sending the sketch").wait_for()
    resting.handle(sending[0])
    page.locator("#doing", has_text="Waiting: next attempt in ").wait_for()
    assert page.evaluate(KEPT_ID) == ID
    page.close()
    assert hand.finished(other) == "House"


def test_what_one_tab_forgets_leaves_the_focus_of_another(open_pad: OpenPad, laptop: Laptop) -> None:
    """Whoever types there goes on typing; the sketch leaves the strip of both."""
    page = open_pad()
    hand.under_way(page, laptop)
    other = hand.another_tab(page, laptop)
    other.locator("#strip li").wait_for()
    other.get_by_label("Hints").focus()
    hand.press(page, "Stop waiting")
    other.locator("#strip li").wait_for(state="detached")
    assert other.evaluate("document.activeElement.id") == "hints"
    laptop.release()


def test_what_one_tab_forgets_does_not_come_back(open_pad: OpenPad, laptop: Laptop) -> None:
    """Another one follows the job to its end, and keeps nothing of it."""
    page = open_pad()
    hand.under_way(page, laptop, "In the background")
    other = hand.another_tab(page, laptop)
    other.locator("#strip button.pick").click()
    other.locator("#doing", has_text="Drawing").wait_for()
    page.locator("#strip button.forget").click()
    laptop.release()
    hand.finished(other)
    for tab in (other, page):
        tab.reload()
        tab.locator("#improve, #paper").first.wait_for()
        assert 0 == tab.locator("#strip li").count()


def test_a_direct_request_ends_with_its_tab(open_pad: OpenPad, laptop: Laptop) -> None:
    """Other tabs say so, and can send the sketch again."""
    page = open_pad()
    hand.under_way(page, laptop)
    other = hand.another_tab(page, laptop)
    other.locator("#strip button.pick").click()
    other.locator("#panel[data-state=working]").wait_for()
    page.close()
    assert hand.failed(other) == "The page was closed before the answer came."
    laptop.release()
    hand.press(other, "Try again")
    assert hand.finished(other) != ""
