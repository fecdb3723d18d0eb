"""Pictures of the dashboard for the documentation, taken by tests/examples/pictures.rs.

    pictures.py URL CHROMIUM FOLDER all|documentation
"""

import os
import sys

from playwright.sync_api import expect, sync_playwright

URL, CHROMIUM, FOLDER, WANTED = sys.argv[1:]
NAMES = {"live": "dashboard", "cache": "cache"}
READY = {"live": "Recent requests", "cache": "The bill, and the part of it that was lost"}


def take(page, view, width, scheme, name):
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.mouse.move(0, 0)
    # charts are drawn anew in the frame after the next
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=os.path.join(FOLDER, f"{name}.png"), full_page=WANTED == "all" or view == "cache")


with sync_playwright() as playwright:
    # The sandbox needs what containers do not give; the page is ours.
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    for view, name in NAMES.items():
        page.goto("about:blank")
        page.goto(f"{URL}/dashboard#{view}")
        expect(page.get_by_role("heading", name=READY[view])).to_be_visible(timeout=60_000)
        page.wait_for_timeout(1_000)
        if WANTED == "documentation":
            take(page, view, 1440, "light", name)
            continue
        for width in [1440, 390]:
            for scheme in ["light", "dark"]:
                take(page, view, width, scheme, f"{name}-{width}-{scheme}")
    browser.close()
