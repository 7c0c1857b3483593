"""Every line of the test lists of the identity design, and every rule of its standards, has a test.

The tables map a line, or a section of a standard, to the tests that hold it; a name that is not a
test any more fails here. Paths are below ``tests/``.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
ID, GATE, HOSTS = "servers/identity", "servers/test_gate.py", "servers/test_hosts.py"
AUTHORIZE, TOKEN = f"{ID}/test_authorize.py", f"{ID}/test_token.py"
PAGES, REGISTER = f"{ID}/test_pages.py", f"{ID}/test_register.py"
DISCOVERY, DOCUMENTS = f"{ID}/test_discovery.py", f"{ID}/test_documents.py"
EXCHANGE, DEVICE = f"{ID}/test_exchange.py", f"{ID}/test_device.py"
TOKENS, STEP_UP = "auth/test_tokens.py", "servers/test_step_up.py"
FACTORS, BOUNDS = f"{ID}/test_step_up.py", "servers/test_boundaries.py"
EXTERNAL, MAP, SDKS = f"{ID}/test_external.py", "topology/test_trust.py", "conformance/test_sdks.py"
REQUIRED = "test_every_scenario_of_authorization_that_2026_07_28_requires_passes"
CELL = "runtimes/sandbox/test_cell.py"

LIST: dict[int | str, tuple[str, ...]] = {
    # Discovery
    1: (f"{GATE}::test_without_a_token_the_challenge_names_no_error",),
    2: (f"{HOSTS}::test_a_metadata_document_speaks_of_one_server",),
    3: (f"{HOSTS}::test_a_metadata_document_speaks_of_one_server",),
    4: (f"{HOSTS}::test_a_metadata_document_speaks_of_one_server",),
    5: (f"{DISCOVERY}::test_the_metadata_names_the_issuer_and_its_endpoints",),
    6: (f"{DISCOVERY}::test_the_metadata_names_the_issuer_and_its_endpoints",),
    7: (f"{DISCOVERY}::test_the_published_keys_are_public_and_may_be_cached",),
    8: (
        f"{DISCOVERY}::test_public_documents_are_readable_from_any_origin",
        f"{DISCOVERY}::test_browsers_may_post_to_the_machine_endpoints",
        f"{DISCOVERY}::test_pages_are_not_readable_from_any_other_origin",
    ),
    # Authorization endpoint
    9: (f"{AUTHORIZE}::test_a_person_signs_in_allows_and_the_client_gets_a_token",),
    10: (f"{AUTHORIZE}::test_a_refusal_goes_back_to_the_client",),
    11: (f"{AUTHORIZE}::test_a_refusal_goes_back_to_the_client",),
    12: (f"{AUTHORIZE}::test_nobody_is_sent_to_an_address_that_is_not_the_clients",),
    13: (
        f"{AUTHORIZE}::test_a_loopback_client_may_listen_on_any_port",
        f"{AUTHORIZE}::test_localhost_and_127_0_0_1_are_not_interchangeable",
    ),
    14: (
        f"{AUTHORIZE}::test_localhost_and_127_0_0_1_are_not_interchangeable",
        f"{AUTHORIZE}::test_nobody_is_sent_to_an_address_that_is_not_the_clients",
    ),
    15: (
        f"{AUTHORIZE}::test_a_refusal_goes_back_to_the_client",
        f"{AUTHORIZE}::test_a_resource_with_a_fragment_is_refused",
    ),
    16: (
        f"{AUTHORIZE}::test_two_resources_are_one_too_many",
        f"{AUTHORIZE}::test_a_parameter_that_comes_twice_is_refused",
        f"{AUTHORIZE}::test_of_two_states_none_is_given_back",
        f"{AUTHORIZE}::test_two_clients_or_addresses_lead_nowhere",
    ),
    17: (f"{AUTHORIZE}::test_a_refusal_goes_back_to_the_client",),
    18: (
        f"{AUTHORIZE}::test_a_refusal_goes_back_to_the_client",
        f"{TOKEN}::test_a_code_is_bound_to_its_request",
    ),
    19: (f"{AUTHORIZE}::test_saying_no_is_access_denied",),
    20: (
        f"{PAGES}::test_consent_without_the_token_of_the_session_is_refused",
        f"{PAGES}::test_a_form_from_another_origin_is_refused",
    ),
    21: (
        f"{AUTHORIZE}::test_a_refusal_goes_back_to_the_client",
        f"{AUTHORIZE}::test_a_silent_request_works_after_consent_and_only_then",
    ),
    22: (f"{PAGES}::test_a_sign_in_leads_nowhere_but_to_our_own_endpoint",),
    23: (
        f"{PAGES}::test_a_session_gets_a_new_secret_at_every_sign_in",
        f"{FACTORS}::test_the_session_gets_a_new_secret_and_the_old_one_is_dead",
        f"{PAGES}::test_the_cookie_is_for_this_issuer_and_no_script",
        f"{PAGES}::test_the_cookie_travels_by_https_alone_where_the_issuer_does",
    ),
    # Token endpoint
    24: (f"{TOKEN}::test_a_wrong_or_missing_verifier_leaves_the_code_usable",),
    25: (
        f"{TOKEN}::test_a_code_twice_ends_its_family",
        f"{TOKEN}::test_of_eight_parallel_redemptions_one_wins_and_the_family_dies",
    ),
    26: (
        f"{TOKEN}::test_a_code_is_bound_to_its_request",
        f"{TOKEN}::test_a_code_of_one_client_is_nothing_in_the_hands_of_another",
    ),
    27: (f"{TOKEN}::test_a_code_lives_for_a_minute",),
    28: (
        f"{TOKEN}::test_refresh_rotates_and_a_second_use_ends_the_family",
        f"{TOKEN}::test_of_eight_parallel_refreshes_one_wins_and_the_family_dies",
    ),
    29: (f"{TOKEN}::test_refresh_can_narrow_but_never_widen",),
    30: (f"{TOKEN}::test_refresh_keeps_the_sign_in_and_drops_step_up_scopes",),
    31: (
        f"{TOKEN}::test_only_a_form_is_a_token_request",
        f"{DISCOVERY}::test_the_endpoints_have_one_method_each",
    ),
    32: (
        f"{AUTHORIZE}::test_a_person_signs_in_allows_and_the_client_gets_a_token",
        f"{TOKEN}::test_only_a_form_is_a_token_request",
    ),
    33: (f"{TOKEN}::test_rotation_never_passes_the_absolute_lifetime",),
    # Registration
    34: (
        f"{REGISTER}::test_a_client_is_public_and_its_metadata_is_echoed",
        f"{REGISTER}::test_nobody_gets_a_secret",
    ),
    35: (f"{REGISTER}::test_any_other_redirect_is_refused",),
    36: (f"{REGISTER}::test_metadata_of_the_wrong_kind_is_refused",),
    37: (f"{DOCUMENTS}::test_a_client_is_read_once_and_signs_in",),
    # Resource server
    38: (
        f"{GATE}::test_a_token_opens_its_own_server_and_no_other",
        "servers/test_everything.py::test_the_audience_matrix_of_the_real_suite",
    ),
    39: (
        f"{TOKENS}::test_alg_none_is_refused",
        f"{GATE}::test_a_token_without_signature_is_invalid",
    ),
    40: (f"{TOKENS}::test_a_signature_by_hmac_with_the_public_key_is_refused",),
    41: (
        "auth/test_keys.py::test_an_unknown_kid_never_reads_the_folder_again",
        "auth/test_remote_keys.py::test_unknown_keys_make_us_ask_once_a_minute_at_most",
    ),
    42: (f"{TOKENS}::test_claims_that_are_refused", f"{GATE}::test_a_bent_token_is_invalid"),
    43: (f"{TOKENS}::test_headers_that_are_refused",),
    44: (
        f"{GATE}::test_a_token_in_the_query_is_no_token",
        f"{GATE}::test_a_token_in_a_form_is_no_token",
    ),
    45: (f"{GATE}::test_the_scheme_may_be_written_small",),
    46: (
        f"{GATE}::test_a_revoked_grant_is_seen_within_a_second",
        f"{BOUNDS}::test_a_revocation_is_seen_at_every_server_of_every_process_within_a_second",
    ),
    47: (f"{TOKENS}::test_the_edges_of_time",),
    48: (f"{GATE}::test_a_missing_scope_is_named_with_what_is_held",),
    49: (f"{GATE}::test_the_work_scope_implies_reading", "auth/test_policy.py::test_a_decision"),
    50: (
        "servers/test_checks.py::test_what_has_no_rule_stops_the_start",
        "servers/test_everything.py::test_every_rule_is_within_the_scopes_of_its_server",
    ),
    51: (
        f"{HOSTS}::test_another_host_is_served_nothing",
        f"{HOSTS}::test_a_foreign_page_reaches_nothing_that_acts",
    ),
    # Step-up
    52: (f"{STEP_UP}::test_52_55_a_lesser_sign_in_is_challenged_by_rfc_9470",),
    53: (
        f"{STEP_UP}::test_52_53_a_challenge_leads_to_a_step_up_and_that_to_the_call",
        "tools/test_control_halts.py::test_the_receipt_names_the_row_of_the_audit_chain",
    ),
    54: (f"{STEP_UP}::test_54_a_step_up_counts_for_300_seconds_and_not_for_301",),
    55: (
        f"{STEP_UP}::test_52_55_a_lesser_sign_in_is_challenged_by_rfc_9470",
        "auth/test_policy.py::test_a_decision",
    ),
    56: (f"{STEP_UP}::test_56_without_a_factor_there_is_no_lesser_token",),
    57: (
        f"{FACTORS}::test_a_code_is_good_once_and_so_is_every_step_before_it",
        f"{FACTORS}::test_six_wrong_codes_lock_the_factor_for_a_minute_and_no_longer",
    ),
    58: (
        f"{STEP_UP}::test_58_one_persons_step_up_never_raises_another",
        f"{FACTORS}::test_without_the_first_factor_the_second_is_worth_nothing",
    ),
    59: (
        "topology/test_breakglass.py::test_the_command_halts_in_a_fresh_process",
        "faults/test_halting.py::test_a_halt_by_file_permission_stops_work_while_the_ledger_is_gone",
        "clients/cli/test_command.py::test_a_halt_by_file_permission_and_a_resume_by_second_factor",
    ),
    # Agents
    60: (
        f"{EXCHANGE}::test_a_runtime_acts_for_a_person_at_another_server",
        f"{EXCHANGE}::test_it_never_outlives_the_persons_token_nor_his_grant",
    ),
    61: (
        f"{EXCHANGE}::test_a_bad_exchange_is_refused",
        f"{EXCHANGE}::test_a_token_that_is_not_a_living_access_token_of_ours_is_no_subject",
    ),
    62: (
        f"{EXCHANGE}::test_a_worker_gets_a_token_for_its_one_task",
        "servers/test_job_tokens.py::test_the_gate_refuses_another_run",
    ),
    63: (
        f"{DEVICE}::test_a_device_waits_for_a_person_and_gets_one_token",
        f"{DEVICE}::test_who_asks_too_often_waits_five_seconds_longer",
        f"{DEVICE}::test_of_parallel_redemptions_one_wins",
    ),
    64: (
        f"{ID}/test_conformance.py::test_the_authorization_scenarios_pass",
        f"conformance/test_client_auth.py::{REQUIRED}",
    ),
    # Sandbox
    "probes": (f"{CELL}::test_the_kernel_refuses", f"{CELL}::test_there_is_nothing_in_reach"),
    "limits": (f"{CELL}::test_memory_is_bounded", f"{CELL}::test_a_halt_ends_what_never_returns"),
    "no Landlock": (f"{CELL}::test_a_kernel_that_cannot_is_refused_and_never_made_do",),
    "random expressions": (
        "lakehouse/features/test_parser.py::test_any_text_is_a_tree_or_a_refusal",
        "lakehouse/features/test_parser.py::test_a_hundred_thousand_nodes_are_refused_at_once",
    ),
    # Bad input of the start
    "weaker maps": (f"{MAP}::test_a_map_that_weakens_a_rule_is_refused_with_its_line",),
}

RULES: dict[str, tuple[str, ...]] = {
    # MCP authorization 2026-07-28, the server's side
    "MCP: protected resource metadata names the authorization servers": LIST[2],
    "MCP: 401 carries resource_metadata and scope": LIST[1],
    "MCP: the authorization server publishes RFC 8414 or OpenID metadata": LIST[5],
    "MCP: code challenge methods are advertised": LIST[5],
    "MCP: resource is required and becomes the audience": (*LIST[15], *LIST[9]),
    "MCP: a server takes tokens made for it and no others": LIST[38],
    "MCP: no token is passed on, one is exchanged": LIST[60],
    "MCP: a token comes in the header of every request, never in the query": (
        *LIST[44],
        f"{BOUNDS}::test_a_session_belongs_to_its_principal_and_is_no_sign_in",
    ),
    "MCP: an invalid or expired token is 401": LIST[42],
    "MCP: a missing scope is 403 with every scope of the operation": LIST[48],
    "MCP: step-up leads to a wider token and the retry works": (
        f"{SDKS}::test_the_python_sdk_signs_in_calls_and_steps_up",
        f"{SDKS}::test_the_typescript_sdk_signs_in_calls_and_steps_up",
    ),
    "MCP: clients may be described by a document at their id": LIST[37],
    "MCP: a refused document is no client": (
        f"{DOCUMENTS}::test_a_refused_document_is_no_client_and_is_not_asked_for_again",
        f"{DOCUMENTS}::test_addresses_of_this_machine_and_of_private_nets_are_never_asked",
    ),
    "MCP: registration is for this machine only": (
        f"{REGISTER}::test_registration_is_closed_beyond_this_machine",
    ),
    "MCP: iss stands in answers and in errors (RFC 9207)": (*LIST[9], *LIST[19]),
    "MCP: redirects are loopback or https, compared exactly": (*LIST[12], *LIST[35]),
    "MCP: every client has a consent of its own (confused deputy)": (
        f"{AUTHORIZE}::test_consent_is_asked_once_for_the_same_thing",
        f"{PAGES}::test_two_clients_of_one_name_are_two_clients",
    ),
    "MCP: a session is no sign-in": (
        f"{BOUNDS}::test_a_session_belongs_to_its_principal_and_is_no_sign_in",
    ),
    "MCP: Origin and Host are checked": LIST[51],
    "MCP: any OpenID provider may be the authorization server": (
        f"{EXTERNAL}::test_an_unmodified_client_finds_the_provider_signs_in_and_calls",
    ),
    # RFC 9728 protected resource metadata
    "RFC 9728 s.2: the document": LIST[2],
    "RFC 9728 s.3.1: the path of the resource follows the well-known part": LIST[3],
    "RFC 9728 s.3.3: resource is the identifier, byte for byte": (
        *LIST[2],
        f"{EXTERNAL}::test_an_audience_of_its_own_is_what_the_token_names",
    ),
    "RFC 9728 s.5.1: resource_metadata in the challenge": LIST[1],
    "RFC 9728 s.7.6: several authorization servers, each with its own keys": (
        "auth/test_issuers.py::test_each_token_meets_the_keys_of_its_own_issuer",
        f"{ID}/test_two_homes.py::test_each_says_whose_tokens_it_takes",
    ),
    # RFC 8707 resource indicators
    "RFC 8707 s.2: an absolute URI without fragment, else invalid_target": (
        *LIST[15],
        f"{TOKENS}::test_canonical_resource",
        f"{TOKENS}::test_what_is_no_resource",
    ),
    "RFC 8707 s.2.1: one resource at the authorization endpoint": LIST[16],
    "RFC 8707 s.2.2: the token endpoint keeps to what was granted": (*LIST[26], *LIST[29]),
    "RFC 8707 s.3: the audience is restricted": LIST[38],
    # RFC 9470 step-up
    "RFC 9470 s.3: error, acr_values, max_age": (
        *LIST[52],
        f"{EXTERNAL}::test_the_step_up_challenge_speaks_the_providers_words",
    ),
    "RFC 9470 s.4: the authorization server honours acr_values and max_age": (
        f"{FACTORS}::test_a_client_may_ask_for_the_factor_itself",
        f"{AUTHORIZE}::test_prompt_login_and_max_age_ask_again_once",
    ),
    "RFC 9470 s.5: what cannot be met is said, never lowered": LIST[56],
    "RFC 9470 s.6: acr and auth_time stand in the token and are checked": (
        *LIST[54],
        *LIST[55],
    ),
    # RFC 9700 best current practice
    "RFC 9700 s.2.1: exact redirects": LIST[12],
    "RFC 9700 s.2.1.1: PKCE with S256, no downgrade (s.4.8.2)": (*LIST[10], *LIST[24]),
    "RFC 9700 s.2.1.2: no implicit grant": LIST[18],
    "RFC 9700 s.2.2: tokens are restricted in scope and audience": (*LIST[17], *LIST[38]),
    "RFC 9700 s.2.2.2: refresh tokens rotate, replay ends the family (s.4.14)": LIST[28],
    "RFC 9700 s.2.4: no password grant": LIST[18],
    "RFC 9700 s.2.5: confidential clients sign": (
        f"{EXCHANGE}::test_a_bad_assertion_is_no_client",
        f"{EXCHANGE}::test_an_assertion_works_once",
    ),
    "RFC 9700 s.4.1: patterns in redirects are refused": LIST["weaker maps"],
    "RFC 9700 s.4.2: no referrer carries a code": (
        f"{PAGES}::test_redirects_to_the_client_are_303_and_tell_no_referrer",
    ),
    "RFC 9700 s.4.3: no token in a URL": LIST[44],
    "RFC 9700 s.4.4: mix-up: iss is compared": (
        "clients/test_login.py::test_an_answer_of_another_issuer_is_refused_and_its_code_is_not_sent",
    ),
    "RFC 9700 s.4.5: an injected code fails": LIST[26],
    "RFC 9700 s.4.7: CSRF of consent and of the answer": (
        *LIST[20],
        "clients/test_login.py::test_an_answer_that_was_not_asked_for_is_turned_away",
    ),
    "RFC 9700 s.4.9: a token for one server is nothing at another": LIST[38],
    "RFC 9700 s.4.10: a token that wants proof of possession is refused": LIST[42],
    "RFC 9700 s.4.11: no open redirector": LIST[22],
    "RFC 9700 s.4.12: 303 after a form": (
        f"{PAGES}::test_redirects_to_the_client_are_303_and_tell_no_referrer",
    ),
    "RFC 9700 s.4.13: headers of proxies are not believed": (
        f"{BOUNDS}::test_headers_of_a_proxy_change_nothing_that_a_client_is_told",
    ),
    "RFC 9700 s.4.15: a client is never taken for a person": (
        f"{EXCHANGE}::test_a_machine_on_its_own_behalf_is_never_a_person",
        "auth/test_issuers.py::test_a_machine_is_never_a_person",
    ),
    "RFC 9700 s.4.16: no frames": (
        f"{PAGES}::test_the_security_headers_of_a_page",
        f"{PAGES}::test_a_form_may_lead_to_the_redirect_and_nowhere_else",
    ),
}

ROWS = {**{str(line): tests for line, tests in LIST.items()}, **RULES}


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


def test_every_line_of_the_list_has_a_row() -> None:
    assert [line for line in LIST if isinstance(line, int)] == list(range(1, 65))
    for standard in ("MCP", "RFC 9728", "RFC 8707", "RFC 9470", "RFC 9700"):
        assert sum(rule.startswith(standard) for rule in RULES) >= 4, standard


@pytest.mark.parametrize("row", ROWS)
def test_the_tests_of_a_row_are_there(row: str) -> None:
    assert ROWS[row]
    for named in ROWS[row]:
        file, _, name = named.partition("::")
        assert name.startswith("test_")
        assert name in names_in(file), f"{row}: {file} has no {name}"
