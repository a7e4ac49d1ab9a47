"""What there is to say of models and of what was built of them: for people, and as data.

``summary`` is what a graph holds, which ``counting`` finds out; ``describe`` looks at one file. ``document`` is what
``build/report.json`` holds, ``text`` that file itself (its schema lies beside it) and ``page`` the same as one HTML
file. All of them are pure functions of what they are given: no clock, no path and no name of this machine reaches a
report.
"""
