"""The infrastructure planner: facts in, tasks out.

Pure: the same facts always give the same answer.
"""
