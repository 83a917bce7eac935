"""Data sets as columns of paths, identities and cameras; parsers, transforms, samplers and loaders."""
