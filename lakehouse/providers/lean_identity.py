"""Who a Lean ticker was on a day: map files keep one identity through renames.

A map file is named by the permanent ticker of one security. Its first row says from when there is
data, each later row until when (inclusive) the security had that ticker; the last row of one that
still trades lies in 2050. Bars lie in the file of the ticker that was valid on their day.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lakehouse.errors import UnreadableFileError
from lakehouse.providers import archives, paths
from lakehouse.providers.lean_layout import MAPS
from topology.errors import MissingError

OPEN = dt.date(2050, 1, 1)
"""A row dated later than this has not ended."""
A_DAY = dt.timedelta(days=1)
FIRST, LAST = dt.date(1, 1, 1), dt.date(9999, 12, 31)
EXCHANGES = {
    "A": "AMEX",
    "B": "NASDAQBX",
    "C": "NSX",
    "J": "EDGA",
    "K": "EDGX",
    "M": "CSE",
    "N": "NYSE",
    "P": "ARCA",
    "Q": "NASDAQ",
    "T": "NASDAQ",
    "V": "IEX",
    "W": "CBOE",
    "X": "NASDAQPSX",
    "Y": "BATSY",
    "Z": "BATS",
}
"""The letter of a map row's primary exchange, as we write it in a ``vt_symbol``."""
_NEWEST = re.compile(r"_(\d{8})\.zip$")


@dataclass(frozen=True, slots=True)
class Claim:
    """``vt_symbol`` traded as ``ticker`` from ``first`` to ``last``, both inclusive."""

    vt_symbol: str
    ticker: str
    exchange: str
    first: dt.date
    last: dt.date


@dataclass(frozen=True, slots=True)
class Identities:
    """Every claim of a market's map files, by ticker and by date; claims on one never overlap.

    ``permanent`` has the symbol of each map file by its name in capitals.
    """

    market: str
    claims: Mapping[str, Sequence[Claim]]
    permanent: Mapping[str, str]

    def of(self, ticker: str) -> list[Claim]:
        """Return who had ``ticker`` when; on days that no map file claims it is the market's own.

        Such a row, say of an earlier company, keeps the symbol ``TICKER.MARKET``.
        """
        whole: list[Claim] = []
        since = FIRST
        for claim in self.claims.get(ticker, ()):
            if claim.first > since:
                whole.append(self._own(ticker, since, claim.first - A_DAY))
            whole.append(claim)
            since = LAST if claim.last == LAST else claim.last + A_DAY
        if since < LAST:
            whole.append(self._own(ticker, since, LAST))
        return whole

    def _own(self, ticker: str, first: dt.date, last: dt.date) -> Claim:
        market = self.market.upper()
        return Claim(f"{ticker}.{market}", ticker, market, first, last)


def identities(root: Path, security: str, market: str, allowed: Sequence[Path]) -> Identities:
    """Return what the map files of a market say; one without any has no renames."""
    claims: list[Claim] = []
    permanent: dict[str, str] = {}
    folder = root / security / market / MAPS
    for name, text in texts(folder, MAPS, allowed):
        found = _claims(name, text, market)
        claims += found
        permanent |= {name.upper(): claim.vt_symbol for claim in found}
    return Identities(market, _apart(claims), permanent)


def texts(folder: Path, kind: str, allowed: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yield name and text of each CSV in a folder of Lean's, or in its newest dated zip."""
    if not folder.is_dir():
        return
    try:
        files = paths.below(folder, "*", allowed)
    except MissingError:
        return
    loose = [file for file in files if file.place.suffix == ".csv"]
    dated = sorted(file.place.name for file in files if _NEWEST.search(file.place.name))
    sources: Sequence[archives.Source] = loose
    if not loose and dated:
        (newest,) = [file for file in files if file.place.name == dated[-1]]
        sources = [m for m in archives.members(newest) if m.name.endswith(".csv")]
    for source in sources:
        with archives.unpacked(source) as stream:
            data = stream.read()
        try:
            yield Path(source.name).stem, data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise wrong(source.name, 1, kind) from error


def day(text: str) -> dt.date:
    """Return the date that Lean writes as YYYYMMDD; anything else raises ``ValueError``."""
    if not text.strip().isdigit():
        raise ValueError(text)
    return dt.date.fromisoformat(text.strip())


def wrong(name: str, line: int, kind: str) -> UnreadableFileError:
    """Return the error of a line that Lean would not write."""
    return UnreadableFileError(
        f"Line {line} of {name[:128]!r} is not as Lean writes {kind}.",
        hint="Download the folder again; rows are dates as YYYYMMDD and values, without a header.",
        file=name[:256],
        line=line,
    )


def _claims(name: str, text: str, market: str) -> list[Claim]:
    rows = []
    for line, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        if not any(value.strip() for value in row):
            continue
        try:
            ticker = row[1].strip().upper()
            rows.append((day(row[0]), ticker, row[2].strip().upper() if len(row) > 2 else ""))
        except (ValueError, IndexError) as error:
            raise wrong(f"{name}.csv", line, "map files") from error
    rows.sort(key=lambda row: row[0])
    named = [EXCHANGES.get(code, "") for _, _, code in rows]
    exchange = next((known for known in reversed(named) if known), market.upper())
    claims: list[Claim] = []
    for (until, ticker, _), listed in zip(rows, named, strict=True):
        first = claims[-1].last + A_DAY if claims else rows[0][0]
        last = LAST if until > OPEN else until
        claim = Claim(f"{name.upper()}.{exchange}", ticker, listed or exchange, first, last)
        if claims and (ticker, claim.exchange) == (claims[-1].ticker, claims[-1].exchange):
            claims[-1] = replace(claims[-1], last=last)
        else:
            claims.append(claim)
    return claims


def _apart(claims: Sequence[Claim]) -> dict[str, list[Claim]]:
    """Return the claims by ticker; a later security ends an earlier one's claim on it."""
    ordered = sorted(claims, key=lambda claim: (claim.ticker, claim.first, claim.vt_symbol))
    apart: dict[str, list[Claim]] = {}
    for place, claim in enumerate(ordered):
        last = claim.last
        later = ordered[place + 1] if place + 1 < len(ordered) else None
        if later is not None and later.ticker == claim.ticker and later.first <= last:
            last = later.first - A_DAY
        if claim.first <= last:
            apart.setdefault(claim.ticker, []).append(replace(claim, last=last))
    return apart
