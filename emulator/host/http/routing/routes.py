"""Routes and their tables: what is at which path, who may ask for it, and who answers.

Source: host, WebScriptHostHttpRoutesManager.cs; docs/protocol/functions-host.md 4.1.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from emulator.host.http.keys.authorization import Access
from emulator.host.http.routing.matching import match
from emulator.host.http.routing.templates import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """A request that found its route. `path`: normalised (see `paths`); `values`: the route's parameters."""

    request: web.Request
    path: str
    values: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[[HttpCall], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`name`: of the function, or what the route is for. `methods` None: all; else upper case."""

    name: str
    template: Template
    methods: Collection[str] | None
    access: Access
    answer: Answer

    def values(self, method: str, path: Sequence[str]) -> dict[str, str] | None:
        """The parameters if the route takes this request; None if it does not."""
        if self.methods is not None and method not in self.methods:
            return None
        return match(self.template, path)


def first_match(routes: Sequence[Route], method: str, path: Sequence[str]) -> tuple[Route, Mapping[str, str]] | None:
    """The first route that takes the request. A wrong method is no match: there is no 405."""
    for route in routes:
        values = route.values(method, path)
        if values is not None:
            return route, values
    return None


class FunctionRoutes:
    """The routes of the functions that are being listened for, in the order in which they are matched.

    The order is that of the names, ignoring case, and nothing else: a function `a` with `{*path}` hides all others.
    """

    def __init__(self) -> None:
        self._routes: list[Route] = []

    @property
    def all(self) -> Sequence[Route]:
        return self._routes

    def hiding(self, route: Route) -> Route | None:
        """A route that takes every request that was meant for this one, because its function's name comes first.

        Looked for only where it is certain: a route of nothing but literals.
        """
        path = [segment.only for segment in route.template.segments]
        literals = [part for part in path if isinstance(part, str)]
        if len(literals) < len(path):
            return None
        earlier = self._routes[: self._routes.index(route)]
        return next(
            (one for one in earlier if _takes_all_of(one, route) and match(one.template, literals) is not None), None
        )

    @contextmanager
    def serving(self, route: Route) -> Iterator[None]:
        """The route is served while entered."""
        self._routes = sorted([*self._routes, route], key=lambda one: one.name.upper())
        try:
            yield
        finally:
            self._routes = [one for one in self._routes if one is not route]


def _takes_all_of(one: Route, other: Route) -> bool:
    return one.methods is None or (other.methods is not None and set(other.methods) <= set(one.methods))
