"""The hub as the engine's source of work: messages come in, work items go out, turns are saved."""
