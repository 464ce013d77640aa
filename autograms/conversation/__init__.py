"""Conversations as data: the record, its prompts, and its files."""
