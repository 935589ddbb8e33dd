"""`cached_call`: a decorator that answers a function's calls from the cache. It decides nothing; the plan does.

A decorated function stays what it was, as far as can be seen from outside: a function, a coroutine function or a
generator, with its name, signature and documentation, and a method where it was one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from llm_cache.clients import answering
from llm_cache.clients.calls import Recipe
from llm_cache.clients.data import innermost
from llm_cache.clients.options import layer
from llm_cache.errors import ConfigError

if TYPE_CHECKING:
    from llm_cache.clients.cache import LLMCache

_OF_FUNCTIONS = frozenset({"__builtins__", "__closure__", "__globals__", "__type_params__"})
"""What else people look for in a function."""
P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")


class CachedFunction(Generic[P, R]):
    """A function whose calls are answered from the cache. `cached_call` makes them."""

    def __init__(self, given: Any, make: Callable[[Callable[..., Any]], Recipe]) -> None:
        function = given.__func__ if isinstance(given, (classmethod, staticmethod)) else given
        functools.update_wrapper(self, function)
        self._kind = type(given) if isinstance(given, (classmethod, staticmethod)) else None
        self._args: tuple[Any, ...] = ()
        self._kwargs: dict[str, Any] = {}
        self._given = function
        # A partial, or a bound method, is its function with arguments: the same call, the same key.
        while True:
            if isinstance(function, functools.partial):
                self._args = (*function.args, *self._args)
                self._kwargs = {**function.keywords, **self._kwargs}
                function = function.func
            elif isinstance(function, MethodType):
                self._args = (function.__self__, *self._args)
                function = function.__func__
            else:
                break
        self._function: Callable[..., Any] = function
        self._recipe = make(function)
        bound = isinstance(self._given, (functools.partial, MethodType))
        self._binds = hasattr(type(self._given), "__get__") and not bound
        self._answer = answering.answerer(self._given)
        core = innermost(function)
        for name in ("__name__", "__qualname__"):
            if not hasattr(self, name):  # as with a partial
                setattr(self, name, getattr(core, name, type(core).__name__))
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            # What makes `inspect.iscoroutinefunction` and its kin say of this what they say of the function.
            self.__code__ = code
            self.__defaults__ = getattr(function, "__defaults__", None)
            self.__kwdefaults__ = getattr(function, "__kwdefaults__", None)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self._args or self._kwargs:
            return cast("R", self._answer(self._recipe, self._function, *self._all(args, kwargs)))
        return cast("R", self._answer(self._recipe, self._function, args, kwargs))

    def _all(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (*self._args, *args), {**self._kwargs, **kwargs}

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key of such a call made now and here: 64 lower-case hex digits.

        Raises:
            TypeError: the arguments do not fit, or one of them cannot enter a key.
        """
        return self._recipe.signature(*self._all(args, kwargs)).key

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the answer to such a call; whether there was one.

        Raises:
            TypeError: as `cache_key`.
            StoreError: the store failed.
        """
        return self._recipe.engine.forget(self._recipe.signature(*self._all(args, kwargs)))

    @property
    def uncached(self) -> Callable[P, R]:
        """The function itself."""
        return cast("Callable[P, R]", self._given)

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> CachedFunction[P, R]: ...

    @overload
    def __get__(
        self: Callable[Concatenate[Any, Q], R], instance: object, owner: type | None = None
    ) -> BoundFunction[Q, R]: ...

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        # It takes one argument more than what is bound, which cannot be said of `self` once for all overloads.
        function: CachedFunction[Any, Any] = self
        if self._kind is classmethod:
            return BoundFunction(function, owner if owner is not None else type(instance))
        if instance is None or self._kind is staticmethod or not self._binds:
            return self
        return BoundFunction(function, instance)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """What it passes for: pydantic takes anything in a model's body that is no function for a field."""
        return FunctionType

    def __getattr__(self, name: str) -> Any:
        if name in _OF_FUNCTIONS:
            return getattr(self._function, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> str:
        """By its name, as functions are."""
        return str(vars(self)["__qualname__"])

    def __repr__(self) -> str:
        return f"<cached {self._given!r}>"


class BoundFunction(Generic[P, R]):
    """A cached function bound to the object or class that it is called on."""

    def __init__(self, function: CachedFunction[Concatenate[Any, P], R], instance: object) -> None:
        self.__func__ = function
        self.__self__ = instance
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.__func__(self.__self__, *args, **kwargs)

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """As `CachedFunction.cache_key`."""
        return self.__func__.cache_key(self.__self__, *args, **kwargs)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """As `CachedFunction.invalidate`."""
        return self.__func__.invalidate(self.__self__, *args, **kwargs)

    @property
    def uncached(self) -> Callable[P, R]:
        """The method itself, bound."""
        return cast("Callable[P, R]", MethodType(self.__func__.uncached, self.__self__))

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.uncached)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """As for `CachedFunction`: a method."""
        return MethodType

    def __getattr__(self, name: str) -> Any:
        if name == "__wrapped__":
            # Whoever follows it would find a function that takes one argument more.
            raise AttributeError(name)
        return getattr(self.__func__, name)

    def __eq__(self, other: object) -> bool:
        if type(other) is not BoundFunction:
            return NotImplemented
        return self.__func__ is other.__func__ and self.__self__ is other.__self__

    def __hash__(self) -> int:
        return hash((id(self.__func__), id(self.__self__)))

    def __repr__(self) -> str:
        return f"<cached {self.uncached!r}>"


@overload
def cached_call(provider: Callable[P, R], /) -> CachedFunction[P, R]: ...


@overload
def cached_call(
    provider: str | None = None,
    model: str | None = None,
    ttl_days: float | str | None = None,
    *,
    cache: LLMCache | None = None,
    ignore: Iterable[str] = (),
    version: object = None,
) -> Callable[[Callable[P, R]], CachedFunction[P, R]]: ...


def cached_call(
    provider: Any = None,
    model: str | None = None,
    ttl_days: float | str | None = None,
    *,
    cache: LLMCache | None = None,
    ignore: Iterable[str] = (),
    version: object = None,
) -> Any:
    """Answer a function's calls from the cache: `@cached_call`, or with arguments.

    For functions, methods, coroutine functions, generators and async generators. The key is made of the arguments
    (however they are passed, defaults applied, types counted), `provider`, `model`, the function's name, and a digest
    of its code and of the constants and helpers of its module that it uses.

    Args:
        provider: whose model it is, for the account and for the key; without it, as far as the result says so.
        model: which model, likewise.
        ttl_days: lifetime of results in days, `"never"` for no expiry; None is the cache's default.
        cache: where to keep results; without it the process's default cache, made at the first call.
        ignore: names of parameters that do not change the answer, `("client",)` or `("self",)`.
        version: stands in for the digest of the code: results are kept until it is changed.

    Returns:
        The decorated function, which also has `cache_key(…)`, `invalidate(…)` and `uncached`.

    Raises:
        ConfigError: an argument is wrong. From a call: the default cache's configuration is.
        TypeError: what is decorated is no function. From a call: an argument cannot enter the key.
        CacheMissError: from a call, in offline mode, with nothing stored for it.
    """
    if provider is not None and not isinstance(provider, str):
        return _decorated(provider, None, None, None, None, (), None)

    def decorate(function: Callable[P, R]) -> CachedFunction[P, R]:
        return _decorated(function, provider, model, ttl_days, cache, ignore, version)

    return decorate


def _decorated(
    function: Any,
    provider: str | None,
    model: str | None,
    ttl_days: float | str | None,
    cache: LLMCache | None,
    ignore: Iterable[str],
    version: object,
) -> CachedFunction[Any, Any]:
    inner = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
    if isinstance(inner, type) or not callable(inner):
        raise TypeError(f"cached_call() decorates functions and methods, not {inner!r}")
    if not isinstance(innermost(inner), FunctionType) and not inspect.isroutine(innermost(inner)):
        raise TypeError(f"cached_call() decorates functions and methods, not objects that can be called: {inner!r}")
    for name, value in (("provider", provider), ("model", model)):
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{name}= of cached_call() is {value!r}: it is a name")
    policy = layer(ttl_days=ttl_days, source="cached_call()")
    names = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    return CachedFunction(function, lambda plain: Recipe(plain, provider, model, policy, cache, names, version))
