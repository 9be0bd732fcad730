"""Where points are scanned: on this machine by Polars, or on a Spark cluster.

protocol            `Points`, the four verbs of an engine: select, reduce, bucket, fetch
reductions          what a series, or a run, can be reduced to: values without code
polars_points       the engine of this machine, over a lazy frame
polars_reductions   the reductions as Polars expressions
spark_points        the engine of a cluster, through Spark Connect, over the files of one snapshot
spark_steps         the steps of a plan on a cluster: select, filter, join, the axis x
spark_reductions    the reductions as Spark expressions
spark_session       the connection to a cluster: bounded in time and rows, cancelled with its call
address             ``sc://host:15002`` parsed and checked; nothing is imported for it
opening             the engine that the configuration names
"""
