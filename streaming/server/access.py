"""Who may ask: names of this host, pages of this origin, and whoever knows the token.

A server on loopback is within reach of every page that its user's browser opens. A page from elsewhere shows in
`Origin`; one that has pointed its own name at 127.0.0.1 (DNS rebinding) shows in `Host`.
"""

import hmac
import ipaddress
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import ConfigError
from . import log

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",
}
GUARDED = ("/v1/", "/metrics")
"""Paths that need the token; the page and /health tell nothing of anyone."""


@dataclass(frozen=True)
class Access:
    """What requests must show."""

    token: str | None = None
    hosts: frozenset[str] = frozenset()
    """Names under which this server is known, besides `localhost` and any IP address."""
    origins: frozenset[str] = field(default_factory=frozenset)
    """Other sites whose pages may use it, such as `https://example.org`."""

    def refuses(self, headers: Mapping[str, str], secure: bool) -> str | None:
        """Why a request with these headers is refused, whatever its path; None if it is not."""
        host = headers.get("host", "")
        name = _name(host)
        if not (name == "localhost" or _is_address(name) or name in self.hosts):
            return f"this server is not known as {host[:80]!r}; start it with --allow-host to add a name"
        origin = headers.get("origin")
        if origin is None or origin in self.origins:
            return None
        # A proxy that ends TLS hands on plain HTTP, so that only the host and port can be compared.
        scheme, _, rest = origin.partition("://")
        if scheme in ({"https"} if secure else {"http", "https"}) and rest.lower() == host.lower():
            return None
        return f"pages of {origin[:80]!r} may not use this server; start it with --allow-origin to let them"

    def knows(self, token: str | None) -> bool:
        """Whether `token` is the right one, in a time that does not depend on how much of it is right."""
        if self.token is None:
            return True
        return hmac.compare_digest((token or "").encode("utf-8", "replace"), self.token.encode())


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of an `Authorization: Bearer` header (RFC 6750)."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def is_loopback(host: str) -> bool:
    """Whether a server that listens on `host` is out of reach for other machines."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(name: str) -> str:
    """`name` as it stands in a `Host` header, without the port.

    Raises:
        ConfigError: it has a port, a scheme or a path.
    """
    if not name or ("/" in name or (":" in name and not _is_address(name))):
        raise ConfigError(f"--allow-host {name!r}: expected a name alone, as in speech.example.org")
    return name.rstrip(".").lower()


def check_root_path(path: str) -> str:
    """`path` without a slash at its end.

    Raises:
        ConfigError: it is not a plain path from a slash on.
    """
    if not re.fullmatch(r"(/[\w.~-]+)+/?", path, re.ASCII) or "/../" in f"{path}/":
        raise ConfigError(f"--root-path {path!r}: expected a path alone, as in /speech")
    return path.rstrip("/")


def check_origin(origin: str) -> str:
    """`origin` as browsers write it.

    Raises:
        ConfigError: it is not scheme and host alone.
    """
    parts = urlsplit(origin)
    if (
        parts.scheme not in ("http", "https")
        or not parts.netloc
        or origin != f"{parts.scheme}://{parts.netloc}"
    ):
        raise ConfigError(
            f"--allow-origin {origin!r}: expected scheme and host alone, as in https://example.org"
        )
    return origin.lower()


class Guard:
    """Wraps the application: refuses strangers before it runs, and adds the security headers to what it says."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        reason = self._access.refuses(headers, scope["scheme"] in ("https", "wss"))
        if reason is not None:
            client = scope["client"][0] if scope.get("client") else "-"
            logging.getLogger(log.REFUSED).warning("refused a request of %s: %s", client, reason)
            await _deny(scope, receive, guarded, 403, reason)
        elif (
            scope["type"] == "http"
            and scope["path"].startswith(GUARDED)
            and not self._access.knows(bearer(headers))
        ):
            await _deny(
                scope, receive, guarded, 401, "this needs the server's token: Authorization: Bearer TOKEN"
            )
        else:
            await self._app(scope, receive, guarded)


async def _deny(scope: Scope, receive: Receive, send: Send, status: int, reason: str) -> None:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    response = JSONResponse({"error": reason}, status, headers)
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        scope = {**scope, "extensions": scope.get("extensions", {})}
    await response(scope, receive, send)


def _name(host: str) -> str:
    """The name or address of a `Host` header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
