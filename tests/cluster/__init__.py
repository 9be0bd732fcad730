"""`make cluster`: a real Spark cluster on this machine, and replicas of the server over one store. `python -m tests.cluster`."""
