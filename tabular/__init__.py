"""Tables: a class or a number for each row, and ratings of items by users."""
