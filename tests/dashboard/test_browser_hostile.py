"""Whatever a model or a caller wrote is text in the browser: markup, scripts, terminal escapes, a turned direction."""

from __future__ import annotations

import pytest

from tests.dashboard import filling
from tests.dashboard.filling import HOSTILE, chat, events, keep, key_of, made

# What must be seen of each: controls and what turns the direction are written out.
SEEN = [
    HOSTILE["script"],
    HOSTILE["image"],
    HOSTILE["closing"],
    r"\x1b[31mred\x1b[0m\x07\x00 \x9b2J",
    r"safe \u202egnp.exe\u202c \u2066x\u2069",
    HOSTILE["style"],
    HOSTILE["markdown"],
    HOSTILE["data"],
    HOSTILE["template"],
]
HIDDEN = set("\x00\x07\x1b\x9b\u202e\u2066")
MARKUP = (
    "document.querySelectorAll('iframe, object, embed, form[action], main script, img:not([src^=\"data:\"])').length"
)


def test_no_view_takes_text_for_markup(visit):
    seen = visit()
    page = seen.page
    for view in ("", "entries", "misses", "health", f"entry/{key_of('hostile')}"):
        seen.open(view)
        for summary in page.locator("summary:visible").all():
            summary.click()
        seen.until("document.querySelectorAll('main details:not([open])').length === 0")
        seen.until("!/Looking…/.test(document.querySelector('main').textContent)")
        assert page.evaluate(MARKUP) == 0, view
        assert not HIDDEN & set(page.evaluate("document.body.textContent")), view


def test_messages_are_shown_as_they_were_written(visit):
    page = visit(f"entry/{key_of('hostile')}").page
    assert page.locator(".message.user .text").all_inner_texts() == SEEN
    assert page.locator(".message.assistant .text").inner_text() == "\n".join(SEEN)
    assert SEEN[1] in page.inner_text(".facts")
    box = page.locator(".message.user .text").nth(4)
    assert box.evaluate("node => getComputedStyle(node).unicodeBidi") == "isolate"


def test_names_are_isolated_and_fit(visit):
    page = visit("entries?key=" + key_of("hostile")).page
    cells = page.locator("td bdi")
    assert cells.count() >= 3
    assert SEEN[4] in page.inner_text("tbody")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_text_from_right_to_left_keeps_to_itself(visit, served):
    keep(served.engine, made("arabic", response=chat("\u0645\u0631\u062d\u0628\u0627 (1)")))
    page = visit(f"entry/{key_of('arabic')}").page
    box = page.locator(".message.assistant .text")
    assert box.evaluate("node => getComputedStyle(node).direction") == "rtl"
    assert page.locator(".facts").evaluate("node => getComputedStyle(node).direction") == "ltr"


def test_a_megabyte_in_one_line(visit):
    seen = visit(f"entry/{key_of('long')}", width=390)
    page = seen.page
    box = page.locator(".message.assistant .text")
    assert len(box.inner_text()) < 5000
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    rest = page.locator(".message.assistant .rest")
    assert f"of {len(filling.LONG):,} characters" in rest.inner_text()
    rest.get_by_role("button", name="Show all").click()
    seen.until("() => document.querySelector('.message.assistant .rest').textContent.startsWith('All')")
    assert box.evaluate("node => node.textContent") == filling.LONG
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_images_are_what_they_are_or_nothing(visit, served):
    """An SVG could hold a script, a type can lie, and what is elsewhere would tell who looks."""
    svg = "PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIG9ubG9hZD0iaGFja2VkPTEiLz4="
    urls = [
        f"data:image/svg+xml;base64,{svg}",
        f"data:image/png;base64,{svg}",
        "data:text/html;base64,PHNjcmlwdD4=",
        "data:image/png;base64,%%%",
        "javascript:window.hacked=1",
        "http://127.0.0.1:9/x.png",
        "//elsewhere.example.com/x.png",
        f"data:image/gif;base64,{filling.PNG}",
    ]
    content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    keep(served.engine, made("images", request={"messages": [{"role": "user", "content": content}]}))
    page = visit(f"entry/{key_of('images')}").page
    assert page.locator(".message.user .part").count() == len(urls)
    images = page.locator("img")
    assert images.count() == 1  # it says GIF and is a PNG, and is shown as that
    assert images.get_attribute("src") == f"data:image/png;base64,{filling.PNG}"
    assert page.locator("main a[href*=javascript], main a[href*=elsewhere]").count() == 0


def test_what_differs_is_text_too(visit, served):
    for name, more in (("one", "x"), ("two", HOSTILE["image"] + HOSTILE["turned"] + HOSTILE["escape"])):
        asked = {"model": "gpt-4o", HOSTILE["script"]: more, "messages": [{"role": "user", "content": "the very same"}]}
        keep(served.engine, made(f"differs {name}", request=asked))
    page = visit(f"entry/{key_of('differs two')}").page
    page.locator("summary", has_text="What differs").click()
    box = page.locator("details", has_text="What differs").locator("tbody")
    box.wait_for()
    text = box.inner_text()
    assert HOSTILE["script"] in text
    assert "onerror=" in text
    assert not HIDDEN & set(text)
    assert page.evaluate(MARKUP) == 0


def test_frames_are_text_too(visit, served):
    chunks = [b"\xff\xfe\x00", *events({"choices": [{"delta": {"content": HOSTILE["image"]}}]})]
    keep(served.engine, made("frames", chunks=chunks))
    page = visit(f"entry/{key_of('frames')}").page
    page.locator("summary", has_text="Frames").click()
    page.locator(".frame-text").first.wait_for()
    assert page.locator(".frame-text").nth(0).inner_text() == "\ufffd\ufffd\\x00"
    assert "onerror='window.hacked = 2'" in page.locator(".frame-text").nth(1).inner_text()
    assert page.evaluate(MARKUP) == 0


def test_a_violation_of_the_policy_would_be_seen(browser, served):
    """The net that all of these tests hang in holds."""
    from tests.dashboard.conftest import Watched

    page = browser.new_page()
    watched = Watched(page, f"{served.url}/dashboard/")
    watched.open()
    page.evaluate("document.head.append(Object.assign(document.createElement('style'), { textContent: 'p{}' }))")
    page.evaluate("document.body.append(Object.assign(document.createElement('img'), { src: 'http://127.0.0.1:9/x' }))")
    refused = page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; } catch (error) { return error.name; } return ''; }"
    )
    watched.until("window.violations.length >= 3")
    assert refused == "TypeError"  # nothing can become markup, not even by a mistake
    with pytest.raises(AssertionError):
        watched.check()
    page.close()
