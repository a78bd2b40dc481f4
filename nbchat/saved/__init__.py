"""Conversations in saved notebooks: what an output carries of its turn, and how turns are had back from it."""
