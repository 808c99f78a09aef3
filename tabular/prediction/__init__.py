"""Native models that predict a class or a number from a row of a table, one file for each paper.

Every class here takes keyword arguments only, `num_continuous`, `cardinalities` and `num_outputs` among them, and maps
rows (continuous [B, F], categories [B, K]) to outputs [B, num_outputs]: logits, or the value about standard normal.
`embedding` is the submodule that makes one vector of a row, by which rows are explained.
"""
