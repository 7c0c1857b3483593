"""The console as a client: at home here, and therefore bound to its one address."""

from __future__ import annotations

from tests.kit.identity import Scene, sent_back

CONSOLE = {
    "client_id": "alphaswarm-console",
    "redirect_uri": "http://localhost:8000/console/callback",
}


async def test_the_console_asks_nobody_whether_it_may_show_what_they_may_see(scene: Scene) -> None:
    await scene.sign_in()
    answer = await scene.authorize(**CONSOLE)
    assert "code" in sent_back(answer)
    silent = await scene.authorize(**CONSOLE, prompt="none")
    assert "code" in sent_back(silent)


async def test_the_console_asks_before_it_may_halt(scene: Scene) -> None:
    scene.enrol()
    await scene.sign_in()
    await scene.second()
    asked = await scene.authorize(
        **CONSOLE, resource=scene.faces["control"], scope="control:halt control:read"
    )
    assert asked.status_code == 200
    assert "Allow AlphaSwarm console?" in asked.text


async def test_another_port_is_not_the_console(scene: Scene) -> None:
    await scene.sign_in()
    for elsewhere in (
        "http://localhost:9/console/callback",
        "http://127.0.0.1:8000/console/callback",
    ):
        answer = await scene.authorize(**{**CONSOLE, "redirect_uri": elsewhere})
        assert answer.status_code == 400, elsewhere
        assert "location" not in answer.headers
