"""Every view in a real Chromium: wide and narrow, light and dark, with a mouse, with keys and without eyes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from llm_cache.core.events import About, Missed
from tests.dashboard import filling
from tests.dashboard.filling import key_of

SIZES = {"desktop": 1280, "phone": 390}
VIEWS = {
    "": "Overview",
    "entries": "Entries",
    f"entry/{key_of('talk')}": "Entry",
    f"entry/{key_of('stream')}": "Entry",
    "misses": "Misses",
    "health": "Store",
}
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (text) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => { const f = [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
  const behind = (node) => { for (; node; node = node.parentElement) {
    const found = rgb(getComputedStyle(node).backgroundColor); if (found[3] === 255) return found; }
    return [255, 255, 255]; };
  const poor = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || node.closest('.unseen, .skip, :disabled') || !node.checkVisibility()) continue;
    const [one, other] = [light(rgb(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) poor.push(`${walk.currentNode.data.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
"""Text with less contrast than WCAG 2.2, 1.4.3 asks for (the size of the text is not used as an excuse)."""
NAMELESS = """() => [...document.querySelectorAll('button, a[href], input, select, summary, [tabindex="0"]')]
  .filter((node) => node.checkVisibility())
  .filter((node) => !(node.getAttribute('aria-label') || node.labels?.[0]?.textContent || node.textContent).trim())
  .map((node) => node.outerHTML)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_view(visit, size, scheme):
    """Each fits its screen, can be read, and says what it is to who does not see it."""
    seen = visit(width=SIZES[size], scheme=scheme)
    page = seen.page
    for view, title in VIEWS.items():
        seen.open(view)
        assert page.inner_text("h1") == title
        assert page.title() == f"{title} · llm-cache"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{view} is wider than the screen"
        assert page.evaluate(CONTRAST) == [], view
        assert page.evaluate(NAMELESS) == [], view
        assert page.locator("main").count() == page.locator("h1").count() == 1
        assert page.locator("nav a[aria-current=page]").count() == 1
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 21, 26)"
    assert dark == (scheme == "dark")


def test_the_overview_tells_money_and_hits(visit):
    page = visit().page
    tiles = page.locator(".tile")
    assert "$18.52" in tiles.nth(0).inner_text()
    assert tiles.nth(0).locator("data").get_attribute("value") == "18.518518351846"
    assert "2 of unknown price" in tiles.nth(1).inner_text()
    assert "69%" in tiles.nth(2).inner_text()
    assert page.locator(".chart svg .mark").count() > 10
    page.locator(".chart summary").first.click()
    day = page.locator(".chart table tbody tr").first.inner_text()
    assert "$1.23" in day
    assert "gpt-4o" in page.locator("section", has=page.get_by_role("heading", name="By model")).inner_text()


def test_charts_can_be_read_with_keys(visit):
    page = visit().page
    plot = page.locator(".plot").first
    plot.focus()
    page.keyboard.press("ArrowLeft")
    latest = page.locator(".readout").first.inner_text()
    page.keyboard.press("ArrowLeft")
    before = page.locator(".readout").first.inner_text()
    assert "saved $" in latest
    assert latest != before
    page.keyboard.press("End")
    assert page.locator(".readout").first.inner_text() == latest
    assert page.locator(".readout").first.get_attribute("aria-live") == "polite"


def test_choosing_days_and_names(visit):
    seen = visit()
    page = seen.page
    page.select_option("#filter-namespace", "agents")
    seen.settle()
    assert "namespace=agents" in page.url
    seen.until("document.querySelector('.tile .note').textContent === ''")
    assert "1 of 3" in page.locator(".tile").nth(2).inner_text()
    page.select_option("#filter-days", "7")
    page.wait_for_url("**days=7*")
    page.go_back()
    seen.settle()
    seen.until("document.querySelector('#filter-days').value === '30'")


def test_a_conversation(visit):
    page = visit(f"entry/{key_of('talk')}").page
    assert page.locator(".message .who").all_inner_texts() == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant\nend_turn",
    ]
    assert page.locator(".part img").evaluate("image => image.complete && image.naturalWidth") == 1
    link = page.locator(".part.link")
    assert "https://tracker.example.com/pixel.png" in link.inner_text()
    assert link.locator("a, img").count() == 0
    assert "read_file" in page.locator(".part.call").inner_text()
    assert "no such file" in page.locator(".part.result.failed").inner_text()
    assert "Hmm." in page.locator(".part.thought").inner_text()
    page.locator("summary", has_text="Tools on offer").click()
    page.locator("summary", has_text="Everything else that was sent").click()
    assert "max_tokens" in page.inner_text("main")
    assert "1,000" in page.locator("section", has=page.get_by_role("heading", name="Cost")).inner_text()


def test_a_stream_as_text_and_as_frames(visit):
    page = visit(f"entry/{key_of('stream')}").page
    assert page.locator(".message.assistant .text").first.inner_text() == "It streams."
    assert '{"at": 1}' in page.locator(".part.call").inner_text()
    page.locator("summary", has_text="Frames").click()
    rows = page.locator("details table tbody tr", has_text="data:")
    rows.first.wait_for()
    assert rows.count() == len(filling.STREAM)
    assert "2.0 ms" in rows.nth(1).inner_text()
    assert "1.0 ms" in rows.nth(1).inner_text()
    assert page.locator(".timeline rect").count() == len(filling.STREAM) + 1


@pytest.mark.parametrize("size", SIZES)
def test_what_differs_from_the_nearest_other_request(visit, served, size):
    ask = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Which of the moons is largest?"}]}
    filling.keep(
        served.engine,
        *(filling.made(f"moon {n}", request={**ask, "seed": 1_234_567 + n}, namespace=f"moons {size}") for n in (1, 2)),
    )
    seen = visit(f"entry/{key_of('moon 1')}", width=SIZES[size])
    page = seen.page
    page.locator("summary", has_text="What differs").focus()
    page.keyboard.press("Enter")
    box = page.locator("details", has_text="What differs")
    box.locator("tbody").wait_for()
    text = box.inner_text()
    assert "body.seed" in text
    assert "1234568" in text
    assert "1234569" in text
    assert 'ignore_fields = "seed"' in text
    assert page.inner_text("#said") == "1 place differs."
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box.locator("a").click()
    seen.until("key => document.querySelector('.keyline')?.textContent === key", key_of("moon 2"))


def test_misses_say_why(visit, served):
    about = About("openai", "gpt-4o", "/v1/chat/completions")
    for at in range(3):
        body = {"model": "gpt-4o", "messages": [], "seed": 7_654_321 + at}
        document = json.dumps({"kind": "http", "body": body}).encode()
        served.engine.ledger(Missed(replace(about, key=f"{at:064x}"), "absent", document))
    text = visit("misses").page.inner_text("main")
    assert "ignore_fields" in text
    assert "seed" in text
    assert "absent – nobody asked this before" in text
    assert "cut_off" in text
    assert "no_store" in text


def test_with_keys_alone(visit):
    seen = visit("entries")
    page = seen.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.url.endswith("#/entries")
    page.locator("nav a", has_text="Misses").focus()
    page.keyboard.press("Enter")
    seen.until("document.activeElement.matches('h1')")  # where reading goes on
    assert page.inner_text("#said") == "Misses is shown."
    outline = page.locator("#refresh")
    page.keyboard.press("Tab")
    assert outline.evaluate("node => node === document.activeElement")
    assert outline.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"


def test_the_theme_is_chosen_and_remembered(visit):
    seen = visit("health", scheme="light")
    page = seen.page
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    for expected in ("light", "dark"):
        page.click("#theme")
        assert page.inner_text("#theme") == f"Theme: {expected}"
    assert page.evaluate(colour) != light
    page.reload()
    seen.settle()
    assert page.inner_text("#theme") == "Theme: dark"
    assert page.evaluate(colour) != light
    page.click("#theme")
    assert page.evaluate(colour) == light
