"""``python -m kit serve``: a page that tells at one look whether each market is complete now.

    files on disk -> readings (kit.Market, kit.status) -> hub (one watcher for all tabs) -> app (aiohttp) -> static/

It reads only, and reads nothing while nobody looks.
"""
