"""Alpha158: bar shapes, prices, and 29 families over five windows (Qlib's `Alpha158DL`)."""

from __future__ import annotations

WINDOWS = (5, 10, 20, 30, 60)
LABELS = {"LABEL0": "Ref($close, -2)/Ref($close, -1) - 1"}
"""The return from the next close to the one after it: two rows ahead."""

_BARS = {
    "KMID": "($close-$open)/$open",
    "KLEN": "($high-$low)/$open",
    "KMID2": "($close-$open)/($high-$low+1e-12)",
    "KUP": "($high-Greater($open, $close))/$open",
    "KUP2": "($high-Greater($open, $close))/($high-$low+1e-12)",
    "KLOW": "(Less($open, $close)-$low)/$open",
    "KLOW2": "(Less($open, $close)-$low)/($high-$low+1e-12)",
    "KSFT": "(2*$close-$high-$low)/$open",
    "KSFT2": "(2*$close-$high-$low)/($high-$low+1e-12)",
    "OPEN0": "$open/$close",
    "HIGH0": "$high/$close",
    "LOW0": "$low/$close",
    "VWAP0": "$vwap/$close",
}
_UP, _DOWN = "Greater($close-Ref($close, 1), 0)", "Greater(Ref($close, 1)-$close, 0)"
_MORE, _LESS = "Greater($volume-Ref($volume, 1), 0)", "Greater(Ref($volume, 1)-$volume, 0)"
_MOVES = "(Sum(Abs($close-Ref($close, 1)), N)+1e-12)"
_FLOWS = "(Sum(Abs($volume-Ref($volume, 1)), N)+1e-12)"
_TRADED = "Abs($close/Ref($close, 1)-1)*$volume"
_FAMILIES = {
    "ROC": "Ref($close, N)/$close",
    "MA": "Mean($close, N)/$close",
    "STD": "Std($close, N)/$close",
    "BETA": "Slope($close, N)/$close",
    "RSQR": "Rsquare($close, N)",
    "RESI": "Resi($close, N)/$close",
    "MAX": "Max($high, N)/$close",
    "MIN": "Min($low, N)/$close",
    "QTLU": "Quantile($close, N, 0.8)/$close",
    "QTLD": "Quantile($close, N, 0.2)/$close",
    "RANK": "Rank($close, N)",
    "RSV": "($close-Min($low, N))/(Max($high, N)-Min($low, N)+1e-12)",
    "IMAX": "IdxMax($high, N)/N",
    "IMIN": "IdxMin($low, N)/N",
    "IMXD": "(IdxMax($high, N)-IdxMin($low, N))/N",
    "CORR": "Corr($close, Log($volume+1), N)",
    "CORD": "Corr($close/Ref($close,1), Log($volume/Ref($volume, 1)+1), N)",
    "CNTP": "Mean($close>Ref($close, 1), N)",
    "CNTN": "Mean($close<Ref($close, 1), N)",
    "CNTD": "Mean($close>Ref($close, 1), N)-Mean($close<Ref($close, 1), N)",
    "SUMP": f"Sum({_UP}, N)/{_MOVES}",
    "SUMN": f"Sum({_DOWN}, N)/{_MOVES}",
    "SUMD": f"(Sum({_UP}, N)-Sum({_DOWN}, N))/{_MOVES}",
    "VMA": "Mean($volume, N)/($volume+1e-12)",
    "VSTD": "Std($volume, N)/($volume+1e-12)",
    "WVMA": f"Std({_TRADED}, N)/(Mean({_TRADED}, N)+1e-12)",
    "VSUMP": f"Sum({_MORE}, N)/{_FLOWS}",
    "VSUMN": f"Sum({_LESS}, N)/{_FLOWS}",
    "VSUMD": f"(Sum({_MORE}, N)-Sum({_LESS}, N))/{_FLOWS}",
}


def members() -> tuple[dict[str, str], dict[str, str]]:
    """Return the 158 features in Qlib's order, and the label."""
    rolling = {
        f"{name}{window}": text.replace("N)", f"{window})").replace("N, 0", f"{window}, 0")
        for name, text in _FAMILIES.items()
        for window in WINDOWS
    }
    for name in ("IMAX", "IMIN", "IMXD"):
        for window in WINDOWS:
            rolling[f"{name}{window}"] = rolling[f"{name}{window}"].replace("/N", f"/{window}")
    return {**_BARS, **rolling}, dict(LABELS)
