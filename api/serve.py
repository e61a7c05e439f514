"""The service as a process: on one's own computer, on a server, or as a worker alone."""

import asyncio
import os
import socket
import tempfile
import webbrowser
from contextlib import suppress
from types import FrameType
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.app import create_app
from api.errors import PortError
from api.log import log_event, log_to_stderr
from api.settings import Settings
from api.worker import DRAIN_S, Worker, run_until_told
from geomap.store import Scope, Store, open_store
from geomap.store.accounts import local_account
from geomap.store.scope import ALL
from geomap.store.sessions import add_code
from geomap.store.setup import prepare, require_ready

HERE: Final = "127.0.0.1"
PORT: Final = 8000
HEAD_S: Final = 10.0
"""Seconds in which the head of a request must be complete."""


def serve_local(store_url: str, *, port: int | None = None, browser: bool = False) -> None:
    """Serve whoever sits at this computer, and nobody else; blocks until it is told to stop.

    The store is made where there is none. Prints a link with a code that opens one session, once, within five minutes;
    with `browser` the link is opened too.

    Raises
    ------
    PortError : the port is taken. StoreError : the store cannot be used.
    """
    store = open_store(store_url)
    prepare(store)
    listener = listen(HERE, port)
    app, link = local_app(store, listener.getsockname()[1])
    log_to_stderr()
    stay_in(app.state.settings)
    print(f"geomap runs on this computer. Open:\n\n    {link}\n\nThe link works once, for five minutes. Ctrl+C stops.")  # noqa: T201
    if browser:  # the port listens already, so the browser waits for the first answer
        webbrowser.open(link)
    _run(app, listener)


def local_app(store: Store, port: int, *, settings: Settings | None = None) -> tuple[FastAPI, str]:
    """The service of local mode on a port of this computer, and the link that lets a browser in."""
    given = settings or Settings()
    local = {"hosts": [f"{HERE}:{port}", f"localhost:{port}"], "secure_cookies": False, "open_metrics": False}
    with store.begin(Scope("local", ALL, "local")) as tx:
        account = local_account(tx)
    return create_app(
        given.model_copy(update=local), store=store
    ), f"http://{HERE}:{port}/enter?code={add_code(store, account)}"


def serve(store_url: str, *, host: str = HERE, port: int = PORT, worker: bool = True) -> None:
    """Serve everyone who has a token, behind a proxy that speaks TLS; blocks until it is told to stop."""
    log_to_stderr()
    settings = Settings().model_copy(update={"worker": worker})
    stay_in(settings)
    if not settings.hosts:
        log_event("any_name", todo="Set GEOMAP_API_HOSTS to the names under which the service is called.")
    _run(create_app(settings, store=open_store(store_url)), listen(host, port))


def work(store_url: str) -> None:
    """Work on jobs of a store until SIGTERM or SIGINT, then let the running one end."""
    log_to_stderr()
    store, settings = open_store(store_url), Settings()
    stay_in(settings)
    require_ready(store)
    run_until_told(Worker(store, settings.work_dir))


def stay_in(settings: Settings) -> None:
    """Have this process lay all it lays down for a while into the work folder: files while they come, too.

    They may name people, and the operator chose that folder for them and sees to its room.
    """
    with suppress(OSError):  # /health/ready tells
        settings.work_dir.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(settings.work_dir)


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that is bound: to the port, or where none is given to 8000, or to any that is free.

    Raises
    ------
    PortError : the port is taken, or may not be opened.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for wanted in [PORT, 0] if port is None else [port]:
        listener = socket.socket(family)
        if os.name == "posix":  # elsewhere it would let another program take the port too
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, wanted))
            listener.listen()  # until then another could take the port too
        except OSError:
            listener.close()
            continue
        return listener
    raise PortError(f"Port {port} of {host} cannot be opened.", todo="Another program has it; give another --port.")


class _Protocol(H11Protocol):
    """HTTP on one connection, which is closed where no head of a request is complete in time.

    The server's own time for idle connections ends with the first byte.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait_for_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(HEAD_S, self._close_where_idle)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _close_where_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class _Server(uvicorn.Server):
    """A server that tells the worker to end as soon as it is told so itself, not after the last answer."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        app: Any = self.config.app
        if app.state.worker is not None:
            app.state.worker.stop()
        super().handle_exit(sig, frame)


def _run(app: FastAPI, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        log_config=None,  # `log_to_stderr` has said where lines go
        access_log=False,  # it would write addresses down as they were sent
        server_header=False,
        proxy_headers=False,  # nobody's address is used or kept
        timeout_graceful_shutdown=int(DRAIN_S),
    )
    with suppress(KeyboardInterrupt):  # the server raises it again, after it has ended as it should
        _Server(config).run(sockets=[listener])
