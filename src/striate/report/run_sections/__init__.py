"""The sections of the report of a training: two files each, NAME.py and NAME.html.j2, in the order of their PLACE."""
