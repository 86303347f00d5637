"""The simulated cloud: servers and hosts with faults by wish."""
