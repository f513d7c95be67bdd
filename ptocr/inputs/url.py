"""Download of one http(s) address within limits of time, size and place."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request

from ptocr.errors import InputError

_REDIRECTS = 5
_CHUNK = 64 * 1024
_SAFE = "/%:@!$&'()*+,;=~-._"  # characters of an address that stay as they are
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Not of the public internet, whatever the installed Python's tables say (IANA's registries of special addresses).
_SPECIAL = [
    ipaddress.ip_network(network)
    for network in (
        "64:ff9b:1::/48",  # translation within a network
        "::/96",  # IPv4 in IPv6, deprecated
        "fec0::/10",  # site-local, deprecated
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "192.88.99.0/24",  # relays of 6to4, deprecated
    )
]


def is_url(text: str) -> bool:
    """True for an http or https address."""
    return text[:8].lower().startswith(("http://", "https://"))


def fetch_url(url: str, *, timeout: float, max_bytes: int, allow_private: bool = False) -> bytes:
    """The body behind `url`, redirects followed (each hop is checked like the first).

    timeout: seconds for everything together. max_bytes: larger answers are refused. allow_private: permit addresses
    that are not public (loopback, private networks, link-local ...); without it the connection goes to the very address
    that was checked, so a name that changes its answer in between gains nothing. Behind a proxy the proxy looks names
    up; literal and locally known addresses are still checked. Raises InputError.
    """
    deadline = time.monotonic() + timeout
    where = url
    for _ in range(_REDIRECTS + 1):
        try:
            answer = _request(where, deadline, max_bytes, allow_private)
        except InputError as error:
            raise InputError(f"{url}: {error}") from None
        except TimeoutError:
            raise InputError(f"{url}: no complete answer within {timeout:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise InputError(f"{url}: cannot be fetched ({error})") from error
        if isinstance(answer, bytes):
            return answer
        where = urllib.parse.urljoin(where, answer)
    raise InputError(f"{url}: more than {_REDIRECTS} redirects")


def _request(url: str, deadline: float, max_bytes: int, allow_private: bool) -> bytes | str:
    """One hop: the body, or the address that it redirects to."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"leads to {url!r}; only http and https addresses can be read")
    proxy = _proxy(parts)
    address = _checked_address(parts, allow_private, must_resolve=proxy is None)
    connection, target, headers = _connection(parts, address, proxy, max(deadline - time.monotonic(), 0.01))
    headers |= {"User-Agent": "ptocr", "Accept": "*/*", "Accept-Encoding": "identity"}
    guard = None
    try:
        connection.connect()
        # A server that drips bytes never trips a socket timeout, so the whole exchange is cut off from outside.
        guard = threading.Timer(max(deadline - time.monotonic(), 0.01), _shut, [connection.sock])
        guard.daemon = True
        guard.start()
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        location = response.getheader("Location")
        if response.status in (301, 302, 303, 307, 308) and location:
            return location
        if response.status != 200:
            raise InputError(f"the server answers {response.status} {response.reason}")
        body = _body(response, max_bytes)
        if time.monotonic() >= deadline:  # a body of unknown length ends quietly where the guard cut it off
            raise TimeoutError
        return body
    except (OSError, http.client.HTTPException):
        if time.monotonic() >= deadline:
            raise TimeoutError from None
        raise
    finally:
        if guard is not None:
            guard.cancel()
        connection.close()


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # already closed


def _body(response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    expected = response.length
    body = bytearray()
    while True:
        if max(len(body), expected or 0) > max_bytes:
            raise InputError(f"is larger than the limit of {max_bytes} bytes (url_max_bytes)")
        chunk = response.read(_CHUNK)
        if not chunk:
            break
        body += chunk
    if expected is not None and len(body) != expected:
        raise http.client.IncompleteRead(bytes(body), expected - len(body))
    return bytes(body)


def _checked_address(parts: urllib.parse.SplitResult, allow_private: bool, must_resolve: bool) -> str:
    """The IP address to connect to ('' if a proxy will look it up). Refuses any address that is not public."""
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, _port(parts), type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        if must_resolve:
            raise InputError(f"the name {host!r} is not known ({error})") from None
        return ""
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not (allow_private or is_public(address)):
            raise InputError(f"{host} is the private or local address {address}; allow it with allow_private")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, also when wrapped in IPv6."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _SPECIAL)


def _port(parts: urllib.parse.SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _proxy(parts: urllib.parse.SplitResult) -> urllib.parse.SplitResult | None:
    """The proxy that the environment names for this address."""
    address = urllib.request.getproxies().get(parts.scheme)
    if not address or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.parse.urlsplit(address if "://" in address else f"http://{address}")


class _HTTP(http.client.HTTPConnection):
    """HTTP to an address that was looked up and checked before."""

    def __init__(self, host: str, port: int, address: str, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self.address = address

    def connect(self) -> None:
        self.sock = socket.create_connection((self.address, self.port), self.timeout)


class _HTTPS(http.client.HTTPSConnection):
    """HTTPS to an address that was looked up and checked before; the certificate is checked against the name."""

    def __init__(self, host: str, port: int, address: str, timeout: float) -> None:
        self.tls = ssl.create_default_context()
        super().__init__(host, port, timeout=timeout, context=self.tls)
        self.address = address

    def connect(self) -> None:
        plain = socket.create_connection((self.address, self.port), self.timeout)
        self.sock = self.tls.wrap_socket(plain, server_hostname=self.host)


def _connection(
    parts: urllib.parse.SplitResult, address: str, proxy: urllib.parse.SplitResult | None, timeout: float
) -> tuple[http.client.HTTPConnection, str, dict[str, str]]:
    """(connection, request target, extra headers), direct or through a proxy."""
    host, port, secure = str(parts.hostname).encode("idna").decode(), _port(parts), parts.scheme == "https"
    target = urllib.parse.quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        target += "?" + urllib.parse.quote(parts.query, safe=_SAFE + "?")
    if proxy is None:
        return (_HTTPS if secure else _HTTP)(host, port, address, timeout), target, {}
    login = {}
    if proxy.username:
        pair = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
        login = {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    via = (str(proxy.hostname), proxy.port or 80)
    if secure:
        tunnel = http.client.HTTPSConnection(*via, timeout=timeout)
        tunnel.set_tunnel(host, port, headers=login)
        return tunnel, target, {}
    return (
        http.client.HTTPConnection(*via, timeout=timeout),
        f"http://{host}:{port}{target}",
        login | {"Host": parts.netloc.split("@")[-1]},
    )
