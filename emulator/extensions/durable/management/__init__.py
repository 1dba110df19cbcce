"""The management API of Durable Functions, /runtime/webhooks/durabletask/…, and what it answers."""
