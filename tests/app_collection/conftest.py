"""The apps of the collection are data: their own `tests` folders are not collected."""

collect_ignore_glob = ["apps/*"]
