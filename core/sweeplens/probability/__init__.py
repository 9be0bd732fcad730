"""Distribution functions without scipy, whose 143 MB would be a quarter of an installation. Plain Python unless said.

normal         the normal distribution: tail and quantile; probabilities of a numpy array
student_t      Student's t: tail and quantile
gamma          chi-square: upper tail and its quantile, by the incomplete gamma function
beta           F and beta: tail and quantiles, by the incomplete beta function
counts         tests by counting: the hypergeometric tail of numpy arrays, Mann and Whitney's test
spread         averages over what an estimated standard deviation may be, as weighted sums over numpy arrays
invert         quantiles from a distribution function and its density

All agree with scipy to a relative 2e-10 or better (`tests/core/test_probability.py`), in the far tails too.
"""
