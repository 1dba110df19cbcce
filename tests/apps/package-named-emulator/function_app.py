import azure.functions as func

from emulator.devices import Device

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="device")
def device(req: func.HttpRequest):
    from emulator import devices

    return f"{Device('lamp').name} {devices.COUNT}"
