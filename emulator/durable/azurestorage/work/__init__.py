"""The task hub as the engine's source of work: messages become work items, and episodes are saved."""
