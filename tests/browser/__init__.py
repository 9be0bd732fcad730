"""Pages in a real browser: `make browser`, or `python -m tests.browser`. `make test` collects none of these."""
