"""What one can do in a real Chromium: search, page, delete, look for damage; and what fails is told."""

from __future__ import annotations

import pytest

from llm_cache.core.events import About, Missed
from tests.dashboard.filling import events, keep, key_of, made
from tests.proxy.running import running


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["desktop, light", "phone, dark"])
def visit(visit, request):
    """Every action on both."""
    width, scheme = request.param
    return lambda view="", **more: visit(view, **{"width": width, "scheme": scheme, **more})


def rows(page) -> list[str]:
    return [each.get_attribute("href").rpartition("/")[2] for each in page.locator("td.key a").all()]


def test_searching(visit):
    seen = visit("entries")
    page = seen.page
    page.fill("#filter-text", "sonnet")
    page.keyboard.press("Enter")
    page.wait_for_url("**text=sonnet")
    seen.until("document.querySelectorAll('td.key').length === 1")
    assert rows(page) == [key_of("talk")]
    page.get_by_role("button", name="Clear").click()
    seen.until("document.querySelectorAll('td.key').length === 50")
    page.fill("#filter-key", key_of("stream")[:10])
    page.keyboard.press("Enter")
    seen.until("document.querySelectorAll('td.key').length === 1")
    assert rows(page) == [key_of("stream")]
    page.locator("td.key a").click()
    page.wait_for_selector("article.message")
    assert key_of("stream") in page.inner_text(".keyline")
    page.go_back()
    seen.until("document.querySelector('#filter-key')?.value")
    page.fill("#filter-key", "")
    page.select_option("#filter-state", "expired")
    seen.until("last => document.querySelector('td.key a')?.hash.endsWith(last)", key_of("old"))
    page.fill("#filter-text", "nothing is called so")
    page.keyboard.press("Enter")
    page.get_by_text("No entry matches.").wait_for()


def test_paging(visit):
    seen = visit("entries")
    page = seen.page
    pages = [rows(page)]
    for _ in range(2):
        page.click("#older")
        seen.until("before => document.querySelector('td.key a')?.hash !== before", f"#/entry/{pages[-1][0]}")
        pages.append(rows(page))
    assert [len(each) for each in pages] == [50, 50, len(pages[2])]
    assert len({key for each in pages for key in each}) == sum(map(len, pages))
    assert page.locator("#older").is_disabled()
    page.click("#newer")
    seen.until("first => document.querySelector('td.key a')?.hash === first", f"#/entry/{pages[1][0]}")
    page.click("#newest")
    seen.until("first => document.querySelector('td.key a')?.hash === first", f"#/entry/{pages[0][0]}")


def test_deleting_one_entry_asks_first(visit, served):
    name = "doomed"
    keep(served.engine, made(name))
    seen = visit(f"entry/{key_of(name)}")
    page = seen.page
    page.click("#purge")
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    assert "Delete 1 entry?" in dialog.inner_text()
    assert page.evaluate("document.activeElement.textContent") == "Cancel"
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    assert served.engine.store.get(bytes.fromhex(key_of(name)))
    page.click("#purge")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    page.wait_for_url("**#/entries")
    seen.until("document.getElementById('said').textContent !== ''")
    assert served.engine.store.get(bytes.fromhex(key_of(name))) is None


def test_deleting_what_the_filters_choose(visit, served):
    keep(served.engine, *(made(f"heap {n}", namespace="heap", created_at=1.0) for n in range(3)))
    served.engine.store.add({("calls", "2020-01-01", "openai", "gpt-4o", "heap"): {"misses": 3}})
    seen = visit("entries")
    page = seen.page
    assert page.locator("#purge").is_disabled()
    page.select_option("#filter-namespace", "heap")
    seen.until("document.querySelectorAll('td.key').length === 3")
    page.click("#purge")
    dialog = page.get_by_role("dialog")
    assert "Delete 3 entries?" in dialog.inner_text()
    assert "namespace heap" in dialog.inner_text()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("No entry matches.").wait_for()
    served.engine.store.add({("calls", "2020-01-01", "openai", "gpt-4o", "heap"): {"misses": -3}})


def test_the_store_is_looked_through_and_cleaned(visit, served):
    keep(served.engine, made("past", expires_at=served.engine.clock() - 1))
    seen = visit("health")
    page = seen.page
    page.click("#check")
    page.get_by_text("Nothing was found").wait_for()
    page.fill("#older-than", "100000")
    page.click("#purge-older")
    dialog = page.get_by_role("dialog")
    assert "Nothing to delete" in dialog.inner_text()
    dialog.get_by_role("button", name="Close").click()
    page.click("#purge-all")
    assert "everything in" in dialog.inner_text()
    dialog.get_by_role("button", name="Cancel").click()
    page.click("#purge-expired")
    assert "Delete 2 entries?" in dialog.inner_text()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    seen.until("/expired\\s*0/.test(document.querySelector('.facts').innerText)")
    keep(served.engine, made("old", created_at=1.0, expires_at=2.0))


def test_deleting_what_is_old_and_then_everything(visit, tmp_path):
    with running(None, database_url=str(tmp_path / "db")) as proxy:
        now = proxy.engine.clock()
        keep(proxy.engine, made("new", created_at=now), made("older", created_at=now - 40 * 86_400))
        seen = visit("health", home=f"{proxy.url}/dashboard/")
        page, dialog = seen.page, seen.page.get_by_role("dialog")
        page.fill("#older-than", "30")
        page.click("#purge-older")
        assert "Delete 1 entry?" in dialog.inner_text()
        dialog.get_by_role("button", name="Delete", exact=True).click()
        seen.until("/entries\\s*1/.test(document.querySelector('.facts').innerText)")
        assert proxy.engine.store.get(bytes.fromhex(key_of("older"))) is None
        page.click("#purge-all")
        dialog.get_by_role("button", name="Delete", exact=True).click()
        seen.until("/entries\\s*0/.test(document.querySelector('.facts').innerText)")
        assert proxy.engine.store.summary().entries == 0


def test_copying_a_key(visit):
    seen = visit(f"entry/{key_of('plain')}")
    page = seen.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#copy")
    seen.until("document.getElementById('copy').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == key_of("plain")
    assert page.inner_text("#said") == "Copied"


def test_many_frames_come_a_hundred_at_a_time(visit, served):
    chunks = events(*({"choices": [{"index": 0, "delta": {"content": f"{n} "}}]} for n in range(150)), b"[DONE]")
    keep(served.engine, made("frames", chunks=chunks))
    page = visit(f"entry/{key_of('frames')}").page
    page.locator("summary", has_text="Frames").click()
    box = page.locator("details", has_text="Frames")
    box.get_by_role("button", name="Show more (51 left)").click()
    box.get_by_text("[DONE]").wait_for()
    assert box.locator("tbody tr").count() == 151
    assert box.get_by_role("button").count() == 0


def test_pointing_at_a_chart_tells_the_day(visit):
    page = visit().page
    plot = page.locator(".plot").first
    plot.scroll_into_view_if_needed()
    place = plot.bounding_box()
    page.mouse.move(place["x"] + place["width"] - 12, place["y"] + place["height"] / 2)
    assert "saved $" in page.locator(".readout").first.inner_text()


def test_refreshing_shows_what_is_new(visit, served):
    page = visit().page
    served.engine.ledger(Missed(About("openai", "brand-new", "/v1/chat/completions", "default", "ab" * 32), "absent"))
    page.click("#refresh")
    page.locator("section", has=page.get_by_role("heading", name="Latest calls")).get_by_text(
        "brand-new"
    ).first.wait_for()
    page.locator("section", has=page.get_by_role("heading", name="By model")).get_by_text("brand-new").first.wait_for()
    assert page.evaluate("document.activeElement.id") == "refresh"


def test_an_entry_that_is_gone_is_one_sentence(visit):
    seen = visit("health")
    page = seen.page
    page.evaluate("location.hash = '#/entry/' + '0'.repeat(64)")
    page.get_by_role("alert").wait_for()
    assert "There is no such entry" in page.inner_text("main")
    assert seen.wrong.pop().endswith("404 (Not Found)")  # which the browser itself logs


def test_behind_a_token(visit, tmp_path):
    with running(None, database_url=str(tmp_path / "db"), proxy_tokens={"admin": "s" * 20, "bob": "b" * 20}) as proxy:
        keep(proxy.engine, made("one"))
        seen = visit("entries", home=f"{proxy.url}/~{'s' * 20}/dashboard/")
        assert rows(seen.page) == [key_of("one")]
        seen.page.locator("td.key a").click()
        seen.page.wait_for_selector("article.message")
        assert seen.page.evaluate("document.cookie") == ""
