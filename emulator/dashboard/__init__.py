"""Dashboard of a running host: pages for the browser at /azemu and the API that they use."""
