"""The verdict: pass, fail or inconclusive, from the traffic of two releases over the same minutes.

- `model.py`: `Numbers` of a release, the `Policy`, the `Verdict`, and what a `Check` is;
- `histogram.py`: latency, as cumulative counts per upper bound;
- `judge.py`: `judge` and `judge_both`, pure and cheap enough to be called every second;
- `checks.py`: the checks;
- `statistics.py`: whether counts show that the candidate is worse, however often they are analysed;
- `wording.py`: numbers as sentences.

`docs/verdict.md` explains it to users; `benchmarks/verdict.py` measures how often it errs.
"""
