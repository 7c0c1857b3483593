"""One frozen pydantic model per kind of work; light, so that servers can check specs too."""

from topology.registry import Registry

SPECS: Registry[type] = Registry(
    "kind of spec",
    {
        "agent": "runtimes.specs.agent:AgentSpec",
        "backtest": "runtimes.specs.backtest:BacktestSpec",
        "data": "runtimes.specs.data:DataSpec",
        "terraform": "runtimes.specs.terraform:StackSpec",
        "workload": "runtimes.specs.workload:WorkloadSpec",
    },
)
