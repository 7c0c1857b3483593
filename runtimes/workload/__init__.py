"""Workloads: programs and containers that a person has approved, started, watched and stopped."""

from topology.registry import Registry

PROVIDERS: Registry[type] = Registry(
    "workload provider",
    {
        "process": "runtimes.workload.process:ProcessProvider",
        "docker": "runtimes.workload.docker:DockerProvider",
        "kubernetes": "runtimes.workload.kubernetes:KubernetesProvider",
    },
)
"""Where a workload can run; each passes the shared suite of tests."""
