"""Promise 2 for functions: what can change an answer changes the digest, and how it is written does not."""

from __future__ import annotations

import ast

import pytest

from llm_cache.clients.function_digest import FunctionDigest, digest

BASE = '''
import functools
import dataclasses
import enum
import json

TEMPLATE = "Answer in {n} words."
EXAMPLES = [{"q": "1+1", "a": 2.0}]


class Tone(enum.Enum):
    WARM = "warm"


@dataclasses.dataclass
class Style:
    tone: str = "dry"

    def render(self):
        return f"in a {self.tone} tone"


STYLE = Style()


def suffix(text):
    """Adds the end."""
    return text + mark()


def mark():
    """Marks."""
    return "!"


class Wrapper:
    LEFT = "["

    def around(self, text):
        return self.LEFT + text


shout = lambda text: text.upper()
politely = functools.partial(suffix, "please")


def ask(prompt: str, n: int = 3) -> str:
    """Asks."""
    # It really does.
    head = TEMPLATE.format(n=n)
    return suffix(head + prompt + shout(prompt) + politely() + STYLE.render() + Tone.WARM.value + str(EXAMPLES)
                  + Wrapper().around(prompt))
'''


def of(write_module, source, name="ask"):
    return digest(getattr(write_module(source), name))


def changed(old, new, source=BASE):
    assert source.count(old) >= 1
    return source.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Asks."""', '"""Asks somebody."""'),
        ('    """Asks."""\n', ""),
        ("# It really does.", "# Or does it?"),
        ("prompt: str, n: int = 3) -> str", "prompt, n=3)"),
        ("head = TEMPLATE", "head: str = TEMPLATE"),
        ('"""Marks."""', '"""Makes a mark."""'),
        ('    return "!"', '\n    pass\n    return (\n        "!"\n    )'),
        ('return "!"', "return '!'"),
        ("def mark():", "def mark() -> str:"),
        ("TEMPLATE =", "UNUSED = 1\nTEMPLATE ="),
        ("def ask(", "def unused():\n    return 2\n\n\ndef ask("),
        ("def ask(", "from llm_cache import cached_call\n\n\n@cached_call(ttl_days=3)\ndef ask("),
        ("def suffix(", "from llm_cache import cached_call\n\n\n@cached_call(ttl_days=4)\ndef suffix("),
        ("    return suffix(head", "    ...\n    'a remark'\n    return suffix(head"),
        ('TEMPLATE = "Answer in {n} words."', 'TEMPLATE = "Answer in " "{n} words."'),
    ],
)
def test_how_it_is_written_does_not_count(write_module, old, new):
    assert of(write_module, BASE) == of(write_module, changed(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Answer in {n} words.", "Answer in {n} letters."),
        ('"a": 2.0', '"a": 2'),
        ('WARM = "warm"', 'WARM = "hot"'),
        ('tone: str = "dry"', 'tone: str = "wet"'),
        ("Style()", 'Style("wry")'),
        ("in a {self.tone} tone", "with a {self.tone} tone"),
        ("text + mark()", "mark() + text"),
        ('return "!"', 'return "?"'),
        ('LEFT = "["', 'LEFT = "("'),
        ("self.LEFT + text", "text + self.LEFT"),
        ("text.upper()", "text.lower()"),
        ('(suffix, "please")', '(suffix, "pretty please")'),
        ("head + prompt", "prompt + head"),
        ("n: int = 3", "n: int = 4"),
        ("format(n=n)", "format(n=n + 1)"),
        ("return suffix(head", "return mark() + suffix(head"),
        ("Tone.WARM.value", "Tone.WARM.name"),
        ("def ask(prompt: str, n: int = 3)", "def ask(prompt: str, *, n: int = 3)"),
        ("def ask(", "async def ask("),
    ],
)
def test_what_changes_the_answer_changes_the_digest(write_module, old, new):
    assert of(write_module, BASE) != of(write_module, changed(old, new))


def test_the_place_of_the_module_does_not_count(write_module):
    one, two = (
        write_module(BASE + "def where(): return __file__, __name__\n"),
        write_module(BASE + "def where(): return __file__, __name__\n"),
    )
    assert one.__file__ != two.__file__
    assert (digest(one.ask), digest(one.where)) == (digest(two.ask), digest(two.where))


def test_values_are_those_at_the_time_of_the_call(write_module):
    module = write_module(BASE)
    digests = FunctionDigest(module.ask)
    seen = [digests.hex()]

    def moved():
        seen.append(digests.hex())
        assert seen[-1] not in seen[:-1]

    module.TEMPLATE = "other"
    moved()
    module.EXAMPLES.append({})
    moved()
    module.EXAMPLES[0]["q"] = "2+2"
    moved()
    module.STYLE.tone = "calm"
    moved()
    module.mark = lambda: "."
    moved()
    module.mark = module.suffix
    moved()
    module.Wrapper.LEFT = "<"
    moved()
    module.Wrapper.around = lambda self, text: text
    moved()


def test_what_comes_back_is_the_same_again(write_module):
    module = write_module(BASE)
    digests = FunctionDigest(module.ask)
    first = digests.hex()
    module.TEMPLATE, kept = "other", module.TEMPLATE
    assert digests.hex() != first
    module.TEMPLATE = "Answer in {n} words. "[:-1]  # equal, and another object
    assert module.TEMPLATE is not kept
    assert digests.hex() == first
    module.EXAMPLES.append(1)
    assert digests.hex() != first
    module.EXAMPLES.pop()
    assert digests.hex() == first


def test_a_function_that_replaces_another_in_a_table_of_tools_counts(write_module):
    module = write_module('''
        def add(a, b):
            """Adds two numbers."""
            return a + b
        def sub(a, b): return a - b
        TOOLS = {"one": add}
        def ask(q): return [t(q, q) for t in TOOLS.values()]
    ''')
    digests = FunctionDigest(module.ask)
    first = digests.hex()
    module.TOOLS["one"] = module.sub
    assert digests.hex() != first
    module.TOOLS["one"] = module.add
    assert digests.hex() == first


def test_a_tool_counts_with_its_documentation(write_module):
    source = '''
        def weather(city: str) -> str:
            """The weather in a city."""
            return "fine"
        def ask(q): return describe(q, tools=[weather])
        def describe(q, tools): return tools
    '''
    first = of(write_module, source)
    assert of(write_module, changed("weather in a city", "weather of a town", source)) != first
    assert of(write_module, changed("city: str", "city: int", source)) != first


def test_a_schema_counts_with_its_annotations_and_documentation(write_module):
    source = '''
        import pydantic
        class Person(pydantic.BaseModel):
            """Somebody."""
            name: str
            age: int = 0
        def ask(q): return (q, Person)
    '''
    first = of(write_module, source)
    for old, new in (("age: int", "age: float"), ("Somebody", "Nobody"), ("name: str", "name: str | None")):
        assert of(write_module, changed(old, new, source)) != first


def test_closures_count_by_what_they_hold(write_module):
    module = write_module("""
        def make(template, opaque=None):
            def helper(x): return template + x
            def ask(x): return helper(x), opaque
            return ask
    """)
    assert digest(module.make("a")) == digest(module.make("a"))
    assert digest(module.make("a")) != digest(module.make("b"))
    assert digest(module.make("a", object())) == digest(module.make("a", object()))
    assert digest(module.make("a", 1)) != digest(module.make("a", 2))


def test_what_it_assigns_itself_does_not_count(write_module):
    module = write_module("""
        total = 0
        calls, seen, counts = [], set(), {}
        class Log: pass
        log = Log()
        log.n = 0
        def outer():
            n = 0
            def ask(x):
                nonlocal n
                global total
                n += 1
                total += 1
                calls.append(x)
                seen.add(x)
                counts[x] = counts.get(x) if False else 1
                log.n += 1
                return x
            return ask
        ask = outer()
        def simple(x):
            calls.append(x)
            counts["n"] += 1
            return x
    """)
    digests, simple = FunctionDigest(module.ask), FunctionDigest(module.simple)
    module.counts["n"] = 0
    before = simple.hex()
    module.simple(1)
    assert simple.hex() == before
    # `counts` is read in `ask`, and so it counts there.
    first = digests.hex()
    module.counts.clear()
    module.total = 5
    module.log.n = 7
    module.calls.append(1)
    module.seen.add(1)
    module.counts["n"] = 1
    assert digests.hex() == first


def test_a_list_that_is_read_counts_although_it_is_added_to(write_module):
    module = write_module("""
        history = []
        def ask(x):
            history.append(x)
            return list(history)
    """)
    digests = FunctionDigest(module.ask)
    first = digests.hex()
    module.history.append("before")
    assert digests.hex() != first


def test_other_objects_do_not_count(write_module):
    module = write_module("""
        import logging
        import threading
        class Client:
            def __init__(self): self.n = 0
        client, log, lock = Client(), logging.getLogger("x"), threading.Lock()
        settings = {"client": client, "temperature": 0}
        def ask(x):
            with lock:
                log.info(x)
                return client, settings
    """)
    digests = FunctionDigest(module.ask)
    first = digests.hex()
    module.client.n = 3
    module.client = module.Client()
    module.log = object()
    assert digests.hex() == first
    module.settings["temperature"] = 1
    assert digests.hex() != first


def test_data_read_through_imported_modules_counts(write_module):
    prompts = write_module("SYSTEM = 'be kind'\nclass Config:\n    LIMIT = 3\ndef build(): return 1", "prompts")
    module = write_module("""
        import prompts
        import prompts as p
        from prompts import Config, SYSTEM
        def ask(x): return prompts.SYSTEM.format(x)
        def alias(x): return p.SYSTEM
        def through(x): return Config.LIMIT
        def name(x): return SYSTEM
        def code(x): return prompts.build()
    """)
    before = {name: digest(getattr(module, name)) for name in ("ask", "alias", "through", "name", "code")}
    prompts.SYSTEM = "be cruel"
    prompts.Config.LIMIT = 4
    prompts.build = lambda: 2
    changed = {name for name, old in before.items() if digest(getattr(module, name)) != old}
    assert changed == {"ask", "alias", "through"}
    module.SYSTEM = prompts.SYSTEM
    assert digest(module.name) != before["name"]


def test_imports_inside_of_the_function_count_from_the_first_call_on(write_module, tmp_path, monkeypatch):
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    for name in ("late_prompts", "late_too"):
        (folder / f"{name}.py").write_text("SYSTEM = 'one'\n")
    module = write_module("""
        def ask(x):
            from late_prompts import SYSTEM
            import late_too
            return SYSTEM + late_too.SYSTEM
        def lazily(x):
            import wave
            return wave.open(x)
    """)
    import sys

    assert "late_prompts" not in sys.modules
    first = digest(module.ask)
    module.ask(1)
    assert digest(module.ask) == first
    sys.modules["late_prompts"].SYSTEM = "two"
    assert digest(module.ask) != first
    sys.modules["late_prompts"].SYSTEM = "one"
    sys.modules["late_too"].SYSTEM = "two"
    assert digest(module.ask) != first
    for name in ("late_prompts", "late_too", "wave"):
        sys.modules.pop(name, None)
    digest(module.lazily)
    assert "wave" not in sys.modules


@pytest.mark.parametrize("times", [1, 3, 100])
def test_a_parser_that_trips_breaks_no_call(write_module, monkeypatch, times):
    """Until Python 3.13 it does when several threads parse: `SystemError: AST constructor recursion depth mismatch`."""
    source = "def ask(x):\n    return x + 'a'\n"
    expected = digest(write_module(source, "calm").ask)
    parse = ast.parse
    left = iter(range(times))

    def trips(*arguments, **more):
        if next(left, None) is not None:
            raise SystemError("AST constructor recursion depth mismatch (before=63, after=59)")
        return parse(*arguments, **more)

    module = write_module(source, "calm")
    monkeypatch.setattr(ast, "parse", trips)
    # One that never stops leaves the function without source, which is another digest and no error.
    assert (digest(module.ask) == expected) is (times < 5)
