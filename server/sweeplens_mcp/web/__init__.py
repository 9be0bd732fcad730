"""Serving over HTTP: who may connect, how often, what a load balancer may ask, and how it ends.

options.py  HttpOptions: what was asked for on the command line, checked before a port is opened
access.py   options -> the SDK's verifier and settings
guard.py    rate limits per client
health.py   /healthz, /readyz
meters.py   Prometheus, on a loopback port of its own
serve.py    uvicorn around all of it
"""
