"""Serves over HTTP, with authentication, limits, health checks and an orderly shutdown.

options          options of the command line, checked before a port is opened
authentication   settings of the SDK from options
tokens           static bearer tokens
oauth            JWTs of an issuer
rate_limit       requests per client
health           the two health checks for load balancers
prometheus       counts and times of calls
serve            uvicorn around the application
"""
