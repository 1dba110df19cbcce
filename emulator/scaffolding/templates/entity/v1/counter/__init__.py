import azure.durable_functions as df


def counter(context: df.DurableEntityContext) -> None:
    """Keep a number for each key. Operations of one entity run one after the other."""
    value = context.get_state(lambda: 0)
    match context.operation_name:
        case "add":
            value += context.get_input()
        case "reset":
            value = 0
        case other if other != "get":
            raise ValueError(f"unknown operation {other!r}")
    context.set_state(value)
    context.set_result(value)


main = df.Entity.create(counter)
