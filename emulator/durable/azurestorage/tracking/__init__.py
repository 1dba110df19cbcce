"""What is stored of instances: histories and status rows, as DurableTask.AzureStorage (Tracking) writes them."""
