"""A real browser at the demonstration's links: a page, a WebSocket and an event stream in Chromium."""

import os
import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from child import Child
from relay import FINGERPOST

DEADLINE_MS = 20_000
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not installed (Debian: apt install chromium; elsewhere set CHROMIUM to it)")
    arguments = [*QUIET, "--no-sandbox"] if os.geteuid() == 0 else [*QUIET]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=arguments)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def links() -> Iterator[dict[str, str]]:
    with Child([*FINGERPOST, "demo", "--listen", "127.0.0.1:0"]) as demo:
        yield {name: demo.wait_for_line(rf"^\s*{name} +(http://\S+)$")[1] for name in ("page", "chat", "clock")}


@pytest.fixture
def errors() -> list[str]:
    """What pages complain about: exceptions and failed requests."""
    return []


@pytest.fixture
def page(browser: Browser, errors: list[str]) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(DEADLINE_MS)
    context.on("weberror", lambda error: errors.append(str(error.error)))
    context.on("requestfailed", lambda request: errors.append(f"{request.url}: {request.failure}"))
    yield context.new_page()
    context.close()


@pytest.mark.timeout(180)
def test_the_page_loads_and_shows_what_the_app_received(page: Page, links: dict[str, str], errors: list[str]) -> None:
    page.goto(links["page"])

    expect(page.locator("#listening")).to_have_text(re.compile(r"127\.0\.0\.1:\d+"), timeout=DEADLINE_MS)
    host = links["page"].removeprefix("http://").removesuffix("/")
    expect(page.locator("#fields")).to_contain_text(host, timeout=DEADLINE_MS)
    assert errors == []


def test_what_one_tab_says_appears_in_both(page: Page, links: dict[str, str], errors: list[str]) -> None:
    other = page.context.new_page()
    for tab in (page, other):
        tab.goto(links["chat"])
        expect(tab.locator("#send")).to_be_enabled(timeout=DEADLINE_MS)
    page.fill("#text", "which way to the sea?")
    page.click("#send")

    for tab in (page, other):
        expect(tab.locator("#log li.said").last).to_contain_text("which way to the sea?", timeout=DEADLINE_MS)
    assert errors == []


def test_the_clock_ticks_as_events_arrive(page: Page, links: dict[str, str], errors: list[str]) -> None:
    page.goto(links["clock"])

    expect(page.locator("#ticks")).to_have_text(re.compile(r"[2-9]"), timeout=DEADLINE_MS)
    expect(page.locator("#time")).to_have_text(re.compile(r"\d\d:\d\d:\d\d"), timeout=DEADLINE_MS)
    assert errors == []
