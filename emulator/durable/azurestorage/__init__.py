"""Task hub on Azure Storage, with the queues, tables and blobs of DurableTask.AzureStorage."""
