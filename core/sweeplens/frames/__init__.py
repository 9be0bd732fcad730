"""The frames of points, series and runs, and pure functions over them. Nothing here opens a file.

schemas        the columns and types of points, series and runs
points         the only place that scans points
reduction      one number for each series
grouping       which hyperparameters vary, and which only mark repetitions
selection      the runs and metrics that a question selects
goals          whether lower or higher is better
downsampling   few points that keep the shape of a curve
"""
