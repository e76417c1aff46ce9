"""Applications: how the server finds its settings and the WSGI callable."""
