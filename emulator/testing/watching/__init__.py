"""What a test sees of the app's code while it runs."""
