"""Recorded histories: read and write them, replay them, continue them as another instance, make tests of them."""
