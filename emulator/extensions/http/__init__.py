"""httpTrigger and the http output: a request in, a function called, its answer out."""
