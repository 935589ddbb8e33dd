"""The pytest plugin: recorded once, replayed without a network, and a failure that says what is missing."""

from __future__ import annotations

import json

import pytest

from llm_cache.testing import openai_chat

# What is imported here stays imported in the inner runs; what is not, each of them would import anew.
httpx = pytest.importorskip("httpx")
pytest.importorskip("llm_cache.testing.recorded_test")
pytest_plugins = ["pytester"]
pytestmark = pytest.mark.sdk

OTHER_PLUGINS = ("xdist", "cacheprovider", "hypothesispytest", "asyncio", "anyio", "timeout")

TEST = """
    import httpx, pytest
    URL = {url!r}

    def ask(text):
        reply = httpx.post(URL + "/v1/chat/completions", headers={{"authorization": "Bearer sk-secret"}},
            json={{"model": "gpt-4o-mini", "messages": [{{"role": "user", "content": text}}]}})
        return reply.json()["choices"][0]["message"]["content"]

    {marker}
    def test_it({fixtures}):
        assert ask({text!r}) == "Hello!"
"""


def write(pytester, upstream, *, text="Hi", marker="", fixtures=""):
    pytester.makepyfile(test_them=TEST.format(url=upstream.url, text=text, marker=marker, fixtures=fixtures))


@pytest.fixture
def ask(upstream, pytester):
    upstream.reply("/v1/chat/completions", openai_chat())
    # The suite's own settings are none of the inner run's.
    pytester.makeini("[pytest]")

    def asking(*arguments, status=0):
        others = [part for name in OTHER_PLUGINS for part in ("-p", f"no:{name}")]
        done = pytester.runpytest_inprocess(*others, *arguments)
        assert done.ret == status, done.stdout.str()
        return done.stdout.str() + done.stderr.str()

    return asking


CASSETTE = "cassettes/test_them/test_it.json"


def test_recorded_once_and_replayed_offline(ask, upstream, pytester):
    write(pytester, upstream)
    ask("--llm-cache=auto")
    assert upstream.count() == 1
    ask("--llm-cache=auto")
    ask("--llm-cache=offline")
    assert upstream.count() == 1
    text = (pytester.path / CASSETTE).read_text()
    (entry,) = json.loads(text)
    assert entry["request"]["messages"][0]["content"] == "Hi"
    assert entry["response"]["choices"][0]["message"]["content"] == "Hello!"
    assert "sk-secret" not in text
    assert len(text.splitlines()) > 30, "a difference shows line by line"


def test_recording_again_changes_only_what_was_answered(ask, upstream, pytester):
    write(pytester, upstream)
    ask("--llm-cache=auto")
    before = (pytester.path / CASSETTE).read_text()
    ask("--llm-cache=offline")
    assert (pytester.path / CASSETTE).read_text() == before
    ask("--llm-cache=refresh")
    after = (pytester.path / CASSETTE).read_text()
    assert upstream.count() == 2
    assert len(after.splitlines()) == len(before.splitlines())


def test_a_call_that_was_not_recorded_fails_and_says_what_comes_nearest(ask, upstream, pytester):
    write(pytester, upstream)
    ask("--llm-cache=auto")
    write(pytester, upstream, text="Hi there")
    said = ask("--llm-cache=offline", status=1)
    assert upstream.count() == 1
    assert "not recorded: POST" in said
    assert 'body.messages[0].content: "Hi there" here, "Hi" there' in said
    assert "pytest --llm-cache=auto" in said


def test_without_the_option_only_marked_tests_are_under_it_and_offline(ask, upstream, pytester):
    write(pytester, upstream)
    ask()
    assert upstream.count() == 1
    assert not (pytester.path / "cassettes").exists()
    write(pytester, upstream, marker="@pytest.mark.llm_cache")
    ask(status=1)
    write(pytester, upstream, fixtures="llm_cache")
    ask(status=1)
    assert upstream.count() == 1


def test_a_marker_may_name_the_cassette_and_the_mode(ask, upstream, pytester):
    write(pytester, upstream, marker='@pytest.mark.llm_cache(mode="auto", cassette="kept/one.json")')
    ask()
    ask()
    assert upstream.count() == 1
    assert (pytester.path / "kept/one.json").exists()


def test_offline_is_a_promise_that_no_marker_breaks(ask, upstream, pytester):
    write(pytester, upstream, marker='@pytest.mark.llm_cache(mode="auto")')
    ask("--llm-cache=offline", status=1)
    assert upstream.count() == 0


def test_one_store_for_all_tests(ask, upstream, pytester):
    write(pytester, upstream)
    store = str(pytester.path / "all.db")
    ask("--llm-cache=auto", f"--llm-cache-store={store}")
    ask("--llm-cache=offline", f"--llm-cache-store={store}")
    assert upstream.count() == 1
    assert not (pytester.path / "cassettes").exists()


def test_a_failed_test_records_nothing(ask, upstream, pytester):
    upstream.reply("/v1/chat/completions", openai_chat("Something else."))
    write(pytester, upstream)
    ask("--llm-cache=auto", status=1)
    assert not (pytester.path / "cassettes").exists()


def test_no_provider_is_reached_past_the_cache(ask, pytester):
    pytester.makepyfile(
        test_them="""
        import socket, pytest

        def test_it():
            with pytest.raises(OSError, match=r"offline.*api\\.openai\\.com \\(openai\\)"):
                socket.create_connection(("api.openai.com", 443))
            with socket.socket() as plain, pytest.raises(OSError, match="api.anthropic.com"):
                plain.connect(("api.anthropic.com", 443))
            assert socket.getaddrinfo("127.0.0.1", 80)
        """
    )
    ask("--llm-cache=offline")


def test_decorated_functions_use_the_tests_cache(ask, pytester, upstream):
    pytester.makepyfile(
        test_them="""
        from llm_cache import cached_call
        calls = []

        @cached_call(version=1)
        def answer(x):
            calls.append(x)
            return {"x": x}

        def test_it(llm_cache):
            assert answer(2) == {"x": 2}
            assert len(calls) == LEN
            assert len(list(llm_cache.entries())) == 1
        """.replace("LEN", "int(not __import__('pathlib').Path(__file__).parent.joinpath('cassettes').exists())")
    )
    ask("--llm-cache=auto")
    ask("--llm-cache=offline")


@pytest.mark.parametrize(
    ("marker", "said"),
    [("@pytest.mark.llm_cache(mode='never')", "mode='never'"), ("@pytest.mark.llm_cache('x')", "takes mode=")],
)
def test_a_marker_that_is_wrong_says_so(ask, upstream, pytester, marker, said):
    write(pytester, upstream, marker=marker)
    assert said in ask(status=pytest.ExitCode.USAGE_ERROR)


SHARED = """
    import httpx, pytest

    def ask(text):
        reply = httpx.post({url!r} + "/v1/chat/completions",
            json={{"model": "gpt-4o-mini", "messages": [{{"role": "user", "content": text}}]}})
        return reply.json()["choices"][0]["message"]["content"]

    @pytest.fixture(scope="module")
    def shared():
        yield ask("shared")

    class TestBoth:
        def test_one(self, shared):
            assert shared == "Hello!"

        def test_two(self, shared):
            assert shared == ask("own") == "Hello!"
"""


def test_what_a_shared_fixture_asks_is_found_by_whichever_test_comes_first(ask, upstream, pytester):
    pytester.makepyfile(test_them=SHARED.format(url=upstream.url))
    ask("--llm-cache=auto")
    assert upstream.count() == 2
    folder = pytester.path / "cassettes" / "test_them"
    assert sorted(file.name for file in folder.iterdir()) == ["TestBoth-test_two.json", "shared.json"]
    for alone in ("test_one", "test_two"):
        ask("--llm-cache=offline", f"test_them.py::TestBoth::{alone}")
    (folder / "shared.json").unlink()
    said = ask("--llm-cache=offline", status=1)
    assert "shared.json: pytest --llm-cache=auto" in said
    assert upstream.count() == 2


def test_cases_whose_names_look_alike_in_a_file_have_each_their_own(ask, upstream, pytester):
    marker = '@pytest.mark.parametrize("case", ["a/b", "a-b", "a b"])'
    write(pytester, upstream, marker=marker, fixtures="case")
    ask("--llm-cache=refresh")
    assert len(list((pytester.path / "cassettes" / "test_them").iterdir())) == 3


def test_a_test_that_was_renamed_is_told_where_its_recording_is(ask, upstream, pytester):
    write(pytester, upstream)
    ask("--llm-cache=auto")
    file = pytester.path / "test_them.py"
    file.write_text(file.read_text().replace("def test_it", "def test_that"))
    said = ask("--llm-cache=offline", status=1)
    assert "in the cassettes of other tests" in said
    assert "the requests are equal" in said or "gpt-4o-mini" in said


RERUNS = """
    import pytest
    from _pytest.runner import runtestprotocol

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(item, nextitem):
        # As plugins that run failed tests again do it.
        for last in (False, True):
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            if last or not any(report.failed for report in reports):
                for report in reports:
                    item.ihook.pytest_runtest_logreport(report=report)
                return True
            item._initrequest()
"""


def test_a_test_that_passes_when_it_is_run_again_is_recorded(ask, upstream, pytester):
    pytester.makeconftest(RERUNS)
    write(pytester, upstream, marker="tries = []", fixtures="")
    file = pytester.path / "test_them.py"
    file.write_text(file.read_text() + "\n    tries.append(1)\n    assert len(tries) > 1\n")
    ask("--llm-cache=auto")
    assert (pytester.path / CASSETTE).exists()
    file.write_text(file.read_text().replace("> 1", "> 2"))
    (pytester.path / CASSETTE).unlink()
    ask("--llm-cache=auto", status=1)
    assert not (pytester.path / CASSETTE).exists()
