"""What the nodes of a graph work with: one question to a role's model, one call of its tool."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.calls import At
from runtimes.agent.offers import Offer, text_of
from runtimes.agent.toolbox import Toolbox
from runtimes.gateway.complete import Calls, router_complete
from runtimes.gateway.words import BudgetExceededError, LLMRequest, LLMResponse, Mode, Place
from runtimes.specs.agent import AgentSpec, Role
from topology.canonical import canonical
from topology.errors import AlphaSwarmError, BadInputError

Message = dict[str, Any]
WRONG_IN_A_ROW = 3
RESULT_CHARACTERS = 20_000
"""Of a tool's result, how much a model reads; the record holds all of it."""
_INPUT = re.compile(r"\{inputs\.([A-Za-z_][A-Za-z0-9_]*)\}")


class ToolArgumentsError(BadInputError):
    """A model named tools that there are not, or broke their schemas, three times in a row."""

    code = "tool_arguments_invalid"


@dataclass
class Crew:
    """A spec with its inputs, its models and its hands; one per attempt of a run."""

    spec: AgentSpec
    inputs: Mapping[str, Any]
    calls: Calls
    toolbox: Toolbox
    mode: Mode
    remembered: Sequence[str] = ()
    steps: int = 0
    tokens: int = 0
    """Used by answers so far, prompts and completions."""

    def opening(self, role: Role, task: str | None = None) -> list[Message]:
        """Return how a role's conversation begins: its prompt, memory, and the task."""
        prompt = _INPUT.sub(self._input, role.prompt)
        if self.remembered:
            prompt += "\n\nFrom earlier runs:\n" + "\n".join(f"- {m}" for m in self.remembered)
        asked = task if task is not None else f"Inputs: {canonical(dict(self.inputs)).decode()}"
        return [{"role": "system", "content": prompt}, {"role": "user", "content": asked}]

    def offers(self, role: Role) -> list[Offer]:
        """Return the tools that a role may call."""
        return [o for o in self.toolbox.offers.values() if o.tool.full in role.tools]

    async def ask(
        self,
        role: Role,
        place: Place,
        messages: Sequence[Message],
        *,
        tools: bool = False,
        schema: Mapping[str, Any] | None = None,
    ) -> LLMResponse:
        """Return a model's answer; one step of the run."""
        self.steps += 1
        if self.steps > self.spec.limits.max_steps:
            raise BudgetExceededError(
                f"The run has taken its {self.spec.limits.max_steps} steps.",
                hint="Raise limits.max_steps in the spec: a new version.",
                quantity="steps",
                left="0",
                wanted="1",
            )
        self.calls.progress.emit(
            "node.start", f"{role.name} thinks.", node=place.node, step=place.step
        )
        choice = self.spec.model(role.model)
        request = LLMRequest(
            alias=choice.alias,
            messages=messages,
            place=place,
            max_tokens=choice.max_tokens,
            tools=[o.function() for o in self.offers(role)] if tools else (),
            output_schema=schema,
            params=choice.params.model_dump(),
            seed=self.spec.seed,
            fallbacks=choice.fallbacks,
            label=self.spec.data_label,
        )
        response = await router_complete(request, ctx=self.calls, mode=self.mode)
        self.tokens += response.usage.prompt + response.usage.completion
        self.calls.progress.emit(
            "node.done", f"{role.name} answered.", node=place.node, step=place.step
        )
        return response

    async def act(self, role: Role, at: At, called: Mapping[str, Any]) -> tuple[Message, bool]:
        """Make one call that a model asked for; return what it reads, and whether it was wrong.

        A tool that the role has not, and arguments that break the schema, run nothing.
        """
        function = called.get("function") or {}
        name, given = str(function.get("name")), str(function.get("arguments") or "")
        held = {o.name: o for o in self.offers(role)}
        try:
            if name not in held:
                known = ", ".join(sorted(held)) or "none"
                raise BadInputError(f"There is no tool {name[:64]!r}.", hint=f"There are: {known}.")
            arguments = held[name].read(given)
        except AlphaSwarmError as error:
            return _told(called, {"error": error.body()}), True
        result = await self.toolbox.call(at, held[name], arguments)
        return _told(called, result), False

    def _input(self, found: re.Match[str]) -> str:
        name = found[1]
        if name not in self.inputs:
            raise BadInputError(
                f"The prompt names the input {name!r}, which was not given.",
                hint="Give it in `inputs`.",
                path=f"inputs.{name}",
            )
        value = self.inputs[name]
        return value if isinstance(value, str) else canonical(value).decode()


def spoken(response: LLMResponse) -> Message:
    """Return an answer as a message of the conversation: role, text and calls, nothing else."""
    message: Message = {"role": "assistant", "content": response.message.get("content")}
    if calls := response.message.get("tool_calls"):
        message["tool_calls"] = [dict(call) for call in calls]
    return message


def refuse_nonsense(wrong: Sequence[int]) -> None:
    """Raise ``tool_arguments_invalid`` where the last three calls were all wrong."""
    if len(wrong) >= WRONG_IN_A_ROW and all(wrong[-WRONG_IN_A_ROW:]):
        raise ToolArgumentsError(
            f"The model called tools wrongly {WRONG_IN_A_ROW} times in a row.",
            hint="Use a model that can call tools, or fewer tools.",
        )


def _told(called: Mapping[str, Any], result: Mapping[str, Any]) -> Message:
    return {
        "role": "tool",
        "tool_call_id": str(called.get("id") or ""),
        "content": text_of(result, most=RESULT_CHARACTERS),
    }
