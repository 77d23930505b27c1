"""The live view: a page in the browser that shows what the tracker sees, and the results as a stream of JSON.

view.py is the sink. It starts a process (server.py) that draws, encodes and serves, so that no browser can slow the
tracker; messages.py is what passes between the two, access.py says who may look, and page.html is the page.
"""
