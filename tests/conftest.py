"""Fixtures for every test, and one rule: in CI a skipped test is a failed test."""

import os
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # the pure parts' tests start no proxy and shouldn't wait for its imports
    from relay import Relay

IN_CI = os.environ.get("CI", "").lower() in {"true", "1", "yes"}


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own FINGERPOST_… variables must not decide what a test sees."""
    for name in [name for name in os.environ if name.startswith("FINGERPOST_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Relay]":
    """One proxy with default settings for all tests of a module; it must end well."""
    from relay import start_relay

    running = start_relay(tmp_path_factory.mktemp("relay"))
    yield running
    assert running.stop() == 0, running.child.output()


@pytest.fixture
def new_relay(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Callable[..., Relay]]":
    """Starts a proxy of the test's own: ``new_relay("--workers", "2")``. Stopped after the test."""
    from relay import start_relay

    started: list[Relay] = []

    def start(*flags: str, **options: str) -> "Relay":
        running = start_relay(tmp_path_factory.mktemp("relay"), *flags, **options)
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where everything must run: {_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where everything must run: {_reason(report)}"
    return report


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    where_and_why = report.longrepr
    return where_and_why[2] if isinstance(where_and_why, tuple) else str(where_and_why)
