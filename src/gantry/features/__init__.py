"""Floor 4: what Gantry is about, one folder per word. Each keeps the same shape:

- `model.py`: frozen values;
- `rules.py`: pure rules, never async, from what is wanted and what was seen to the next steps;
- `store.py`: plain SQL;
- `bodies.py`: what the API takes and says; requests are strict, answers may grow;
- `service.py`: what people and programs may ask for; checks, records the intent, and returns.
"""
