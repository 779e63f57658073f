"""The tables and figures of the documentation, made from the results.

The prose is in the pages themselves, docs/*.md. A table there stands between two marks,

    <!-- table: NAME -->
    <!-- end -->

and is what the function NAME of a module here returns; ``python -m benchmarks pages`` puts it in.
A single figure in a sentence has the mark "value" in place of "table"; ``value: result NAME KEYS
FORM`` takes it from results/NAME.json. Other figures may not stand in prose: see `numbers`.
"""
