"""Small pictures as text: pure functions from numbers to SVG, readable on light and dark ground.

Dagster shows Markdown inline below 1,000 characters and behind a link from there on, so each
picture is either tiny or at most 32 KiB. Colours have contrast on white and on black, because a
picture cannot know the page's theme. The numbers stand in the alternative text.
"""
