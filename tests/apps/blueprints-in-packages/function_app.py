import azure.functions as func

from blueprints import orders, users

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(orders.bp)
app.register_blueprint(users.bp)
