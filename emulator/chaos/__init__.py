"""Chaos testing: faults that Azure can show, in an order that a seed repeats, and a report on what they caused."""
