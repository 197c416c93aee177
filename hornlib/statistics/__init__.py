"""Statistics of sweeps: which arm learns faster, by how much, and how certain that is.

The modules, in the order of the flow from results.nc to statistics.nc:

1. `contenders`, `rivals`: the cells of a sweep with labels and costs, and who is compared with whom.
2. `axes`, `restricted_mean`: the cost of every run to every target.
3. `pairs`, `pair_statistics`, `headline`: the budget that two contenders share, and their ratio with interval and test.
   `common_budget` applies the same rule to many contenders, and `arithmetic_means` is a sensitivity check.
4. `conclusions`, `verdicts`: one word for every comparison, and one word for every claim.
5. `planning`: the seeds that comparisons and claims need.
6. `wording`, `phrases`, `limits`, `software`: the answer in sentences, and everything that it cannot show.
7. `appendix`: secondary quantities, from `by_arm`, `influence`, `influence_outcomes`, `influence_table` and
   `tuning_cost`. `descriptions` has their units and names.
8. `summary` runs steps 1 to 7 for a sweep. `sequential`, `looks`, `next_look` and `due` do so at planned numbers of
   seeds.
9. `write`: statistics.nc.

`estimators/` has the estimators and tests as pure functions.
"""
