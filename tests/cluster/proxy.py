"""A round-robin proxy before replicas of the server: each request goes to the next one, and it is noted which."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from support.serving import served

__all__ = ["RoundRobin", "proxied"]

_OWN = {"content-length", "transfer-encoding", "connection", "keep-alive"}


class RoundRobin:
    """The replicas in turn. ``answered``: how many requests each has answered."""

    def __init__(self, replicas: list[str]) -> None:
        self.replicas = replicas
        self.answered = dict.fromkeys(replicas, 0)
        self._turn = 0
        self._client: httpx2.AsyncClient | None = None

    @asynccontextmanager
    async def running(self, _: Starlette) -> AsyncIterator[None]:
        """Holds the connections to the replicas."""
        async with httpx2.AsyncClient(timeout=120) as self._client:
            yield

    async def pass_on(self, request: Request) -> StreamingResponse:
        """Sends a request to the next replica, and its answer back as it comes."""
        assert self._client is not None
        replica = self.replicas[self._turn % len(self.replicas)]
        self._turn += 1
        sent = self._client.build_request(
            request.method, replica, headers=dict(request.headers), content=await request.body()
        )
        answer = await self._client.send(sent, stream=True)
        self.answered[replica] += 1
        headers = {k: v for k, v in answer.headers.items() if k.lower() not in _OWN}
        return StreamingResponse(answer.aiter_raw(), answer.status_code, headers, background=None)


@contextmanager
def proxied(replicas: list[str]) -> Iterator[tuple[str, RoundRobin]]:
    """The address of a proxy before these replicas, and what it notes."""
    balancer = RoundRobin(replicas)
    route = Route("/mcp", balancer.pass_on, methods=["GET", "POST", "DELETE"])
    with served(Starlette(routes=[route], lifespan=balancer.running)) as url:
        yield url, balancer
