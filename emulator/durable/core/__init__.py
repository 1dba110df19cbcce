"""Rules of the Durable Task Framework as pure functions of immutable data, without I/O, clock or id generation."""
