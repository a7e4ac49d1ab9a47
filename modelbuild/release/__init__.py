"""What leaves a checkout: lock files that say what was built of what, and bundles to hand out.

``lock`` writes and compares ``models.lock/``, ``index`` says what stands in a bundle, ``bundle`` packs one, ``verify``
checks one with nothing but Python's own library.
"""
