"""HTTP service of geomap."""
