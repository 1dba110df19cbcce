"""Work items for the engine: messages of the hub's queues become work items, and their outcomes are saved."""
