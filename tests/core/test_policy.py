"""A policy is always valid, and a ceiling can only tighten it."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from llm_cache.core.policy import (
    DAY_S,
    TRAITS,
    Mode,
    Policy,
    mode_named,
    namespace_named,
    sample_numbered,
    tightened,
    traits_named,
    ttl_seconds,
)
from llm_cache.errors import ConfigError

MODES = list(Mode)


def calls(mode: Mode) -> bool:
    return mode is not Mode.OFFLINE


@pytest.mark.parametrize(
    ("mode", "reads", "writes", "joins"),
    [
        (Mode.READ_WRITE, True, True, True),
        (Mode.READ_ONLY, True, False, False),
        (Mode.REFRESH, False, True, False),
        (Mode.OFFLINE, True, False, False),
        (Mode.OFF, False, False, False),
    ],
)
def test_what_each_mode_may_do(mode, reads, writes, joins):
    policy = Policy(mode=mode)
    assert (policy.reads, policy.writes, policy.joins) == (reads, writes, joins)
    assert not Policy(mode=mode, lookup=False).reads
    assert not Policy(mode=mode, lookup=False).joins
    assert not Policy(mode=mode, store=False).writes
    assert not Policy(mode=mode, store=False).joins


@pytest.mark.parametrize("ceiling", MODES)
@pytest.mark.parametrize("mode", MODES)
def test_a_ceiling_can_only_tighten(mode, ceiling):
    before, limit = Policy(mode=mode), Policy(mode=ceiling)
    after = tightened(before, ceiling)
    assert calls(after.mode) <= calls(mode), "the network has been opened"
    assert after.writes <= before.writes, "writing has been allowed"
    assert calls(after.mode) <= calls(ceiling), "no code can lift offline"
    if ceiling in {Mode.OFFLINE, Mode.READ_ONLY, Mode.OFF}:
        assert after.writes <= limit.writes
    if ceiling is Mode.OFF:
        assert after.reads <= (mode is Mode.OFFLINE), "under off nothing is looked up but where no call is allowed"
    assert tightened(after, ceiling) == after


@pytest.mark.parametrize(
    ("mode", "ceiling", "result"),
    [
        (Mode.OFF, Mode.OFFLINE, Mode.OFFLINE),
        (Mode.REFRESH, Mode.OFFLINE, Mode.OFFLINE),
        (Mode.READ_WRITE, Mode.READ_ONLY, Mode.READ_ONLY),
        (Mode.REFRESH, Mode.READ_ONLY, Mode.OFF),
        (Mode.OFFLINE, Mode.OFF, Mode.OFFLINE),
        (Mode.READ_WRITE, Mode.OFF, Mode.OFF),
        (Mode.READ_WRITE, Mode.READ_WRITE, Mode.READ_WRITE),
        (Mode.REFRESH, Mode.READ_WRITE, Mode.REFRESH),
    ],
)
def test_what_becomes_of_a_mode_under_a_ceiling(mode, ceiling, result):
    policy = Policy(mode=mode, namespace="n", sample=3)
    assert tightened(policy, ceiling) == Policy(mode=result, namespace="n", sample=3)


@pytest.mark.parametrize(
    ("days", "seconds"),
    [
        (1, DAY_S),
        (0.5, DAY_S / 2),
        ("7", 7 * DAY_S),
        (Decimal("0.25"), DAY_S / 4),
        ("never", None),
        (" Never ", None),
        (math.inf, None),
        (1e308, None),
    ],
)
def test_a_lifetime_is_given_in_days(days, seconds):
    assert ttl_seconds(days, source="x") == seconds


@pytest.mark.parametrize(
    "days", [0, -1, 0.0, -0.5, math.nan, -math.inf, "0", "nan", "soon", "", None, True, False, [1], object(), 10**400]
)
def test_a_lifetime_that_is_none_is_refused_by_name(days):
    with pytest.raises(ConfigError, match=r"^LLMCACHE_TTL is .*never"):
        ttl_seconds(days, source="LLMCACHE_TTL")


def test_modes_have_the_names_of_the_documentation():
    assert [mode.value for mode in MODES] == ["read-write", "read-only", "refresh", "offline", "off"]
    for mode in MODES:
        assert mode_named(mode.value, source="x") is mode_named(mode, source="x") is mode
        assert str(mode) == f"{mode}" == mode.value
    for wrong in ("readonly", "OFF", "", None, 1, [], object()):
        with pytest.raises(ConfigError, match=r"^mode in x is .*read-write, read-only, refresh, offline, off"):
            mode_named(wrong, source="mode in x")


@pytest.mark.parametrize("name", ["default", "a b", "prüfung", "x" * 200, "🦜", "a/b:c"])
def test_a_namespace_is_text_that_can_be_printed(name):
    assert namespace_named(name, source="x") == name


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\x00", "\ud800", "a\u200bb", None, 1, b"a"])
def test_a_namespace_that_is_not_is_refused_by_name(name):
    with pytest.raises(ConfigError, match=r"^namespace is "):
        namespace_named(name, source="namespace")


@pytest.mark.parametrize("sample", [0, 1, 2**63 - 1])
def test_a_sample_is_a_whole_number(sample):
    assert sample_numbered(sample, source="x") == sample


@pytest.mark.parametrize("sample", [-1, 2**63, 1.0, "1", True, None])
def test_a_sample_that_is_not_is_refused_by_name(sample):
    with pytest.raises(ConfigError, match=r"^sample is "):
        sample_numbered(sample, source="sample")


def test_traits_are_those_of_the_documentation():
    assert set(TRAITS) == {"content_filter", "empty", "length", "refusal"}
    assert traits_named(list(TRAITS), source="x") == frozenset(TRAITS)
    assert traits_named([], source="x") == frozenset()
    assert Policy().dont_store == {"content_filter", "empty"}
    for wrong in (["truncated"], ["empty", 1], [None]):
        with pytest.raises(ConfigError, match=r"^dont_store names .*content_filter, empty, length, refusal"):
            traits_named(wrong, source="dont_store")
