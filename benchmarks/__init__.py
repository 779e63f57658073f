"""What the figures of the documentation come from.

``python -m benchmarks`` lists what can be measured, ``python -m benchmarks NAME --help`` says how.
README.md beside this file says what is where, and how to review a result.
"""
