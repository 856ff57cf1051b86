"""What only the pages of the book use: published numbers, verdicts, figures, tables, experiments.

`ssps_lib` knows nothing of it.
"""
