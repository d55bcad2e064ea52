"""Fixtures for all tests: real servers, each started at most once and only when a test asks for it."""

import pytest

pytest.register_assert_rewrite("tests.support.blob_store_promises", "tests.support.launcher_promises")

pytest_plugins = ["tests.support.both_clients", "tests.support.servers", "tests.support.stacks", "tests.support.triton"]
