"""What the bytes mean: requests, responses and the one request cycle.

First floor. Nothing here knows how waiting is done, which settings exist on the command line,
or how many processes there are.
"""
