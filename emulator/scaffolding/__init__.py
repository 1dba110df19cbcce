"""Files of new apps and functions, for `azemu init`, `azemu new` and `azemu shim`."""
