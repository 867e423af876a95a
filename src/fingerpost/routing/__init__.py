"""From a Host to where its bytes may go, pure: `resolve` finds the route (`model`), `policy` allows it."""
