"""What a client finds before it signs in (design list: discovery)."""

from __future__ import annotations

import pytest

from tests.kit.identity import Scene

ADDRESSES = ["/.well-known/oauth-authorization-server/as", "/as/.well-known/openid-configuration"]


@pytest.mark.parametrize("address", ADDRESSES)
async def test_the_metadata_names_the_issuer_and_its_endpoints(scene: Scene, address: str) -> None:
    answer = await scene.browser.get(address)
    document = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert document["issuer"] == scene.issuer
    endpoints = [value for name, value in document.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(endpoints) == 6
    assert all(endpoint.startswith(scene.issuer + "/") for endpoint in endpoints)
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["client_id_metadata_document_supported"] is False
    assert document["token_endpoint_auth_methods_supported"] == ["private_key_jwt", "none"]
    assert document["token_endpoint_auth_signing_alg_values_supported"] == ["ES256"]
    assert [name.rpartition(":")[2] for name in document["grant_types_supported"]] == [
        "authorization_code",
        "refresh_token",
        "device_code",
        "token-exchange",
        "client_credentials",
    ]
    assert "scopes_supported" not in document


async def test_the_published_keys_are_public_and_may_be_cached(scene: Scene) -> None:
    answer = await scene.browser.get("/as/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    for key in answer.json()["keys"]:
        assert {"kid", "use", "alg"} <= set(key)
        assert not set(key) & {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


@pytest.mark.parametrize("path", [*ADDRESSES, "/as/jwks.json"])
async def test_public_documents_are_readable_from_any_origin(scene: Scene, path: str) -> None:
    answer = await scene.browser.get(path, headers={"origin": "https://inspector.test"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("path", ["/as/token", "/as/register", "/as/revoke"])
async def test_browsers_may_post_to_the_machine_endpoints(scene: Scene, path: str) -> None:
    asked = {
        "origin": "https://inspector.test",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,mcp-protocol-version",
    }
    preflight = await scene.browser.options(path, headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    answer = await scene.browser.post(path, headers={"origin": "https://inspector.test"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/as/authorize", "/as/login"])
async def test_pages_are_not_readable_from_any_other_origin(scene: Scene, path: str) -> None:
    answer = await scene.browser.get(path, headers={"origin": "https://evil.test"})
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"


async def test_the_endpoints_have_one_method_each(scene: Scene) -> None:
    for name in ("token", "revoke", "register"):
        assert (await scene.browser.get(f"/as/{name}")).status_code == 405
    for name in ("jwks.json", "style.css"):
        assert (await scene.browser.post(f"/as/{name}")).status_code == 405
