"""Async floor: fetch, compute, stage, all bounded."""
