"""How long from asking to running: a recorded run, beside a bare dramatiq message.

Both go to the same idle worker process through the same Valkey. The run has its spec locked, its
row and message written in one transaction, is relayed, and its start is the ledger's own time of
the claim; the bare message is enqueued at once and says when its actor began. Seconds, p50 and p99;
an idle consumer looks each 200 ms at the latest, which is the middle of both.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from runtimes.dispatch import make_broker
from tests.kit.suite import Suite, suite, working
from topology.stores import valkey_address

COUNT = 60
PAUSE_S = 0.15
KEY = "bench:started"


def recorded(place: Suite) -> list[float]:
    """Return the seconds from the asking to the claim of ``COUNT`` runs, one after the other."""
    delays: list[float] = []
    for _ in range(COUNT):
        asked = time.time()
        run = place.submit(seconds=0)
        ended = place.ended(run.run_id, within_s=30)
        assert ended.started_at is not None
        delays.append(ended.started_at.timestamp() - asked)
        time.sleep(PAUSE_S)
    return delays


def bare(broker: RedisBroker) -> list[float]:
    """Return the seconds from the enqueueing to the first line of as many bare actors."""
    delays: list[float] = []
    for _ in range(COUNT):
        message: dramatiq.Message[Any] = dramatiq.Message(
            queue_name="interactive", actor_name="bare", args=(KEY,), kwargs={}, options={}
        )
        asked = time.time()
        broker.enqueue(message)
        answer = broker.client.blpop([KEY], timeout=30)
        assert answer is not None
        delays.append(float(answer[1]) - asked)
        time.sleep(PAUSE_S)
    return delays


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def main() -> None:
    """Print dispatch-to-start beside the bare message."""
    with tempfile.TemporaryDirectory() as folder, suite(Path(folder)) as place, working(place):
        broker = make_broker(valkey_address(place.topology, place.home))
        bare(broker)
        ours, peer = recorded(place), bare(broker)
        broker.client.close()
    figure = {
        "name": "dispatch to start, recorded run / bare dramatiq message (p50, s)",
        "ours": round(statistics.median(ours), 4),
        "peer": round(statistics.median(peer), 4),
        "ratio": round(statistics.median(ours) / statistics.median(peer), 2),
        "ours_p99": round(p99(ours), 4),
        "peer_p99": round(p99(peer), 4),
        "count": COUNT,
    }
    print(json.dumps(figure))


if __name__ == "__main__":
    main()
