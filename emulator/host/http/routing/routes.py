"""Routes of the HTTP server: path template, methods, required access and handler; the tables that hold them.

Source: host, WebScriptHostHttpRoutesManager.cs, HostController.cs (ExtensionWebHookHandler);
docs/protocol/functions-host.md 4.1, 5.2 and 6.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from emulator.host.http.keys.authorization import Access, SystemLevel
from emulator.host.http.routing.matching import match
from emulator.host.http.routing.templates import Parameter, Template, parse_template
from emulator.host.port import Webhook

_WEBHOOK_METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """A request with its matched route. `path`: normalised (see `paths`). `values`: the route parameters."""

    request: web.Request
    path: str
    values: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[HttpCall], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A path template and its handler.

    `name`: the function's name, or a description of a built-in route. `methods`: in upper case; None means all.
    `public`: for every Host and Origin, as functions are on Azure; others are only for callers that `callers` accepts.
    """

    name: str
    template: Template
    methods: Collection[str] | None
    access: Access
    handler: Handler
    public: bool = False

    def match(self, method: str, path: Sequence[str]) -> dict[str, str] | None:
        """Return the route parameters if method and path (see `paths.split_path`) match, else None."""
        if self.methods is not None and method not in self.methods:
            return None
        return match(self.template, path)


def first_match(routes: Sequence[Route], method: str, path: Sequence[str]) -> tuple[Route, Mapping[str, str]] | None:
    """Return the first route that matches, with the route parameters; None if there is none."""
    # A route with another method is skipped like one with another path, so a client sees 404 and never 405, as from
    # the Functions host.
    for route in routes:
        values = route.match(method, path)
        if values is not None:
            return route, values
    return None


# No constraint accepts all of these values of a parameter: one is not a number, one no letter, one too long, and so on.
_SAMPLE_VALUES = ("1", "a", "\N{SNOWMAN}" * 300)


def _sample_paths(template: Template) -> Sequence[Sequence[str]]:
    """Return paths that match the template, among them all kinds that an earlier route might not take.

    Empty for a template that has a segment of several parts.
    """
    paths: list[list[str]] = []
    for value in _SAMPLE_VALUES:
        path: list[str] = []
        for segment in template.segments:
            match segment.only:
                case str() as literal:
                    path.append(literal)
                case Parameter() as parameter:
                    if parameter.optional or parameter.default is not None or parameter.catch_all:
                        paths.append(list(path))
                    path.extend([value, value] if parameter.catch_all else [value])
                case None:
                    return []
        paths.append(path)
    return paths


class FunctionRoutes:
    """Routes of the HTTP functions whose listeners are running, in matching order."""

    # The Functions host adds one route per function in name order and takes the first that matches. Unlike ASP.NET
    # Core's endpoint routing it has no precedence of literals over parameters: a function `a` with the route `{*path}`
    # takes the requests of all functions behind it.

    def __init__(self) -> None:
        self._routes: list[Route] = []

    @property
    def all(self) -> Sequence[Route]:
        return self._routes

    def shadowing(self, route: Route) -> Route | None:
        """Return an earlier route that takes every request meant for this one; None if there is none.

        Found for literals, and for parameters behind a parameter or catch-all without constraints. Segments of several
        parts are not checked.
        """
        paths = _sample_paths(route.template)
        for earlier in self._routes[: self._routes.index(route)]:
            takes_methods = earlier.methods is None or (
                route.methods is not None and set(route.methods) <= set(earlier.methods)
            )
            if takes_methods and paths and all(match(earlier.template, path) is not None for path in paths):
                return earlier
        return None

    @contextmanager
    def serving(self, route: Route) -> Iterator[None]:
        """Serve the route while entered."""
        # The list is replaced and not changed, because a request may be iterating over it.
        self._routes = sorted([*self._routes, route], key=lambda other: other.name.upper())
        try:
            yield
        finally:
            # Two functions can have equal routes, so compare by identity.
            self._routes = [other for other in self._routes if other is not route]


def system_key_name(webhook: str) -> str:
    """Return the name of the system key that gives access to an extension's webhook."""
    return f"{webhook.lower()}_extension"


def webhook_routes(webhooks: Iterable[Webhook]) -> list[Route]:
    """Return the routes `/runtime/webhooks/{extension}/…`, whose requests extensions handle themselves."""

    def route(webhook: Webhook) -> Route:
        async def handler(call: HttpCall) -> web.StreamResponse:
            return await webhook.handle(call.request)

        template = f"runtime/webhooks/{webhook.name}/{{*rest}}"
        return Route(
            name=f"{' '.join(_WEBHOOK_METHODS)} /{template}",
            template=parse_template(template),
            methods=_WEBHOOK_METHODS,
            access=SystemLevel(system_key_name(webhook.name)),
            handler=handler,
            public=webhook.public,
        )

    return [route(webhook) for webhook in webhooks]
