"""The real daemon between real servers."""
