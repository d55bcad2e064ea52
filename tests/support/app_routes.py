"""What an app answers, asked of the app itself, so that a route nobody thought of is seen."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    """Method and path of every route, but for HEAD, which goes where GET does. What takes any method has `*` for one."""
    found = set()
    for route in iter_route_contexts(app.routes):
        found |= {(method, route.path or "") for method in route.methods or {"*"} if method != "HEAD"}
    return found
