"""`taquilla load`: many buyers against the gateway, and what they were told, when, and how late the client itself was.

The command's process shows and judges; processes of its own (`worker`) do the buying, so that drawing a table never
delays a request. `plan` says who buys when, `engine` does it, `wire` is its HTTP, `tally` counts, `crew` starts the
processes and merges what they counted, `gauges` looks at the services meanwhile, `report` judges, `page` draws.

Not here: the race (`chaos.race`), which is about one seat and not about speed.
"""
