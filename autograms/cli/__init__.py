"""The command line: ``autograms COMMAND`` and the guide's three scripts.

Parsing, messages and files of the user's belong here; what the commands do is done in the rooms below.
"""
