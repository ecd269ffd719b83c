"""The verdict: pass, fail or inconclusive, from the traffic of two releases over the same minutes.

- `model.py`: what was seen (`Numbers`), what is said (`Verdict`);
- `histogram.py`: latency, as cumulative counts per upper bound;
- `policy.py`: what is tolerated (`Policy`);
- `decide.py`: `judge`, pure and cheap enough to be called every second;
- `case.py`: what every check can say; `events.py`, `shares.py`, `latency.py`: the checks;
- `evidence.py`: whether counts show that the candidate is worse, however often they are looked at;
- `tails.py`: the binomial distribution, exact;
- `risk.py`: how the risk of a false alarm is divided;
- `wording.py`: numbers as sentences.

`docs/verdict.md` explains it to users; `benchmarks/verdict.py` measures how often it errs.
"""
