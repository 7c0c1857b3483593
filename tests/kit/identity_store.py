"""The issuer's store in memory: what PostgreSQL promises, for one process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from auth.store import (
    ClientRecord,
    Code,
    Consent,
    Device,
    Factor,
    Family,
    Grant,
    Login,
    Refresh,
    Refused,
    User,
)

DAY_S = 86_400


class MemoryStore:
    """The issuer's store for one process; one lock stands for the database's transactions."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.users: dict[str, User] = {}
        self.failures: dict[str, tuple[int, int, int]] = {}
        self.clients: dict[str, ClientRecord] = {}
        self.logins: dict[str, Login] = {}
        self.consents: set[Consent] = set()
        self.families: dict[str, Family] = {}
        self.codes: dict[str, Code] = {}
        self.refreshes: dict[str, Refresh] = {}
        self.held: dict[str, Factor] = {}
        self.refused: dict[tuple[str, str], Refused] = {}
        self.once: dict[str, int] = {}
        self.devices: dict[tuple[str, str], Device] = {}
        self.grants: dict[str, Grant] = {}
        self.challenges: dict[tuple[str, str, str], int] = {}

    def add_user(self, user: User) -> bool:
        with self._lock:
            return self.users.setdefault(user.username, user) is user

    def find_user(self, username: str) -> User | None:
        return self.users.get(username)

    def set_password(self, username: str, password_hash: str) -> bool:
        with self._lock:
            if username not in self.users:
                return False
            self.users[username] = replace(self.users[username], password_hash=password_hash)
            return True

    def count_failure(self, key: str, *, now: int, limit: int, lock_s: int) -> int:
        with self._lock:
            count, last, locked = self.failures.get(key, (0, now, 0))
            count = 1 if last < now - lock_s else count + 1
            if count >= limit:
                count, locked = 0, now + lock_s
            self.failures[key] = (count, now, locked)
            return locked if locked > now else 0

    def locked_until(self, key: str, *, now: int) -> int:
        locked = self.failures.get(key, (0, 0, 0))[2]
        return locked if locked > now else 0

    def clear_failures(self, key: str) -> None:
        self.failures.pop(key, None)

    def add_client(self, client: ClientRecord, *, since: int, at_most: int) -> bool:
        with self._lock:
            if sum(known.created_at > since for known in self.clients.values()) >= at_most:
                return False
            self.clients[client.client_id] = client
            return True

    def find_client(self, client_id: str) -> ClientRecord | None:
        return self.clients.get(client_id)

    def touch_client(self, client_id: str, *, now: int) -> None:
        if client_id in self.clients:
            self.clients[client_id] = replace(self.clients[client_id], used_at=now)

    def add_login(self, login: Login) -> None:
        self.logins[login.id_hash] = login

    def find_login(self, id_hash: str, *, now: int) -> Login | None:
        login = self.logins.get(id_hash)
        return login if login and login.expires_at > now else None

    def end_login(self, id_hash: str) -> None:
        self.logins.pop(id_hash, None)

    def end_logins(self, username: str) -> int:
        with self._lock:
            gone = [key for key, login in self.logins.items() if login.username == username]
            for key in gone:
                del self.logins[key]
            return len(gone)

    def add_consent(self, consent: Consent, *, now: int) -> None:
        self.consents.add(consent)

    def has_consent(self, consent: Consent) -> bool:
        return consent in self.consents

    def add_code(self, code: Code, family: Family) -> None:
        with self._lock:
            self.families[family.sid] = family
            self.codes[code.code_hash] = code

    def find_code(self, code_hash: str) -> tuple[Code, Family] | None:
        code = self.codes.get(code_hash)
        return (code, self.families[code.sid]) if code else None

    def consume_code(self, code_hash: str, refresh: Refresh | None, *, now: int) -> bool:
        with self._lock:
            code = self.codes.get(code_hash)
            if code is None or code.used_at is not None or not self.family_alive(code.sid):
                return False
            self.codes[code_hash] = replace(code, used_at=now)
            if refresh is not None:
                self.refreshes[refresh.token_hash] = refresh
            return True

    def add_family(self, family: Family, refresh: Refresh | None) -> None:
        with self._lock:
            self.families[family.sid] = family
            if refresh is not None:
                self.refreshes[refresh.token_hash] = refresh

    def find_refresh(self, token_hash: str) -> tuple[Refresh, Family] | None:
        refresh = self.refreshes.get(token_hash)
        return (refresh, self.families[refresh.sid]) if refresh else None

    def rotate_refresh(self, token_hash: str, successor: Refresh, *, now: int) -> bool:
        with self._lock:
            old = self.refreshes.get(token_hash)
            if old is None or old.used_at is not None or not self.family_alive(old.sid):
                return False
            self.refreshes[token_hash] = replace(old, used_at=now)
            self.refreshes[successor.token_hash] = successor
            return True

    def find_family(self, sid: str) -> Family | None:
        return self.families.get(sid)

    def family_alive(self, sid: str) -> bool:
        family = self.families.get(sid)
        return family is not None and family.revoked_at is None

    def revoke_family(self, sid: str, *, now: int) -> bool:
        with self._lock:
            if not self.family_alive(sid):
                return False
            self.families[sid] = replace(self.families[sid], revoked_at=now)
            return True

    def revoke_families(self, *, username: str, now: int) -> int:
        with self._lock:
            mine = [sid for sid, family in self.families.items() if family.username == username]
            return sum(self.revoke_family(sid, now=now) for sid in mine)

    def add_factors(self, factors: Sequence[Factor], *, replace: str = "") -> None:
        with self._lock:
            people = {factor.username for factor in factors}
            self.held = {
                key: held
                for key, held in self.held.items()
                if held.username not in people or held.kind != replace
            } | {factor.id: factor for factor in factors}

    def factors(self, username: str, *, kind: str = "") -> list[Factor]:
        mine = (f for f in self.held.values() if f.username == username)
        return [factor for factor in mine if kind in {"", factor.kind}]

    def find_factor(self, factor_id: str) -> Factor | None:
        return self.held.get(factor_id)

    def factor_owners(self) -> list[str]:
        return sorted({factor.username for factor in self.held.values()})

    def use_step(self, factor_id: str, step: int) -> bool:
        with self._lock:
            held = self.held.get(factor_id)
            if held is None or held.used >= step:
                return False
            self.held[factor_id] = replace(held, used=step)
            return True

    def remove_factor(self, factor_id: str) -> bool:
        return self.held.pop(factor_id, None) is not None

    def note_refused(self, refused: Refused) -> None:
        self.refused[refused.username, refused.client_id] = refused

    def find_refused(self, username: str, client_id: str, *, now: int) -> Refused | None:
        found = self.refused.get((username, client_id))
        return found if found and found.expires_at > now else None

    def use_once(self, jti: str, *, until: int) -> bool:
        with self._lock:
            if jti in self.once:
                return False
            self.once[jti] = until
            return True

    def add_devices(self, devices: Sequence[Device], *, now: int, at_most: int) -> bool:
        with self._lock:
            waiting = {
                d.user_hash for d in self.devices.values() if not d.decision and d.expires_at > now
            }
            taken = {d.user_hash for d in self.devices.values()}
            if len(waiting) >= at_most or any(d.user_hash in taken for d in devices):
                return False
            self.devices |= {(d.device_hash, d.resource): d for d in devices}
            return True

    def find_devices(self, user_hash: str, *, now: int) -> list[Device]:
        mine = (d for d in self.devices.values() if d.user_hash == user_hash)
        open_ = [d for d in mine if not d.decision and d.expires_at > now]
        return sorted(open_, key=lambda d: d.resource)

    def decide_device(
        self, user_hash: str, families: Sequence[Family], grants: Sequence[Grant], *, now: int
    ) -> bool:
        with self._lock:
            waiting = self.find_devices(user_hash, now=now)
            sids = {family.resource: family.sid for family in families}
            for device in waiting:
                self.devices[device.device_hash, device.resource] = replace(
                    device,
                    decision="allow" if families else "deny",
                    sid=sids.get(device.resource, ""),
                )
            if waiting:
                self.families |= {family.sid: family for family in families}
                self.grants |= {grant.sid: grant for grant in grants}
            return bool(waiting)

    def poll_device(self, device_hash: str, *, now: int) -> tuple[list[Device], bool]:
        with self._lock:
            early = False
            for key, device in self.devices.items():
                if key[0] != device_hash or device.decision:
                    continue
                soon = now - device.polled_at < device.interval_s
                early = early or soon
                longer = device.interval_s + (5 if soon else 0)
                self.devices[key] = replace(device, polled_at=now, interval_s=longer)
            mine = [d for key, d in self.devices.items() if key[0] == device_hash]
            return sorted(mine, key=lambda d: d.resource), early

    def use_device(
        self, device_hash: str, resource: str, refresh: Refresh | None, *, now: int
    ) -> bool:
        with self._lock:
            device = self.devices.get((device_hash, resource))
            if device is None or device.used_at is not None or not self.family_alive(device.sid):
                return False
            self.devices[device_hash, resource] = replace(device, used_at=now)
            if refresh is not None:
                self.refreshes[refresh.token_hash] = refresh
            return True

    def add_grant(self, grant: Grant, family: Family) -> None:
        with self._lock:
            self.families[family.sid] = family
            self.grants[grant.sid] = grant

    def find_grant(self, sid: str) -> tuple[Grant, Family] | None:
        grant = self.grants.get(sid)
        return (grant, self.families[sid]) if grant else None

    def note_challenge(self, username: str, client_id: str, resource: str, *, now: int) -> None:
        self.challenges[username, client_id, resource] = now

    def take_challenge(self, username: str, client_id: str, resource: str, *, since: int) -> bool:
        return self.challenges.pop((username, client_id, resource), since) > since

    def purge(self, *, now: int) -> int:
        with self._lock:
            idle = {
                key
                for key, client in self.clients.items()
                if (client.used_at is None and client.created_at < now - DAY_S)
                or (client.used_at is not None and client.used_at < now - 90 * DAY_S)
            }
            gone = [
                _drop(self.clients, idle),
                _drop(self.logins, {k for k, v in self.logins.items() if v.expires_at <= now}),
                _drop(self.devices, {k for k, v in self.devices.items() if v.expires_at <= now}),
                _drop(self.refused, {k for k, v in self.refused.items() if v.expires_at <= now}),
                _drop(self.once, {k for k, until in self.once.items() if until <= now}),
                _drop(self.families, {k for k, v in self.families.items() if v.expires_at <= now}),
                _drop(
                    self.failures,
                    {k for k, v in self.failures.items() if v[1] < now - DAY_S and v[2] <= now},
                ),
            ]
            orphans = {consent for consent in self.consents if consent.client_id in idle}
            self.consents -= orphans
            _drop(self.grants, {k for k in self.grants if k not in self.families})
            _drop(self.codes, {k for k, v in self.codes.items() if v.sid not in self.families})
            _drop(
                self.refreshes, {k for k, v in self.refreshes.items() if v.sid not in self.families}
            )
            return sum(gone) + len(orphans)


def _drop(rows: dict[Any, Any], keys: set[Any]) -> int:
    for key in keys:
        del rows[key]
    return len(keys)
