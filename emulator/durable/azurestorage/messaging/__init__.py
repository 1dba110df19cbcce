"""Task messages in the hub's queues, as DurableTask.AzureStorage (Messaging) writes them."""
