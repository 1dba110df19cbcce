NAME = "Ada"
