"""A page `/stats-cache` as headroomd answers it after a week with several agents: dates in system prompts, tool lists in
changing order, edited histories. The Rust test holds its shape against the type of the page.

    cache.py        prints it
"""

import json
from datetime import datetime, timedelta, timezone

HOSTILE = '<img src=x onerror="document.title=1">'


def totals(requests, readable, share, rewritten=0.0):
    read = int(readable * share)
    return {
        "requests": requests, "missed_requests": int(requests * (1 - share) * 0.6),
        "readable_tokens": readable, "read_tokens": read, "written_tokens": readable - read + requests * 900,
        "rewritten_tokens": int((readable - read) * rewritten), "uncached_tokens": requests * 210, "output_tokens": requests * 640,
    }


def group(by, value, requests, readable, share, bill, lost, worst):
    return {"by": by, "value": value, "totals": totals(requests, readable, share, 0.8), "total_usd": bill, "lost_usd": lost, "worst_reason": worst}


def page(days=7):
    until = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    since = until - timedelta(days=days)
    stamp = lambda at: at.isoformat().replace("+00:00", "Z")
    hours = []
    for n in range(days * 24):
        at = since + timedelta(hours=n)
        busy = (1.0 if 8 <= at.hour <= 19 else 0.16) * (0.25 if at.weekday() > 4 else 1) * (0.8 + (n * 7919 % 41) / 100)
        share = 0.9 - (0.28 if at.hour in (13, 14) else 0.05) - (n * 31 % 7) / 90
        sums = totals(int(58 * busy), int(2_450_000 * busy), share, 0.8)
        hours.append({"start": stamp(at), "totals": sums, "total_usd": round(3.62 * busy, 4), "lost_usd": round(3.62 * busy * (1 - share) * 0.55, 4)})
    losses = [
        ("system_changed", 212, 24_300_000, 40.97), ("lifetime_lapsed", 96, 9_800_000, 21.44), ("tools_changed", 64, 6_100_000, 12.02),
        ("history_edited_by_client", 31, 3_400_000, 6.18), ("look_back_missed", 12, 900_000, 1.71), ("no_breakpoint", 40, 520_000, 0.88),
        ("provider_missed", 9, 240_000, 0.41), ("below_minimum", 118, 74_000, 0.06), ("first_request", 143, 0, None),
    ]
    causes = [
        ("system_changed", "claude_code", 'Line 14 of the system prompt of stack claude_code holds a date and changed in 212 requests: $40.97 this week.', "Put it into the first user message, or behind the last breakpoint.", 212, 40.97),
        ("lifetime_lapsed", "codex", "In 96 requests of stack codex more than 5 minutes had passed since the one before: $21.44 this week.", "A lifetime of an hour would have saved $14.20 of it.", 96, 21.44),
        ("tools_changed", "support_bot", "The tool list of stack support_bot came in another order in 64 requests: $12.02 this week.", "Sort the tools by name before each request.", 64, 12.02),
    ]
    lines = [("claude_code", "9b1f04aa3c5d7e21", 14, ["date"], 212, 40.97), ("support_bot", "51c2d9e08f7a6b34", 3, ["time", "uuid"], 58, 4.12), (HOSTILE, "0d4e5f6a7b8c9d10", 41, ["listing", "number"], 22, None)]
    return {
        "generated_at": stamp(until), "since": stamp(since), "until": stamp(until), "scope": None,
        "totals": {"requests": 5_120, "missed_requests": 571, "readable_tokens": 214_000_000, "read_tokens": 168_700_000, "written_tokens": 49_900_000, "rewritten_tokens": 38_100_000, "uncached_tokens": 1_080_000, "output_tokens": 3_280_000},
        "bill": {"read_usd": 50.61, "write_usd": 187.13, "input_usd": 3.24, "output_usd": 49.2, "total_usd": 290.18, "without_headroom_usd": 361.9, "perfect_cache_usd": 206.51, "saved_usd": 71.72, "unpriced_requests": 38, "subscription_requests": 410},
        "losses": [{"reason": reason, "requests": requests, "tokens": tokens, "lost_usd": usd} for reason, requests, tokens, usd in losses],
        "causes": [{"reason": reason, "stack": stack, "what": what, "advice": advice, "requests": requests, "lost_usd": usd} for reason, stack, what, advice, requests, usd in causes],
        "what_if": [
            {"name": "one_hour_lifetime", "about": "Writes at twice the price of input, and no lapse of less than an hour.", "saved_usd": 14.2, "requests": 81},
            {"name": "breakpoints", "about": "On system prompt, tools and the last two turns, for clients that set none.", "saved_usd": 0.83, "requests": 36},
            {"name": "keep_alive", "about": "One small request four and a half minutes after the last, at most twelve times.", "saved_usd": -3.07, "requests": 64},
        ],
        "hours": hours,
        "groups": [
            group("model", "claude-opus-5-5", 1_940, 118_000_000, 0.74, 214.4, 68.2, "system_changed"),
            group("model", "claude-sonnet-5-5", 1_610, 61_000_000, 0.83, 58.9, 12.6, "lifetime_lapsed"),
            group("model", "gpt-5.2-codex", 1_020, 29_000_000, 0.91, 14.1, 2.4, "lifetime_lapsed"),
            group("model", "gemini-3-pro", 512, 6_000_000, 0.86, 2.8, 0.5, "provider_missed"),
            group("model", "acme-9", 38, 200_000, 0.2, None, None, "below_minimum"),
            *(group("project", name, 1_200 // n, 60_000_000 // n, 0.9 - n / 25, 90.0 / n, 22.0 / n, "system_changed") for n, name in enumerate(["checkout", "search", "billing", "ledger", HOSTILE, "mobile", "web", "infra", "docs", "labs", "data"], 1)),
            group("stack", "claude_code", 2_310, 141_000_000, 0.76, 201.3, 59.9, "system_changed"),
            group("stack", "wrap_codex", 1_330, 41_000_000, 0.88, 31.2, 6.9, "lifetime_lapsed"),
            group("stack", "support_bot", 940, 26_000_000, 0.71, 48.1, 16.1, "tools_changed"),
            group("stack", "opencode", 540, 6_000_000, 0.9, 9.6, 0.8, "history_edited_by_client"),
            group("tenant", "payments", 3_100, 131_000_000, 0.81, 180.0, 49.0, "system_changed"),
        ],
        "volatile_lines": [{"stack": stack, "prompt": prompt, "line": line, "classes": classes, "requests": requests, "lost_usd": usd} for stack, prompt, line, classes, requests, usd in lines],
    }


def empty():
    some = page(1)
    for name in ["losses", "causes", "what_if", "hours", "groups", "volatile_lines"]:
        some[name] = []
    some["totals"] = {name: 0 for name in some["totals"]}
    some["bill"] = {name: 0 for name in some["bill"]}
    return some


if __name__ == "__main__":
    print(json.dumps(page()))
