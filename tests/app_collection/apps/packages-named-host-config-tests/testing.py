VALUE = "tested"
