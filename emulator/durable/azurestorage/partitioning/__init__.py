"""Which host reads which control queue, as DurableTask.AzureStorage (Partitioning) shares them out."""
