"""Constraint compiler: Spec to grammar nodes to byte automaton to token automaton."""
