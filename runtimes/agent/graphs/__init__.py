"""The shapes that agents have; each module builds a LangGraph state graph over a `Crew`."""

from topology.registry import Registry

GRAPHS: Registry[object] = Registry(
    "graph",
    {
        "react": "runtimes.agent.graphs.react:walk",
        "plan_execute": "runtimes.agent.graphs.plan_execute:walk",
        "debate": "runtimes.agent.graphs.debate:walk",
        "evaluate": "runtimes.agent.graphs.evaluate:walk",
    },
)
