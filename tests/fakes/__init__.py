"""Engines without the world behind them, for tests and the simulation. Each is under the contract suite of its protocol."""
