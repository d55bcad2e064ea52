"""Fixtures that every test may name; the servers behind them are real and start only when asked for."""

from __future__ import annotations

pytest_plugins = ["tests.support.servers"]
