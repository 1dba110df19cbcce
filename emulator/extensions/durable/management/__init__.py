"""HTTP API of Durable Functions, /runtime/webhooks/durabletask/…: start, query and manage instances and entities."""
