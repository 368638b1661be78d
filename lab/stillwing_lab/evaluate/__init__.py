"""Closed-loop evaluation: whole missions in unseen scenes, faster than real time, with the product's own code.

    from stillwing_lab.evaluate.comparison import Comparison
    from stillwing_lab.evaluate.run import evaluate
    report = evaluate(Comparison(("meadow",), episodes=40))

`stillwing eval meadow` prints the table.
"""
