"""Reviewing an audit's findings in the terminal."""
