"""Which answer a request gets: scripted before standing before recorded."""

import httpx
import pytest

from llm_cache.testing import FakeUpstream, Reply

CHAT = "/v1/chat/completions"


def ask(up, path=CHAT, **more):
    return httpx.post(up.url + path, json={}, **more)


def test_scripted_answers_come_in_order_and_once(up):
    up.reply(CHAT, Reply(json="standing"))
    up.script(CHAT, Reply(json="one"), Reply(json="two"))
    up.script(CHAT, Reply(json="three"))
    assert [ask(up).json() for _ in range(5)] == ["one", "two", "three", "standing", "standing"]
    assert up.unanswered == 0


def test_the_newest_standing_answer_counts(up):
    up.reply(CHAT, Reply(json="old"))
    up.reply(CHAT, Reply(json="new"))
    assert ask(up).json() == "new"
    up.reply("/chat/completions", Reply(json="newer, but less near"))
    assert ask(up).json() == "new"
    assert ask(up, "/openai/v1/chat/completions").json() == "newer, but less near"


def test_an_answer_that_is_given_again_is_the_newest(up):
    for path, answer in (("/v1/a", "one"), ("/v2/a", "two"), ("/v1/a", "three")):
        up.reply(path, Reply(json=answer))
    assert ask(up, "/a").json() == "three"


def test_a_glob_is_for_what_nothing_else_is_for(up):
    up.reply("*", Reply(json="any"))
    up.reply(CHAT, Reply(json="chat"))
    assert (ask(up).json(), ask(up, "/elsewhere").json()) == ("chat", "any")


def test_a_script_for_another_path_waits(up):
    up.script("/v1/embeddings", Reply(json="later"))
    up.reply(CHAT, Reply(json="chat"))
    assert ask(up).json() == "chat"
    assert up.unanswered == 1
    assert ask(up, "/v1/embeddings").json() == "later"


@pytest.mark.parametrize("fail_first", [True, False])
def test_failing_some_times_then_succeeding(up, fail_first):
    if fail_first:
        up.fail(CHAT, 2, status=429, headers={"retry-after": "0"})
    up.reply(CHAT, Reply(json="ok"))
    if not fail_first:
        up.fail(CHAT, 2, status=429, headers={"retry-after": "0"})
    answers = [ask(up) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].json()["error"]["type"] == "rate_limit_error"
    assert answers[0].headers["retry-after"] == "0"


def test_failures_speak_the_providers_language(up):
    up.fail(times=2, status=529)
    assert ask(up, "/v1/messages").json()["error"] == {
        "type": "overloaded_error",
        "message": "this upstream was told to fail with 529",
    }
    assert ask(up, "/v2/chat").json().keys() == {"id", "message"}


def test_failing_by_reset_then_succeeding(up):
    up.fail(CHAT, reset=True)
    up.reply(CHAT, Reply(json="ok"))
    with pytest.raises(httpx.ReadError):
        ask(up)
    assert ask(up).json() == "ok"


def test_a_handler_sees_the_request(up):
    up.reply("*", lambda received: Reply(status=201, json=[received.method, received.target, received.json()]))
    answer = ask(up, "/x?y")
    assert (answer.status_code, answer.json()) == (201, ["POST", "/x?y", {}])


def test_what_a_handler_raises_reaches_the_test():
    def wrong(received):
        raise AssertionError("not what I expected")

    with pytest.raises(AssertionError, match="not what I expected"), FakeUpstream() as up:
        up.reply("*", wrong)
        assert ask(up).status_code == 500


def test_a_handler_that_forgets_its_return_is_told_so():
    with pytest.raises(TypeError, match="must return a Reply"), FakeUpstream() as up:
        up.reply("*", lambda received: None)
        assert "must return a Reply" in ask(up).json()["error"]["message"]


def test_a_tests_own_error_is_not_hidden_by_a_handlers():
    with pytest.raises(ZeroDivisionError), FakeUpstream() as up:
        up.reply("*", lambda received: None)
        ask(up)
        _ = 1 / 0


def test_without_anything_it_is_a_404(up):
    assert ask(up).status_code == 404
    assert "no recordings" in ask(up).json()["error"]["message"]
