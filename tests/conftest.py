"""Fixtures of the whole session, and the rule that nothing is skipped in silence."""

import os
import shutil
from pathlib import Path

import hypothesis
import pytest

# A law holds or it does not; how long a busy machine takes over one example says nothing of it.
hypothesis.settings.register_profile("laws", deadline=None)
hypothesis.settings.load_profile("laws")

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = "shared/data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data that stands beside the repository; never a part of it."""
    folder = ROOT.parent / SHARED_DATA
    if not folder.is_dir():
        pytest.skip(f"../{SHARED_DATA} is not beside the repository")
    return folder


@pytest.fixture(scope="session")
def requires_chromium() -> str:
    """Path of the Chromium of this machine."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("Chromium is not installed")


def _missing_services(config: pytest.Config) -> list[str]:
    """Reasons of the skips that GEOMAP_REQUIRE_SERVICES=1 does not allow."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("GEOMAP_REQUIRE_SERVICES") != "1" or reporter is None or hasattr(config, "workerinput"):
        return []
    reasons = [
        f"{report.nodeid}: {report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr}"
        for report in reporter.stats.get("skipped", [])
    ]
    return [reason for reason in reasons if SHARED_DATA not in reason]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _missing_services(session.config) and session.exitstatus in (
        pytest.ExitCode.OK,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if reasons := _missing_services(config):
        terminalreporter.section("skipped although GEOMAP_REQUIRE_SERVICES=1", sep="=", red=True)
        for reason in reasons:
            terminalreporter.line(reason)
