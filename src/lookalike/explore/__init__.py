"""Explore the gallery as a whole: every picture and its neighbours."""
