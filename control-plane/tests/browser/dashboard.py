"""The dashboard in a real browser: one scenario per run, driven by tests/sidecar/dashboard.rs.

    dashboard.py SCENARIO URL CHROMIUM SCREENSHOTS

Lines on standard output ask the test for something (`report`, `kill`), each once it is printed.
"""

import json
import os
import re
import sys

import cache
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

SCENARIO, URL, CHROMIUM, SCREENSHOTS = sys.argv[1:]
TOKEN = "s3cret-t0ken"
HOSTILE = cache.HOSTILE
PATIENCE_MS = 60_000
VIEWS = ["live", "cache", "sessions", "requests", "history"]
TITLES = ["Headroom", *(f"{view.title()} · Headroom" for view in VIEWS[1:])]


def tell(what):
    print(what, flush=True)


def shot(page, name):
    page.evaluate("scrollTo(0, 0)")
    # a layer over the page is as high as the window
    page.screenshot(path=os.path.join(SCREENSHOTS, f"{name}.png"), full_page=page.locator("dialog[open]").count() == 0)


def look(page, name):
    """At 1440 and 390 pixels, light and dark: nothing is cut off, axe finds nothing, and there is a screenshot."""
    for width in [1440, 390]:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in ["light", "dark"]:
            page.emulate_media(color_scheme=scheme)
            page.mouse.move(0, 0)
            # charts are drawn again in the frame after the next
            page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            where = f"{name}-{width}-{scheme}"
            shot(page, where)
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{where}: {wide} pixels too wide"
            # what is asked for again is faint for that moment, which may begin at any time
            expect(page.locator("[aria-busy]")).to_have_count(0)
            found = Axe().run(page, context={"exclude": ["[aria-busy]"]}).response["violations"]
            told = [(it["id"], [node["html"][:200] for node in it["nodes"]][:3], [node["failureSummary"][:300] for node in it["nodes"]][:1]) for it in found]
            assert told == [], f"{where}: {told}"
    page.set_viewport_size({"width": 1280, "height": 860})
    page.emulate_media(color_scheme="light")


def visit(page, address):
    """An address that somebody was sent: a page of its own, not a change of this one."""
    page.goto("about:blank")
    page.goto(f"{URL}/dashboard#{address}")


def view(page, name):
    page.get_by_role("navigation").get_by_role("link", name=name.title(), exact=True).click()
    expect(page.locator(f"#{name}")).to_be_visible()


def form(page):
    return page.locator("main form.controls:visible")


def serve(page, answer):
    """Answers `/stats-cache` in the place of headroomd."""
    page.unroute("**/stats-cache?*")
    page.route("**/stats-cache?*", lambda route: route.fulfill(status=200 if answer else 404, content_type="application/json", body=json.dumps(answer or {"error": {"message": "there is nothing under this path"}})))


def tile(page, name):
    return page.locator(".tile", has=page.get_by_role("heading", name=name, exact=True)).locator("visible=true")


def empty(page):
    expect(page.get_by_role("heading", name="No request has been seen yet")).to_be_visible()
    expect(page.locator("#state")).to_have_text("Live")
    expect(page.locator("#empty-steps")).to_contain_text("ANTHROPIC_BASE_URL=http://127.0.0.1:8787")
    look(page, "empty-live")
    serve(page, cache.empty())
    for name, words in [("cache", "No figures of the cache yet"), ("sessions", "0 conversations"), ("requests", "No request yet.")]:
        view(page, name)
        expect(page.locator(f"#{name}")).to_contain_text(words)
        look(page, f"empty-{name}")
    view(page, "history")
    expect(tile(page, "Requests")).to_contain_text("0")
    look(page, "empty-history")
    view(page, "live")
    tell("report")
    expect(page.get_by_role("heading", name="Recent requests")).to_be_visible()
    expect(tile(page, "Requests per minute")).to_contain_text("3 in all")
    expect(tile(page, "Answers again")).to_have_count(0)
    expect(page.get_by_role("heading", name="No request has been seen yet")).to_be_hidden()


def full(page):
    expect(page.locator("#state")).to_have_text("Live")
    # errors first, and one number of dollars
    expect(page.locator("#tiles .tile").first).to_contain_text("Answered well")
    expect(tile(page, "Answered well")).to_contain_text(re.compile(r"11 of 183 in all"))
    expect(tile(page, "Tokens saved")).to_contain_text("%")
    expect(tile(page, "Tokens saved")).to_contain_text(re.compile(r"once per tool output: [0-9.]+K, [0-9.]+\s%"))
    expect(tile(page, "Dollars saved").locator(".value")).to_have_text(re.compile(r"^\$[0-9.]+$"))
    expect(tile(page, "Dollars saved")).to_contain_text("without a known price")
    tile(page, "Dollars saved").get_by_text("What this counts").click()
    expect(tile(page, "Dollars saved")).to_contain_text(re.compile(r"\$[0-9.]+ with each tool output counted once"))
    expect(tile(page, "Answers again")).to_contain_text("0 of 20 requests that could be")
    for name in ["Dollars saved", "Added latency", "Provider's cache", "Answers again"]:
        expect(tile(page, name)).not_to_contain_text("NaN")
    # names from requests are text, even if they look like markup
    expect(page.locator("#tools")).to_contain_text(HOSTILE)
    assert page.locator("main img").count() == 0
    # missed outputs, budgets, teams and keys
    expect(page.locator("#missed")).to_contain_text("No gain")
    expect(page.locator("#budgets")).to_contain_text("team research")
    expect(page.locator("#budgets")).to_contain_text("used up")
    expect(page.locator("#users")).to_contain_text("research")
    # a longer list can be opened
    expect(page.locator("#recent tbody tr")).to_have_count(6)
    page.locator("#recent").get_by_role("button", name="and 4 more").click()
    expect(page.locator("#recent tbody tr")).to_have_count(10)
    # a failure of the provider counts as a failure, regardless of what was done to its request
    failed = page.locator("#recent tbody tr", has_text="Failed 529")
    expect(failed.first.locator(".chip")).to_have_text("Failed 529")
    assert page.locator("#recent tbody tr", has_text="Failed 529").locator(".chip.good").count() == 0
    look(page, "live")

    tell("report")
    expect(tile(page, "Requests per minute")).to_contain_text("184 in all")

    # the values of a chart are readable
    chart = page.locator("#tokens-chart")
    chart.get_by_text("As a table").click()
    expect(chart.locator("caption")).to_have_text("Tokens per minute over the last hour")
    assert chart.locator("tbody tr").count() > 0
    assert "sent by clients" in chart.get_by_role("img").get_attribute("aria-label")

    # the chosen theme stays
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Theme: as the system").click()
    page.get_by_role("button", name="Theme: light").click()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    page.get_by_role("button", name="Theme: dark").click()
    history(page)


def drawer(page):
    """A request's drawer: by keyboard, with texts where they are logged, and shared by its address."""
    view(page, "requests")
    # a new list takes the focus away, so the one without filters has to be there
    expect(form(page).get_by_label("Model")).to_have_value("")
    expect(page.locator("#request-list")).not_to_have_attribute("aria-busy", "true")
    button = page.locator("#request-list button[data-request]").nth(1)
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The text is not here")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page).not_to_have_url(re.compile("request="))

    visit(page, "live?request=hr_b7")
    expect(dialog).to_contain_text("claude-sonnet-4-5")
    expect(dialog).to_contain_text("Before and after")
    for text in dialog.get_by_text("Before and after").all():
        text.click()
    expect(dialog.get_by_role("region", name=re.compile("as it was forwarded")).first).to_contain_text("… 40 lines left out")
    expect(dialog.get_by_role("region", name=re.compile("as the client sent it")).first).to_contain_text(HOSTILE)
    expect(dialog).to_contain_text("the rest was not logged")
    dialog.get_by_text("Messages as the client sent them").click()
    expect(dialog).to_contain_text("what is wrong")
    dialog.evaluate("it => it.scrollTo(0, 0)")
    look(page, "drawer")
    # from there to its conversation, and back
    dialog.get_by_role("link", name=re.compile("^[0-9a-f]{16}$")).last.click()
    expect(page.locator("#session-list")).to_contain_text("All conversations")
    expect(dialog).to_be_hidden()
    page.go_back()
    expect(dialog).to_be_visible()
    visit(page, "requests?request=hr_none")
    expect(dialog).to_contain_text("This request is not kept")


def requests(page):
    """Searching and filtering, and an address that shows somebody else the same."""
    view(page, "requests")
    rows = page.locator("#request-list tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="and 50 more").click()
    expect(rows).to_have_count(100)
    look(page, "requests")
    form(page).get_by_label("Status").select_option("failed")
    expect(rows).to_have_count(11)
    form(page).get_by_label("Project").select_option("billing")
    expect(rows).not_to_have_count(11)
    expect(page.locator("#request-list")).to_contain_text("overloaded_error")
    few = rows.count()
    shared = page.url
    form(page).get_by_role("searchbox").fill("nothing is called so")
    expect(page.locator("#request-list")).to_contain_text("No kept request matches.")
    other = page.context.new_page()
    other.goto(shared)
    expect(other.locator("#request-list tbody tr")).to_have_count(few)
    expect(form(other).get_by_label("Status")).to_have_value("failed")
    expect(form(other).get_by_label("Project")).to_have_value("billing")
    other.close()
    form(page).get_by_role("button", name="Clear").click()
    expect(rows).to_have_count(50)
    form(page).get_by_role("searchbox").fill(HOSTILE)
    form(page).get_by_label("Model").select_option(HOSTILE)
    expect(rows.first).to_contain_text(HOSTILE)
    expect(rows.first).to_contain_text("no price")
    drawer(page)


def sessions(page):
    """Conversations, a row each, and one with its requests in order."""
    view(page, "sessions")
    expect(page.locator("#session-list")).to_contain_text("7 conversations")
    expect(page.locator("#session-list")).to_contain_text("headroomd keeps 10,000 requests")
    look(page, "sessions")
    form(page).get_by_label("Stack").select_option("claude_code")
    page.locator("#session-list tbody button").first.click()
    expect(page.locator("#session-list")).to_contain_text("turns")
    rows = page.locator("#session-list table.steps tbody tr")
    assert rows.count() > 20
    told = page.locator("#session-list .tiles .tile", has_text="Requests").locator(".value").inner_text()
    assert int(told) == rows.count(), f"{told} requests, and {rows.count()} rows"
    look(page, "session")
    address = page.url
    rows.first.get_by_role("button").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.goto("about:blank")
    page.goto(address)
    expect(rows.first).to_be_visible()
    page.get_by_role("link", name="All conversations").click()
    expect(page.locator("#session-list")).to_contain_text("7 conversations")
    visit(page, "sessions?conversation=ffffffffffffffff")
    expect(page.locator("#session-list")).to_contain_text("No request of this conversation is kept any more.")


def cached(page):
    """The page about the cache, with an answer of the test, and where headroomd has none."""
    serve(page, cache.page())
    view(page, "cache")
    place = page.locator("#cache")
    expect(tile(page, "Bill")).to_contain_text("$290.18")
    expect(tile(page, "Bill")).to_contain_text("$361.90")
    expect(tile(page, "Lost to misses")).to_contain_text("$83.67")
    expect(place).to_contain_text("Line 14 of the system prompt of stack claude_code holds a date")
    expect(place).to_contain_text("Put it into the first user message")
    expect(place).to_contain_text("Lifetime lapsed")
    expect(place).to_contain_text("no price")
    expect(place).to_contain_text("−$3.07")
    expect(page.locator("#cache-lines")).to_contain_text(HOSTILE)
    assert page.locator("main img").count() == 0
    look(page, "cache")
    page.locator("#cache-by").get_by_role("button", name="Project").click()
    expect(page.locator("#cache-groups")).to_contain_text(HOSTILE)
    page.locator("#cache-groups").get_by_role("button", name="and 3 more").click()
    expect(page.locator("#cache-groups tbody tr")).to_have_count(11)
    with page.expect_request(re.compile(r"/stats-cache\?since=\d+&by=project&value=checkout")):
        page.locator("#cache-groups").get_by_role("button", name="checkout").click()
    form(page).get_by_label("30 days").check(force=True)
    assert page.url.endswith("#cache?by=project&project=checkout&range=30d"), page.url
    serve(page, {"generated_at": "x"})
    visit(page, "cache?range=nonsense&by=__proto__")
    expect(place).to_contain_text("No figures of the cache yet")
    serve(page, None)
    visit(page, "cache")
    expect(place).to_contain_text("This headroomd has no page about the cache")
    look(page, "cache-missing")


def history(page):
    page.get_by_role("link", name="History").click()
    expect(tile(page, "Input cost")).to_be_visible()
    expect(page.locator("#breakdown")).to_contain_text("claude-sonnet-4-5")
    expect(page.locator("#breakdown tbody tr", has_text=HOSTILE)).to_contain_text("no price")
    form(page).get_by_label("30 days").check(force=True)
    expect(page.locator("#history-tokens")).to_be_visible()
    expect(page.locator("#history-figures")).not_to_have_attribute("aria-busy", "true")
    everything = tile(page, "Requests").text_content()
    page.locator("#by").get_by_role("button", name="Project").click()
    # a model has the other name, too: until the answer is here, these are models
    expect(page.locator("#breakdown")).to_contain_text("billing")
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
        form(page).get_by_label(label).check(force=True)
        expect(page.locator("#history-figures")).not_to_have_attribute("aria-busy", "true")
        expect(page.locator("#history-error")).to_be_hidden()
        assert tile(page, "Requests").inner_text().strip()
    for label in ["day", "week", "month"]:
        form(page).get_by_label(label, exact=True).check(force=True)
        expect(page.locator("#history-figures")).not_to_have_attribute("aria-busy", "true")
    form(page).get_by_label("90 days").check(force=True)
    with page.expect_response(re.compile(r"/stats-history\?.*project=billing")):
        page.locator("#scope").select_option(label="billing")
    expect(page.locator("#history-figures")).not_to_have_attribute("aria-busy", "true")
    shown = tile(page, "Requests").inner_text()
    shared = page.url
    page.goto("about:blank")
    page.goto(shared)
    expect(tile(page, "Requests")).to_have_text(re.compile(re.escape(shown.split()[-1])))
    expect(form(page).get_by_label("90 days")).to_be_checked()
    expect(page.locator("#scope")).to_have_value("project=billing")
    look(page, "history")


def token(page):
    dialog = page.get_by_role("dialog", name="A token is needed")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_label("Token")).to_be_focused()
    look(page, "token")
    dialog.get_by_label("Token").fill("wrong")
    dialog.get_by_role("button").click()
    expect(dialog.get_by_role("alert")).to_have_text("That token was not accepted.")
    dialog.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("Live")
    expect(dialog).to_be_hidden()
    page.reload()
    expect(page.locator("#state")).to_have_text("Live")
    page.get_by_role("link", name="History").click()
    with page.expect_download():
        page.get_by_role("button", name="Export CSV").click()
    assert TOKEN not in page.content()
    assert page.evaluate("Object.keys(localStorage)") == []


def lost(page):
    expect(page.locator("#state")).to_have_text("Live")
    # the figures come after the connection
    expect(page.locator("#footer")).to_contain_text("Store:")
    tell("kill")
    expect(page.locator("#state")).to_have_text("Disconnected")
    banner = page.locator("#banner")
    expect(banner).to_contain_text("The figures are from")
    look(page, "lost-live")
    for name, words in [("cache", "could not be read"), ("sessions", "could not be read"), ("requests", "could not be read"), ("history", "could not be read")]:
        view(page, name)
        expect(page.locator(f"#{name}")).to_contain_text(words)
        look(page, f"lost-{name}")
    tell("start")
    # it reconnects by itself, or at once on request
    page.locator("#banner-retry").click()
    expect(page.locator("#state")).to_have_text("Live")
    expect(banner).to_be_hidden()


def main():
    problems = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 860}, accept_downloads=True)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        expect.set_options(timeout=PATIENCE_MS)
        # a refused policy is an error on the console too; some scenarios expect answers that are not 200
        noise = re.compile(r"Failed to load resource|net::ERR_")
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" and not noise.search(m.text) else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(f"a dialog: {dialog.message}"))
        page.on("request", lambda r: problems.append(r.url) if not r.url.startswith((URL, "blob:", "about:")) else None)
        missing = lambda r: problems.append(f"{r.status} {r.url}") if r.status == 404 and "/stats-cache" not in r.url else None
        page.on("response", missing)
        page.goto(f"{URL}/")
        assert page.url.startswith(f"{URL}/dashboard"), page.url
        assert "Headroom" in page.title()
        globals()[SCENARIO](page)
        assert page.title() in TITLES, "no text became a script"
        browser.close()
    assert problems == [], problems


main()
