import no_such_module_of_this_app


def main(req):
    return "bad"
