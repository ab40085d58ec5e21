"""The campaign: what is promised about data, tried many times over, with a table of what held.

    python -m campaign                                  tier 2, under an hour on two cores; `make campaign`
    python -m campaign --rows torn,flips --scale 0.1    some rows, at a tenth
    python -m campaign --tier 3 --seed 7 --write        counts of a release; the table goes to benchmarks/results/campaign.md

The rows are a literal table, `rows.py`. The tests run each at the counts of tier 1 (`tests/e2e/test_campaign.py`). A row draws from a generator of
its own, seeded by (--seed, name), so a trial that is lost comes again with the same seed and count.
"""
