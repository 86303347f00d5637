"""What an operator makes before a mesh runs: certificates, and the configuration of Envoy."""
