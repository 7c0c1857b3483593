"""The expression language of features as resources: its operators, and the named sets."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from auth.policy import Rule
from tools.registry import Office, resource
from topology.errors import UnknownNameError, did_you_mean, nearest
from topology.principal import Principal

READ = Rule(scopes=("data:read",), actor="any")


class OperatorView(BaseModel):
    """How an operator is written, ``Mean(x, N)``, and what it means."""

    model_config = ConfigDict(frozen=True)

    name: str
    signature: str
    family: str
    doc: str


class Language(BaseModel):
    """Every operator, by family."""

    model_config = ConfigDict(frozen=True)

    operators: list[OperatorView]


class FeatureSetView(BaseModel):
    """A named set: feature and label names to their expressions, in the set's order."""

    model_config = ConfigDict(frozen=True)

    name: str
    features: dict[str, str]
    labels: dict[str, str]


@resource(server="data", uri="data://operators", auth=READ, title="The expression language")
def language(*, office: Office, caller: Principal) -> Language:
    """Return every operator of the expression language: `compute_features` takes expressions."""
    del office, caller
    from lakehouse.features.operators import OPERATORS

    return Language(operators=[_view(name) for name in OPERATORS])


@resource(server="data", uri="data://operators/{operator}", auth=READ, title="An operator")
def operator(operator: str, *, office: Office, caller: Principal) -> OperatorView:
    """Return how an operator is written and what it means."""
    del office, caller
    from lakehouse.features.operators import OPERATORS

    if operator not in OPERATORS:
        raise UnknownNameError(
            f"No operator is called {operator[:64]!r}.",
            hint=did_you_mean(operator[:64], OPERATORS),
            nearest=nearest(operator[:64], OPERATORS),
        )
    return _view(operator)


@resource(server="data", uri="data://features/{feature_set}", auth=READ, title="A feature set")
def feature_set(feature_set: str, *, office: Office, caller: Principal) -> FeatureSetView:
    """Return the expressions of a named feature set."""
    del office, caller
    from lakehouse.features import members

    return FeatureSetView(
        name=feature_set,
        features=members.expressions(feature_set),
        labels=members.labels(feature_set),
    )


def _view(name: str) -> OperatorView:
    from lakehouse.features.operators import OPERATORS

    found = OPERATORS[name]
    return OperatorView(name=name, signature=found.signature, family=found.family, doc=found.doc)
