"""Clients: what other parts of Python have to say, as events: logging, structlog, hooks."""

from rchan.clients.handler import LogHandler
from rchan.clients.hooks import Installed, install

__all__ = ["Installed", "LogHandler", "install"]
