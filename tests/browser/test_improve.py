"""A sketch is drawn, sent and seen, both ways, and whatever goes wrong is told and can be mended."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.browser import hand
from tests.browser.conftest import Laptop, OpenPad

pytestmark = pytest.mark.browser


def test_a_sketch_is_improved_now(open_pad: OpenPad) -> None:
    """A drawn sketch becomes a picture with title, palette and notes; the same one again comes from the cache."""
    page = open_pad()
    hand.draw_anew(page)
    hand.press(page, "Improve now")
    assert hand.finished(page) != ""
    assert page.locator("#palette li").count() >= 1
    assert page.locator("#notes").inner_text() != ""
    assert hand.origin(page).startswith("Newly drawn · ")
    hand.press(page, "Improve now")
    page.get_by_text("Seen before: taken from the cache").wait_for()


def test_a_sketch_is_improved_in_the_background_across_a_reload(open_pad: OpenPad, laptop: Laptop) -> None:
    """A background job shows that it runs, survives a reload of the page, and ends with its picture."""
    page = open_pad()
    hand.under_way(page, laptop, "In the background")
    page.reload()
    page.locator("#strip li[data-state=working]").wait_for()
    laptop.release()
    page.locator("#strip li[data-state=done] button.pick").click()
    assert hand.finished(page) != ""


def test_a_failure_that_may_pass_can_be_retried(open_pad: OpenPad, laptop: Laptop) -> None:
    """An overloaded Gemini is a sentence and a button that counts down; pressed then, it brings the picture."""
    laptop.plays({"kind": "status", "status": 429, "retry_after_s": 6})
    page = open_pad()
    hand.draw_anew(page)
    hand.press(page, "Improve now")
    assert hand.failed(page).endswith(".")
    retry = page.get_by_role("button", name="Try again in ")
    assert retry.get_attribute("aria-disabled") == "true"
    retry.dispatch_event("click")
    assert page.locator("#panel").get_attribute("data-state") == "error"
    hand.press(page, "Try again")
    assert hand.finished(page) != ""


def test_a_refusal_offers_no_retry(open_pad: OpenPad, laptop: Laptop) -> None:
    """What asking again cannot change has a sentence, and the sketch to change, but no button to ask again."""
    laptop.plays({"kind": "refuse"})
    page = open_pad()
    hand.draw_anew(page)
    hand.press(page, "In the background")
    assert hand.failed(page).endswith(".")
    assert not page.locator("#retry").is_visible()
    assert page.get_by_role("button", name="Edit this sketch").is_visible()


def test_an_endpoint_that_is_not_there_is_told(open_pad: OpenPad) -> None:
    """A wrong address in the settings reads as a sentence; the key goes where the address says, as a bearer."""
    page = open_pad()
    sent: list[str | None] = []

    def answer(route: object) -> None:
        sent.append(route.request.headers.get("authorization"))  # type: ignore[attr-defined]
        route.fulfill(json={"data": {"__typename": "Query"}})  # type: ignore[attr-defined]

    page.route("https://endpoint.example/graphql", answer)
    hand.press(page, "Settings")
    page.get_by_label("Endpoint").fill("https://endpoint.example/graphql")
    page.get_by_label("API key").fill("a-key")
    hand.press(page, "Check")
    page.get_by_text("The endpoint answers.").wait_for()
    page.get_by_label("API key").fill("a-key…")  # no header can hold it
    hand.press(page, "Check")
    page.get_by_text("The endpoint wants a valid API key.").wait_for()
    page.get_by_label("API key").fill("a-key")
    page.unroute("https://endpoint.example/graphql")
    page.route("https://endpoint.example/graphql", lambda route: route.fulfill(body="<h1>Hello</h1>"))
    hand.press(page, "Save")
    hand.draw(page)
    hand.press(page, "Improve now")
    assert hand.failed(page) == "What answers at this address is not the endpoint."
    assert page.locator("#retry").is_visible()
    assert sent == ["Bearer a-key"]


@pytest.mark.parametrize(
    ("status", "sentence", "refusal"),
    [
        (
            401,
            "The endpoint wants a valid API key. Settings has a place for it.",
            {"message": "Authentication is needed.", "extensions": {"code": "UNAUTHENTICATED"}},
        ),
        (
            404,
            "There is no endpoint at this address. Settings has it.",
            {"message": "There is nothing here. The endpoint is /graphql."},
        ),
        (
            413,
            "The sketch is larger than the endpoint accepts.",
            {"message": "The body is larger than 12 MiB."},
        ),
    ],
)
def test_what_the_endpoint_refuses_is_told_in_the_pages_words(
    open_pad: OpenPad, laptop: Laptop, status: int, sentence: str, refusal: dict[str, object]
) -> None:
    """They say what to do; to ask again helps once it is done, but for a sketch that is too large."""
    page = open_pad(
        lambda page: page.route(laptop.endpoint, lambda route: route.fulfill(status=status, json={"errors": [refusal]}))
    )
    hand.draw(page)
    hand.press(page, "Improve now")
    assert hand.failed(page) == sentence
    assert (status != 413) == page.locator("#retry").is_visible()


@pytest.mark.parametrize(
    ("status", "sentence", "code"),
    [
        (429, "Too many requests; try again later.", "RATE_LIMITED"),
        (503, "The service is temporarily unavailable; try again.", "UNAVAILABLE"),
    ],
)
def test_a_busy_endpoint_says_when_to_come_again(
    open_pad: OpenPad, laptop: Laptop, status: int, sentence: str, code: str
) -> None:
    """In its own words, and the button counts down."""
    refusal = {"errors": [{"message": sentence, "extensions": {"code": code}}]}
    headers = {"retry-after": "600", "access-control-allow-origin": "*", "access-control-expose-headers": "retry-after"}
    page = open_pad(
        lambda page: page.route(
            laptop.endpoint, lambda route: route.fulfill(status=status, json=refusal, headers=headers)
        )
    )
    hand.draw(page)
    hand.press(page, "Improve now")
    assert hand.failed(page) == sentence
    page.get_by_role("button", name="Try again in ").wait_for()


@pytest.mark.parametrize("body", ["<h1>Hello</h1>", "null", "{}"])
def test_without_a_configuration_the_pages_own_host_is_asked(open_pad: OpenPad, laptop: Laptop, body: str) -> None:
    """A host may answer for config.json with a page of its own, which names no endpoint."""

    def prepare(page: object) -> None:
        page.route("**/config.json", lambda route: route.fulfill(body=body))  # type: ignore[attr-defined]
        page.route(f"{laptop.pad}/graphql", lambda route: route.fulfill(status=404))  # type: ignore[attr-defined]

    page = open_pad(prepare)
    hand.draw(page)
    hand.press(page, "Improve now")
    assert hand.failed(page) == "There is no endpoint at this address. Settings has it."


def test_an_answer_that_breaks_off_is_told(open_pad: OpenPad, laptop: Laptop, breaks_off: str) -> None:
    """Neither the address nor the page is blamed for it, and the sketch can be sent again."""
    page = open_pad()
    page.route(laptop.endpoint, lambda route: route.continue_(url=breaks_off))
    hand.draw_anew(page)
    hand.press(page, "Improve now")
    assert hand.failed(page) == "The connection broke before the whole answer was here."
    page.unroute(laptop.endpoint)
    page.route("**/images/*", lambda route: route.continue_(url=breaks_off))
    hand.press(page, "Try again")
    page.locator("#sorry", has_text="The drawing is done but cannot be fetched.").wait_for()
    page.unroute("**/images/*")
    hand.press(page, "Try again")
    assert hand.finished(page) != ""


def test_a_check_of_a_silent_endpoint_ends(open_pad: OpenPad, laptop: Laptop) -> None:
    """The verdict names the limit, which is shortened here."""
    page = open_pad(
        lambda page: page.add_init_script(
            "const { timeout } = AbortSignal; AbortSignal.timeout = () => timeout.call(AbortSignal, 1);"
        )
    )
    page.route(laptop.endpoint, lambda route: None)
    hand.press(page, "Settings")
    hand.press(page, "Check")
    page.get_by_text("The endpoint did not answer within 10 s.").wait_for()


# What Chromium does where "site data" is blocked.
BLOCKED = """const refuse = () => { throw new DOMException("Access is denied.", "SecurityError"); };
  for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(window, name, { get: refuse });
  LockManager.prototype.request = async () => refuse();
  IDBFactory.prototype.open = refuse;"""


@pytest.mark.parametrize("button", ["Improve now", "In the background"])
def test_a_browser_that_stores_nothing_is_enough(open_pad: OpenPad, laptop: Laptop, button: str) -> None:
    """Sketches are drawn, and settings hold, until the page is left."""
    page = open_pad(lambda page: page.add_init_script(BLOCKED))
    hand.press(page, "Settings")
    page.get_by_label("API key").fill("a-key")
    hand.press(page, "Save")
    hand.draw_anew(page)
    with page.expect_request(laptop.endpoint) as request:
        hand.press(page, button)
    assert request.value.headers["authorization"] == "Bearer a-key"
    assert hand.finished(page) != ""


def test_settings_left_by_escape_stay_as_they_were(open_pad: OpenPad, laptop: Laptop) -> None:
    """What was typed is kept by Save alone, also when the panel was saved before; an empty address is the first one."""
    page = open_pad()
    for typed, close, kept in [
        ("https://endpoint.example/", "Save", "https://endpoint.example/"),
        ("https://other.example/", "Escape", "https://endpoint.example/"),
        ("", "Save", laptop.endpoint),
    ]:
        hand.press(page, "Settings")
        page.get_by_label("Endpoint").fill(typed)
        if close == "Save":
            hand.press(page, close)
        else:
            page.keyboard.press(close)
        hand.press(page, "Settings")
        assert page.get_by_label("Endpoint").input_value() == kept
        page.keyboard.press("Escape")


def test_another_variant_is_another_sketch_in_the_strip(open_pad: OpenPad) -> None:
    """Another variant asks for the next one of the same sketch; both can be looked at, downloaded, forgotten."""
    page = open_pad()
    hand.draw_anew(page)
    hand.press(page, "Improve now")
    hand.finished(page)
    hand.press(page, "Another variant")
    page.get_by_text("variant 1").wait_for()
    assert page.locator("#strip li").count() == 2
    with page.expect_download() as download:
        page.get_by_role("link", name="Download PNG").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")
    page.reload()
    page.locator("#strip li").nth(1).wait_for()
    page.on("dialog", lambda dialog: dialog.accept())
    hand.press(page, "Forget all")
    page.locator("#strip li").first.wait_for(state="detached")
    page.reload()
    page.get_by_role("radio", name="Ink").wait_for()
    assert page.locator("#earlier").is_hidden()


def test_a_double_click_in_the_strip_is_one_click(open_pad: OpenPad) -> None:
    """It forgets one drawing: the one that slides under the pointer stays, here and after a reload."""
    page = open_pad()
    hand.draw_anew(page)
    hand.press(page, "Improve now")
    hand.finished(page)
    for variant in (1, 2):
        hand.press(page, "Another variant")
        page.get_by_text(f"variant {variant}").wait_for()
    page.locator("#strip button.forget").first.dblclick()
    assert page.locator("#strip li").count() == 2
    page.reload()
    page.get_by_role("radio", name="Ink").wait_for()
    page.locator("#strip li").nth(1).wait_for()


def test_a_double_click_on_another_variant_picks_nothing(open_pad: OpenPad, laptop: Laptop) -> None:
    """The panel shows the variant that was asked for, not the drawing that slides under the pointer."""
    page = open_pad(viewport={"width": 390, "height": 900})
    hand.draw_anew(page)
    hand.press(page, "Improve now")
    hand.finished(page)
    laptop.plays({"kind": "hold"})
    page.get_by_role("button", name="Another variant").dblclick()
    page.locator("#panel[data-state=working]").wait_for()
    assert page.locator("#strip li").first.locator("button.pick").get_attribute("aria-pressed") == "true"
    laptop.release()
    page.get_by_text("variant 1").wait_for()


def test_markup_in_an_answer_is_text(open_pad: OpenPad, laptop: Laptop) -> None:
    """A title, notes and colours with markup in them are shown letter by letter, and run nothing."""
    evil = "<img src=x onerror='document.title=`gotcha`'><script>document.title='gotcha'</script>"
    page = open_pad()

    def poison(route: object) -> None:
        answer = route.fetch().json()  # type: ignore[attr-defined]
        result = answer["data"]["improveSketch"]["result"]
        result |= {"title": evil, "notes": evil, "palette": [evil, "url(https://endpoint.example/)"]}
        route.fulfill(json=answer)  # type: ignore[attr-defined]

    page.route(laptop.endpoint, poison)
    hand.draw_anew(page)
    hand.press(page, "Improve now")
    assert hand.finished(page) == evil
    assert page.locator("#notes").inner_text() == evil
    assert page.title() == "RubyDraw sketch pad"
    assert page.locator("#palette img, #palette script").count() == 0


def test_what_is_sent_is_the_drawing_and_its_strokes(open_pad: OpenPad, laptop: Laptop) -> None:
    """A drawn sketch goes with its SVG; one that lies on a loaded image goes as pixels alone."""
    page = open_pad()
    hand.draw(page)
    with page.expect_request(laptop.endpoint) as first:
        hand.press(page, "Improve now")
    hand.finished(page)
    drawn = json.loads(first.value.post_data)["variables"]["input"]
    assert drawn["svg"].count("<path") == 2
    assert drawn["pngBase64"].startswith("iVBORw0KGgo")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download PNG").click()
    strokes = hand.inked(page)
    page.locator("#file").set_input_files(download.value.path())
    hand.until_more_is_inked(page, strokes)
    hand.draw(page, shift_px=30)
    with page.expect_request(laptop.endpoint) as second:
        hand.press(page, "Improve now")
    loaded = json.loads(second.value.post_data)["variables"]["input"]
    assert loaded["svg"] is None
    hand.finished(page)


def test_a_fault_of_the_endpoint_is_told_in_its_words(open_pad: OpenPad, laptop: Laptop) -> None:
    """The errors of an answer are its reason, also beside `data`."""
    answer = {
        "data": {"improveSketch": None},
        "errors": [{"message": "Something went wrong on our side.", "extensions": {"code": "INTERNAL"}}],
    }
    page = open_pad(lambda page: page.route(laptop.endpoint, lambda route: route.fulfill(json=answer)))
    hand.draw(page)
    hand.press(page, "Improve now")
    assert hand.failed(page) == "Something went wrong on our side."
    assert page.locator("#retry").is_visible()


@pytest.mark.parametrize("how", ["Control+Enter", "Enter", "a double click", "a double click in the background"])
def test_what_is_held_or_clicked_twice_sends_once(open_pad: OpenPad, laptop: Laptop, how: str) -> None:
    """One sketch, one record, one request."""
    page = open_pad()
    sent: list[str] = []

    def noted(request: Any) -> None:
        if "mutation" in (request.post_data or ""):
            sent.append(request.url)

    page.on("request", noted)
    hand.draw_anew(page)
    if how.startswith("a double"):
        name = "In the background" if how.endswith("background") else "Improve now"
        page.get_by_role("button", name=name).dblclick()
    else:
        page.get_by_role("button", name="Improve now").focus()
        for key in how.split("+"):
            page.keyboard.down(key)
        for _ in range(5):
            page.keyboard.down("Enter")  # again, without an up between: a repeat
    assert hand.finished(page) != ""
    assert page.locator("#strip li").count() == 1
    assert sent == [laptop.endpoint]
