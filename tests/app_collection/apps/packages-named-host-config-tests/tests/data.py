EXAMPLE = "example"
