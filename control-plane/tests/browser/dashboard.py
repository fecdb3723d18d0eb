"""The dashboard in a real browser: one scenario per run, driven by tests/sidecar/dashboard.rs.

    dashboard.py SCENARIO URL CHROMIUM SCREENSHOTS

Lines on standard output ask the test for something (`report`, `kill`), each once it is printed.
"""

import json
import os
import re
import sys

from playwright.sync_api import expect, sync_playwright

SCENARIO, URL, CHROMIUM, SCREENSHOTS = sys.argv[1:]
TOKEN = "s3cret-t0ken"
HOSTILE = '<img src=x onerror="document.title=1">'
PATIENCE_MS = 60_000


def tell(what):
    print(what, flush=True)


def shot(page, name):
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=os.path.join(SCREENSHOTS, f"{name}.png"), full_page=True)


def tile(page, name):
    return page.locator(".tile", has=page.get_by_role("heading", name=name, exact=True)).locator("visible=true")


def empty(page):
    expect(page.get_by_role("heading", name="No request has come by yet")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Live")
    expect(page.locator("#empty-steps")).to_contain_text("ANTHROPIC_BASE_URL=http")
    shot(page, "empty")
    tell("report")
    expect(page.get_by_role("heading", name="Recent requests")).to_be_visible()
    expect(tile(page, "Requests per minute")).to_contain_text("3 in all")
    expect(page.get_by_role("heading", name="No request has come by yet")).to_be_hidden()


def full(page):
    expect(page.get_by_role("status")).to_have_text("Live")
    expect(tile(page, "Tokens saved")).to_contain_text("%")
    expect(tile(page, "Tokens saved")).to_contain_text(re.compile(r"once per tool output: [0-9.]+K, [0-9.]+\s%"))
    expect(tile(page, "Dollars saved")).to_contain_text(re.compile(r"\$[0-9.]+ once per output"))
    for name in ["Dollars saved", "Added latency", "Provider's cache"]:
        expect(tile(page, name)).not_to_contain_text("NaN")
    # names from requests are text, whatever they look like
    expect(page.locator("#tools")).to_contain_text(HOSTILE)
    assert page.locator("main img").count() == 0
    shot(page, "live")

    # blocks of a request, by keyboard
    button = page.locator("#recent button[aria-expanded=false]").first
    button.focus()
    page.keyboard.press("Enter")
    opened = page.locator("#recent button[aria-expanded=true]")
    expect(opened).to_have_count(1)
    expect(opened).to_be_focused()
    expect(page.locator("#recent table.blocks")).to_contain_text("no form of it saves enough tokens")
    tell("report")
    expect(tile(page, "Requests per minute")).to_contain_text("failed")

    # what a chart shows can be read
    chart = page.locator("#tokens-chart")
    chart.get_by_text("As a table").click()
    expect(chart.locator("caption")).to_have_text("Tokens per minute over the last hour")
    assert chart.locator("tbody tr").count() > 0
    assert "sent by clients" in chart.get_by_role("img").get_attribute("aria-label")

    # dark
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Theme: as the system").click()
    page.get_by_role("button", name="Theme: light").click()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    shot(page, "live-dark")
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    page.get_by_role("button", name="Theme: dark").click()
    history(page)


def history(page):
    page.get_by_role("link", name="History").click()
    expect(tile(page, "Input cost")).to_be_visible()
    expect(page.locator("#breakdown")).to_contain_text("claude-sonnet-4-5")
    page.get_by_label("30 days").check(force=True)
    expect(page.locator("#history-tokens")).to_be_visible()
    everything = tile(page, "Requests").inner_text()
    shot(page, "history")
    page.locator("#by").get_by_role("button", name="Project").click()
    expect(page.locator("#breakdown")).to_contain_text(HOSTILE)
    page.locator("#breakdown").get_by_role("button", name=HOSTILE).click()
    expect(page.locator("#scope")).to_have_value(f"project={HOSTILE}")
    expect(tile(page, "Requests")).not_to_have_text(everything)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export CSV").click()
    with open(waiting.value.path(), encoding="utf-8") as file:
        lines = file.read().splitlines()
    assert waiting.value.suggested_filename.endswith(".csv")
    assert lines[0].startswith("timestamp,tokens_saved,"), lines[0]
    assert len(lines) > 1
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export JSON").click()
    with open(waiting.value.path(), encoding="utf-8") as file:
        exported = json.load(file)
    assert exported["scope"] == {"by": "project", "value": HOSTILE}
    assert list(exported["series"]) == ["daily"]
    page.locator("#scope").select_option("")
    for label in ["24 hours", "7 days", "90 days", "1 year", "All"]:
        page.get_by_label(label).check(force=True)
        expect(page.locator("#history-figures")).not_to_have_attribute("aria-busy", "true")
        expect(page.locator("#history-error")).to_be_hidden()
        assert tile(page, "Requests").inner_text().strip()
    for label in ["day", "week", "month"]:
        page.get_by_label(label, exact=True).check(force=True)
        expect(page.locator("#history-figures")).not_to_have_attribute("aria-busy", "true")
    page.emulate_media(color_scheme="dark")
    page.get_by_label("90 days").check(force=True)
    expect(page.locator("#history-figures")).not_to_have_attribute("aria-busy", "true")
    shot(page, "history-dark")
    page.emulate_media(color_scheme="light")
    narrow(page)


def narrow(page):
    page.set_viewport_size({"width": 390, "height": 844})
    for view in ["history", "live"]:
        page.goto(f"{URL}/dashboard#{view}")
        expect(page.locator(f"#{view} .tile").first).to_be_visible()
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        shot(page, f"{view}-narrow")
        assert wide <= 0, f"{view}: {wide} pixels too wide"


def token(page):
    dialog = page.get_by_role("dialog", name="A token is needed")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_label("Token")).to_be_focused()
    shot(page, "token")
    dialog.get_by_label("Token").fill("wrong")
    dialog.get_by_role("button").click()
    expect(dialog.get_by_role("alert")).to_have_text("That token was not accepted.")
    dialog.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Live")
    expect(dialog).to_be_hidden()
    page.reload()
    expect(page.get_by_role("status")).to_have_text("Live")
    page.get_by_role("link", name="History").click()
    with page.expect_download():
        page.get_by_role("button", name="Export CSV").click()
    assert TOKEN not in page.content()
    assert page.evaluate("Object.keys(localStorage)") == []


def lost(page):
    expect(page.get_by_role("status")).to_have_text("Live")
    # the figures come after the connection
    expect(page.locator("#footer")).to_contain_text("Store:")
    tell("kill")
    expect(page.get_by_role("status")).to_have_text("Disconnected")
    banner = page.locator("#banner")
    expect(banner).to_contain_text("The figures are from")
    shot(page, "lost")
    page.get_by_role("link", name="History").click()
    expect(page.locator("#history-error")).to_contain_text("could not be read")
    tell("start")
    # by itself, or at once when asked
    page.locator("#banner-retry").click()
    expect(page.get_by_role("status")).to_have_text("Live")
    expect(banner).to_be_hidden()


def main():
    problems = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 860}, accept_downloads=True)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        # a refused policy is an error on the console too; answers that are not 200 are wanted in some scenarios
        noise = re.compile(r"Failed to load resource|net::ERR_")
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" and not noise.search(m.text) else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(f"a dialog: {dialog.message}"))
        page.on("request", lambda r: problems.append(r.url) if not r.url.startswith((URL, "blob:")) else None)
        page.goto(f"{URL}/dashboard")
        assert "Headroom" in page.title()
        globals()[SCENARIO](page)
        assert page.title() in ("Headroom", "History · Headroom"), "no text became a script"
        browser.close()
    assert problems == [], problems


main()
