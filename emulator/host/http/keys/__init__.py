"""Access keys: the key store, the secrets file format, authorization levels and EasyAuth headers."""
