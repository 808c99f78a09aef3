"""Native recommenders, one file for each paper: pairs of a user and an item [B, 2] to ratings [B].

Every class here takes `num_users`, `num_items` and `mean` by keyword, and gives `penalty(pairs)`, what its paper adds
to the squared error for each pair.
"""
