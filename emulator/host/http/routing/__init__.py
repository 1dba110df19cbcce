"""HTTP routing: route templates, path normalisation and the route tables of functions and webhooks."""
