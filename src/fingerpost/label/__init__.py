"""Labels, pure: `host` finds one in a Host field, `sealed` and `legacy` turn it into a target and back.

`keyring` holds the keys, `expiry` says when a label's time is over.
"""
