"""Promise 2 for functions: methods, cycles, lambdas, wrappers, and functions whose source cannot be had."""

from __future__ import annotations

import linecache
import re
import textwrap
import types
from pathlib import Path

from llm_cache.clients.function_digest import FunctionDigest, digest

from .test_function_digest import changed, of


def test_methods_count_with_what_they_take_from_their_class(write_module):
    source = """
        class Base:
            HEAD = "Hi "
            def head(self): return self.HEAD
            def tail(self): return "."
        class Agent(Base):
            def tail(self): return super().tail() + "!"
            @property
            def both(self): return self.head() + self.tail()
            def ask(self, x): return self.both + x
            def other(self): return 1
    """
    module = write_module(source)

    def of_method(text):
        made = write_module(text)
        return digest(made.Agent.ask, made.Agent)

    first = digest(module.Agent.ask, module.Agent)
    assert of_method(changed("return 1", "return 2", source)) == first
    for old, new in (('"Hi "', '"Ho "'), ('"."', '","'), ('"!"', '"?"'), ("self.head() + self", "self.head() * self")):
        assert of_method(changed(old, new, source)) != first
    module.Agent.HEAD = "Hey "
    assert digest(module.Agent.ask, module.Agent) != first


def test_what_is_bound_inside_hides_what_is_outside(write_module):
    module = write_module("""
        a = b = c = d = e = f = g = h = i = j = k = 1
        def ask(a, *b, **c):
            d = [e for e in a]
            def f(): return f
            class g: h = 1
            with open(a) as h: pass
            for i in a: pass
            try: pass
            except ValueError as j: return j
            match a:
                case [k]: return k
            return b, c, d, f, g, h, i
    """)
    digests = FunctionDigest(module.ask)
    first = digests.hex()
    for name in "abcdefghijk":
        setattr(module, name, 2)
    assert digests.hex() == first


def test_what_a_class_binds_is_not_seen_in_its_methods(write_module):
    module = write_module("""
        word = "outside"
        def ask(x):
            class Thing:
                word = "inside"
                def get(self): return word
            return Thing().get()
    """)
    digests = FunctionDigest(module.ask)
    first = digests.hex()
    module.word = "changed"
    assert digests.hex() != first


def test_counters_of_its_own_do_not_count(write_module):
    module = write_module("""
        total = 0
        def outer():
            n = 0
            def ask(x):
                nonlocal n
                global total
                n += 1
                total += 1
                return [n + total for _ in "a"]
            return ask
        ask = outer()
    """)
    digests = FunctionDigest(module.ask)
    first = digests.hex()
    assert (module.ask(1), module.ask(1)) == ([2], [4])
    assert digests.hex() == first


def test_a_variable_that_somebody_else_rebinds_counts(write_module):
    module = write_module("""
        def outer():
            template = "one"
            def ask(x): return template
            def change(to):
                nonlocal template
                template = to
            return ask, change
        ask, change = outer()
    """)
    digests = FunctionDigest(module.ask)
    first = digests.hex()
    module.change("two")
    assert digests.hex() != first
    module.change("one")
    assert digests.hex() == first


def test_relative_paths_count_and_absolute_ones_do_not(write_module):
    module = write_module("""
        from pathlib import Path
        HERE, PROMPT = Path(__file__).parent, Path("prompts/one.txt")
        def ask(x): return HERE / PROMPT
    """)
    digests = FunctionDigest(module.ask)
    first = digests.hex()
    module.HERE = Path("/elsewhere")
    assert digests.hex() == first
    module.PROMPT = Path("prompts/two.txt")
    assert digests.hex() != first


def test_templates_and_patterns_count(write_module):
    module = write_module("""
        import re, string, collections, types
        import msgspec
        class Config(msgspec.Struct):
            tone: str = "dry"
        class Template:
            def __init__(self, text):
                self.root_render_func = eval(f"lambda: {text!r}")
        Template.__module__ = "jinja2.environment"
        pattern, template, jinja, config = re.compile("a+"), string.Template("$a"), Template("Hello"), Config()
        names, frozen, queue = types.SimpleNamespace(a=1), types.MappingProxyType({"a": 1}), collections.deque([1])
        counts, point = collections.Counter("a"), collections.namedtuple("Point", "x")(1)
        def ask(x):
            return (pattern.match(x), template.substitute(a=x), jinja.render(x), config.tone, names.a, frozen["a"],
                    queue[0], counts["a"], point.x)
    """)
    digests = FunctionDigest(module.ask)
    first = digests.hex()
    changes = {
        "pattern": re.compile("b+"), "template": module.string.Template("$b"), "jinja": module.Template("Bye"),
        "config": module.Config("wet"), "names": types.SimpleNamespace(a=2), "frozen": types.MappingProxyType({}),
        "queue": [1], "counts": {"a": 1}, "point": (1,),
    }  # fmt: skip
    for name, other in changes.items():
        before = getattr(module, name)
        setattr(module, name, other)
        assert digests.hex() != first, name
        setattr(module, name, before)
        assert digests.hex() == first
    module.config.tone = "wet"
    assert digests.hex() != first


def test_what_pythons_own_modules_hold_does_not_count(write_module):
    import sys

    module = write_module("""
        import sys, string
        def ask(x): return sys.modules, sys.argv, string.digits
    """)
    digests = FunctionDigest(module.ask)
    first = digests.hex()
    sys.modules["a_new_module"] = types.ModuleType("a_new_module")
    try:
        assert digests.hex() == first
    finally:
        del sys.modules["a_new_module"]


def test_cycles_end(write_module):
    module = write_module("""
        def even(n): return n == 0 or odd(n - 1)
        def odd(n): return n != 0 and even(n - 1)
        LOOP = []
        LOOP.append(LOOP)
        class Node:
            def make(self): return Node(), Leaf()
        class Leaf(Node): pass
        def ask(n): return even(n), LOOP, Node(), ask
    """)
    assert len(digest(module.ask)) == 64
    assert digest(module.even) != digest(module.odd)


def test_lambdas_on_one_line_are_told_apart(write_module):
    module = write_module("""
        a, b, c = lambda x: x + 1, lambda x: x + 2, lambda x, y=2: x
        def make(n): return [lambda x: (x, n), lambda x: (n, x)]
    """)
    assert len({digest(f) for f in (module.a, module.b, module.c, *module.make(1), *module.make(2))}) == 7


def test_two_functions_of_one_text_differ_only_by_name(write_module):
    module = write_module("""
        def f(x): return x
        def g(x): return x
    """)
    assert digest(module.f) == digest(module.g)


def test_a_file_that_was_edited_since_it_was_imported_is_not_believed(write_module):
    module = write_module("def ask(x):\n    return 'one'\n")
    right = digest(module.ask)
    Path(module.__file__).write_text("def ask(x):\n    return 'two'\n", encoding="utf-8")
    linecache.clearcache()
    stale = digest(FunctionOf(module.ask))
    assert stale != digest(write_module("def ask(x):\n    return 'two'\n").ask)
    assert stale != right


def FunctionOf(function):  # noqa: N802
    """The same function with code of its own, as if nobody had looked for its source yet."""
    return types.FunctionType(function.__code__.replace(), function.__globals__, function.__name__)


def test_without_source_the_code_object_counts():
    def made(source, name="ask"):
        space = {"__name__": "program"}
        exec(compile(textwrap.dedent(source), "<string>", "exec"), space)
        return space[name]

    source = """
        WORD = "one"
        calls = []
        def helper(x): return x + WORD
        class Thing:
            limit = 3
            def get(self): return self.limit
        def ask(x):
            calls.append(x)
            return helper(x), Thing().get()
    """
    first = made(source)
    assert digest(first) == digest(made(source))
    for old, new in (
        ("x + WORD", "WORD + x"),
        ('"one"', '"two"'),
        ("limit = 3", "limit = 4"),
        ("ask(x)", "ask(y, x=1)"),
    ):
        assert digest(made(changed(old, new, source))) != digest(first)
    before = digest(first)
    first("a")
    assert digest(first) == before
    first.__globals__["WORD"] = "three"
    assert digest(first) != before


def test_wrappers_of_the_module_count_and_those_of_others_are_looked_through(write_module):
    source = """
        import functools
        def prefixed(text):
            def decorate(function):
                @functools.wraps(function)
                def wrapper(*args): return text + function(*args)
                return wrapper
            return decorate
        @prefixed("a")
        @functools.lru_cache(maxsize=3)
        def ask(x): return x
    """
    first = of(write_module, source)
    assert of(write_module, changed('prefixed("a")', 'prefixed("b")', source)) != first
    assert of(write_module, changed("text + function", "function", source)) != first
    assert of(write_module, changed("return x", "return x * 2", source)) != first
    assert of(write_module, changed("maxsize=3", "maxsize=4", source)) == first


def test_objects_that_answer_for_others_are_not_asked(write_module):
    module = write_module("""
        class Proxy:
            @property
            def __class__(self): raise RuntimeError("outside of a context")
            def __getattr__(self, name): raise RuntimeError(name)
        proxy = Proxy()
        def ask(x): return proxy.x.y, proxy
    """)
    assert len(digest(module.ask)) == 64


def test_what_python_has_to_say_of_the_source_is_said_once(write_module, recwarn):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = write_module(r"""
            def ask(x): return x is 1, "\d"
        """)
    recwarn.clear()
    assert digest(module.ask) == digest(module.ask)
    assert not recwarn.list


def test_a_tree_that_is_too_deep_counts_by_its_code(write_module):
    module = write_module("def ask(x): return " + " + ".join(["x"] * 900) + "\n")
    other = write_module("def ask(x): return " + " + ".join(["x"] * 901) + "\n")
    assert digest(module.ask) != digest(other.ask)
