"""Serving over HTTP: who may connect, how often, what a load balancer may ask, and how the server ends.

options          what was asked for on the command line, checked before a port is opened
authentication   options as settings of the SDK
tokens           static bearer tokens
oauth            JWTs of an issuer
rate_limit       requests per client
health           the two addresses for load balancers
prometheus       counts and times of calls
serve            uvicorn around the application
"""
