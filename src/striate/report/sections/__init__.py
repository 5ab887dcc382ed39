"""The sections of a report: two files each, NAME.py and NAME.html.j2, in the order of their PLACE."""
