"""From a short description of a mesh to the configuration of Envoy."""
