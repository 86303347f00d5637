"""What the API does, whatever way it is asked: plain functions over the mesh."""
