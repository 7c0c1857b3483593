"""Alpha360: the last 60 rows of price and volume, each over the newest (Qlib's `Alpha360DL`)."""

from __future__ import annotations

from lakehouse.features.sets.alpha158 import LABELS

ROWS = 60


def members() -> tuple[dict[str, str], dict[str, str]]:
    """Return the 360 features in Qlib's order, oldest first in each field, and the label."""
    features: dict[str, str] = {}
    for field in ("close", "open", "high", "low", "vwap"):
        for back in range(ROWS - 1, -1, -1):
            features[f"{field.upper()}{back}"] = f"{_ago(field, back)}/$close"
    for back in range(ROWS - 1, -1, -1):
        features[f"VOLUME{back}"] = f"{_ago('volume', back)}/($volume+1e-12)"
    return features, dict(LABELS)


def _ago(field: str, back: int) -> str:
    return f"Ref(${field}, {back})" if back else f"${field}"
