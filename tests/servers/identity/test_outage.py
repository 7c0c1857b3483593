"""With the ledger gone nobody is let in, and everybody is told to come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kit.identity import FORM, Scene, scene_of
from tests.kit.identity_store import MemoryStore
from topology.errors import StoreUnreachableError


class Unreachable(MemoryStore):
    """A store that answers until it is cut off."""

    cut = False

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name != "cut" and self.cut:
            raise StoreUnreachableError("PostgreSQL does not answer.", store="postgres")
        return super().__getattribute__(name)


@pytest.fixture
def cut_off(tmp_path: Path) -> Scene:
    store = Unreachable()
    scene = scene_of(tmp_path, store)
    store.cut = True
    return scene


@pytest.mark.parametrize("endpoint", ["token", "revoke", "register"])
async def test_machines_are_told_503(cut_off: Scene, endpoint: str) -> None:
    form = b"grant_type=refresh_token&refresh_token=x&client_id=alphaswarm-cli&token=asw_rt_x"
    answer = (
        await cut_off.browser.post("/as/register", json={"redirect_uris": ["http://127.0.0.1/"]})
        if endpoint == "register"
        else await cut_off.browser.post(f"/as/{endpoint}", content=form, headers=FORM)
    )
    assert answer.status_code == 503
    assert answer.json()["error"] == "temporarily_unavailable"


async def test_people_are_told_on_a_page(cut_off: Scene) -> None:
    cut_off.browser.cookies.set("x", "y")
    answer = await cut_off.authorize(client_id="unknown")
    assert answer.status_code == 503
    assert "Try again" in answer.text
    assert answer.headers["content-type"].startswith("text/html")


async def test_public_documents_need_no_store(cut_off: Scene) -> None:
    for path in ("/.well-known/oauth-authorization-server/as", "/as/jwks.json", "/as/style.css"):
        assert (await cut_off.browser.get(path)).status_code == 200


async def test_an_event_that_cannot_be_recorded_issues_nothing(scene: Scene) -> None:
    code = await scene.code()
    scene.audit.cut = True
    answer = await scene.redeem(code)
    assert answer.status_code == 503
    assert "access_token" not in answer.text
