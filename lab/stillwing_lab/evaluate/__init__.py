"""Closed-loop evaluation: whole missions in unseen scenes, faster than real time, with the product's own code.

    from stillwing_lab.evaluate.run import evaluate
    report = evaluate("meadow", episodes=40)

`stillwing eval meadow` prints the table.
"""
