"""The live view: a page in the browser that shows the annotated frames, and the results as a stream of JSON.

view.py is the sink. It starts a process (server.py) that draws, encodes and serves, so that a browser cannot slow down
the tracker. messages.py has the messages between the two, access.py the access control, page.html the page.
"""
