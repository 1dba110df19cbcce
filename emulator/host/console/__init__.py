"""What the host tells on the console."""
