"""The meaning of Durable Task as pure functions over frozen data: no await, no clock, no ids, no storage."""
