"""What all tests share: in CI a skipped test is a failure, because everything is installed there."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("relay", deadline=None)  # how long an example takes says something of the machine alone
settings.load_profile("relay")

_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _skipped.append(report.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    if os.environ.get("CI") and _skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("CI") and _skipped:
        terminalreporter.section("skipped in CI, which is a failure", red=True)
        for name in _skipped:
            terminalreporter.line(name)
