"""Storage requests and executions of a run, and what they may cost on Azure: `azemu report` (docs/costs.md)."""
