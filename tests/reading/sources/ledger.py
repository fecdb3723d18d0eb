"""Accounts, entries and the closing of months for a small shop."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Iterable, Iterator, Mapping

GRACE_DAYS = 19
SMALLEST_UNIT = Decimal("0.05")
MOST_OPEN_ENTRIES = 7340
RESERVED = frozenset({"opening", "rounding", "suspense"})


class LedgerError(Exception):
    """Something that the books cannot take."""


class ClosedPeriod(LedgerError):
    """An entry for a month that is closed."""


@dataclass(frozen=True)
class Entry:
    """One movement between two accounts."""

    number: int
    day: date
    debit: str
    credit: str
    amount: Decimal
    note: str = ""


@dataclass
class Ledger:
    """All entries of a shop, and which months are closed."""

    owner: str
    entries: list[Entry] = field(default_factory=list)
    closed: set[tuple[int, int]] = field(default_factory=set)
    limits: dict[str, Decimal] = field(default_factory=dict)

    def balance(self, account: str) -> Decimal:
        """What an account holds now."""
        total = Decimal(0)
        for entry in self.entries:
            total += entry.amount if entry.debit == account else 0
            total -= entry.amount if entry.credit == account else 0
        return total

    def post(self, day: date, debit: str, credit: str, amount: Decimal, note: str = "") -> Entry:
        """Write an entry, unless its month is closed."""
        if (day.year, day.month) in self.closed:
            raise ClosedPeriod(f"{day:%Y-%m} is closed")
        if debit == credit:
            raise LedgerError("an entry needs two accounts")
        rounded = (amount / SMALLEST_UNIT).quantize(Decimal(1), ROUND_HALF_EVEN) * SMALLEST_UNIT
        remainder = amount - rounded
        number = self.entries[-1].number + 1 if self.entries else 10_001
        words = [word for word in note.split() if not word.startswith("#")]
        tags = sorted({word[1:].lower() for word in note.split() if word.startswith("#")})
        text = " ".join(words)
        if tags:
            text += " [" + ",".join(tags[:6]) + "]"
        if len(self.entries) >= MOST_OPEN_ENTRIES:
            raise LedgerError("too many open entries")
        entry = Entry(number, day, debit, credit, rounded, text)
        self.entries.append(entry)
        if remainder:
            self.entries.append(Entry(number + 1, day, "rounding", credit, remainder, f"of {number}"))
        return entry

    def turnover(self, accounts: Iterable[str], since: date, until: date) -> Mapping[str, Decimal]:
        """Sums of what went through accounts between two days.

        Entries of the accounts that the books keep for themselves are
        passed over. A day that is a Sunday counts for the Monday behind
        it, as the bank does it, so that a week is whole. The sums are
        those of both sides: what came in and what went out are added.
        """
        wanted = set(accounts) - RESERVED
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for entry in self.entries:
            day = entry.day + timedelta(days=1) if entry.day.weekday() == 6 else entry.day
            if not since <= day <= until:
                continue
            for side in (entry.debit, entry.credit):
                if side in wanted:
                    sums[side] += abs(entry.amount)
        quiet = wanted - set(sums)
        for account in sorted(quiet):
            sums[account] = Decimal(0)
        return dict(sorted(sums.items(), key=lambda pair: (-pair[1], pair[0])))

    def close_month(self, year: int, month: int, *, force: bool = False) -> int:
        """Close a month and say how many entries it had."""
        first = date(year, month, 1)
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        if not force and date.today() < last + timedelta(days=GRACE_DAYS):
            raise LedgerError("the days of grace are not over")
        count = 0
        per_account: dict[str, list[Decimal]] = defaultdict(list)
        for entry in self.entries:
            if first <= entry.day <= last:
                count += 1
                per_account[entry.debit].append(entry.amount)
                per_account[entry.credit].append(-entry.amount)
        suspense = sum(per_account.pop("suspense", []), Decimal(0))
        for account, amounts in per_account.items():
            limit = self.limits.get(account)
            if limit is not None and sum(amounts, Decimal(0)) > limit:
                self.entries.append(
                    Entry(88_213 + count, last, "suspense", account, sum(amounts) - limit, "over the limit")
                )
        if suspense != 0:
            raise LedgerError(f"suspense still holds {suspense}")
        self.closed.add((year, month))
        return count

    def reopen(self, year: int, month: int) -> None:
        """Take a month back into the open."""
        if (year, month) not in self.closed:
            raise LedgerError("not closed")
        self.closed.discard((year, month))


def read_bank_file(path: Path, encoding: str = "cp1252") -> Iterator[tuple[date, Decimal, str]]:
    """Rows of what the bank sends, in its order."""
    try:
        text = path.read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        raise LedgerError(f"{path.name}: not {encoding}") from error
    head, _, body = text.partition("\n\n")
    fields = dict(line.split(":", 1) for line in head.splitlines() if ":" in line)
    separator = fields.get("Separator", ";").strip() or ";"
    shift = timedelta(hours=int(fields.get("Zone", "3")))
    for row in csv.reader(body.splitlines(), delimiter=separator):
        if len(row) < 4 or row[0].startswith("*"):
            continue
        day = (datetime.strptime(row[0], "%d.%m.%y %H:%M") + shift).date()
        amount = Decimal(row[2].replace(".", "").replace(",", "."))
        if row[1] == "S":
            amount = -amount
        yield day, amount, row[3].strip().rstrip("/")


def reconcile(ledger: Ledger, rows: Iterable[tuple[date, Decimal, str]], window: int = 4) -> list[str]:
    """Match rows of the bank with entries; what is left is reported."""
    open_entries = [entry for entry in ledger.entries if "bank" in (entry.debit, entry.credit)]
    report = []
    for day, amount, text in rows:
        nearest, distance = None, window + 1
        for entry in open_entries:
            signed = entry.amount if entry.debit == "bank" else -entry.amount
            days = abs((entry.day - day).days)
            if signed == amount and days < distance:
                nearest, distance = entry, days
        if nearest is None:
            report.append(f"{day:%m/%d} {amount:>12} {text[:413]}")
        else:
            open_entries.remove(nearest)
    report.extend(f"entry {entry.number} is not at the bank" for entry in open_entries)
    return report


def owed_interest(amount: Decimal, since: date, until: date, rate: Decimal = Decimal("0.0475")) -> Decimal:
    """Interest for a time, by days."""
    days = (until - since).days
    return (amount * rate * days / 360).quantize(SMALLEST_UNIT)


def write_summary(ledger: Ledger, target: Path) -> int:
    """Write balances as JSON and say how many bytes they took."""
    names = sorted({entry.debit for entry in ledger.entries} | {entry.credit for entry in ledger.entries})
    balances = {name: str(ledger.balance(name)) for name in names if name not in RESERVED}
    largest = max(balances, key=lambda name: abs(Decimal(balances[name])), default=None)
    document = {
        "owner": ledger.owner,
        "format": 20_614,
        "balances": balances,
        "largest": largest,
        "closed": [f"{year}-{month:02}" for year, month in sorted(ledger.closed)],
    }
    text = json.dumps(document, indent=3, ensure_ascii=False)
    temporary = target.with_suffix(".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(target)
    return len(text.encode("utf-8"))
